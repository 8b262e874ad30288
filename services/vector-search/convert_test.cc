#include "services/vector-search/convert.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include "libs/testing/status_matchers.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

template <typename Message>
Message FromJson(const std::string& json) {
  Message message;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &message);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return message;
}

TEST(Convert, PayloadComesBackAsItWasGiven) {
  const auto object = FromJson<google::protobuf::Struct>(
      R"({"z": "ünï", "a": 1, "b": [1.5, null, {"deep": [true, "x"]}], "c": {}, "d": [], "big": 1e300, "neg": -3})");
  const auto payload = PayloadFromProto(object);
  ASSERT_THAT(payload, IsOk());
  ASSERT_THAT(ValidatePayload(*payload), IsOk());
  google::protobuf::Struct back;
  PayloadToProto(*payload, &back);
  EXPECT_TRUE(MessageDifferencer::Equals(object, back)) << back.DebugString();
}

TEST(Convert, EqualPayloadsHaveEqualBytes) {
  const auto a = PayloadFromProto(FromJson<google::protobuf::Struct>(R"({"x": 1, "y": {"b": 1, "a": 2}})"));
  const auto b = PayloadFromProto(FromJson<google::protobuf::Struct>(R"({"y": {"a": 2, "b": 1}, "x": 1})"));
  EXPECT_EQ(a.value(), b.value());
}

TEST(Convert, APayloadThatIsTooDeepNamesThePoint) {
  pb::Point point;
  point.set_id("deep-one");
  point.add_vector(1);
  google::protobuf::Struct* at = point.mutable_payload();
  for (int i = 0; i < 40; ++i) at = (*at->mutable_fields())["x"].mutable_struct_value();
  EXPECT_THAT(PointFromProto(point).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::AllOf(HasSubstr("deep-one"), HasSubstr("deep"))));
}

TEST(Convert, AFilterMeansTheSameOnTheOtherSideOfACall) {
  const auto filter = FromJson<pb::Filter>(R"({
    "must": [{"match": {"field": "a", "value": "x"}}, {"range": {"field": "n", "gt": 1, "lte": 5}}],
    "should": [{"hasId": {"ids": ["p", "q"]}}, {"filter": {"mustNot": [{"isEmpty": {"field": "a"}}]}}],
    "mustNot": [{"match": {"field": "b", "anyOf": [true, false]}}, {"range": {"field": "t", "gte": "2024-01-01T00:00:00Z", "lt": "2025-01-01T00:00:00Z"}}]})");
  const auto domain = FilterFromProto(filter);
  ASSERT_THAT(domain, IsOk());
  pb::Filter sent;
  FilterToProto(*domain, &sent);
  const auto again = FilterFromProto(sent);
  ASSERT_THAT(again, IsOk());
  pb::Filter twice;
  FilterToProto(*again, &twice);
  EXPECT_TRUE(MessageDifferencer::Equals(sent, twice));
  EXPECT_EQ(domain->must.size(), 2u);
  EXPECT_EQ(domain->should.size(), 2u);
  EXPECT_EQ(domain->must_not.size(), 2u);
  EXPECT_EQ(std::get<RangeCondition>(domain->must[1]).lte, Literal(5.0));
}

TEST(Convert, RefusesFiltersThatMeanNothing) {
  const auto error = [](const std::string& json) {
    return std::string(FilterFromProto(FromJson<pb::Filter>(json)).status().message());
  };
  EXPECT_THAT(error(R"({"must": [{}]})"), HasSubstr("a condition needs"));
  EXPECT_THAT(error(R"({"must": [{"match": {"field": "a", "value": 1, "anyOf": [2]}}]})"), HasSubstr("not both"));
  EXPECT_THAT(error(R"({"must": [{"match": {"field": "a", "value": {"x": 1}}}]})"), HasSubstr("literal"));
  std::string nested = R"({"must": [{"isEmpty": {"field": "a"}}]})";
  for (int i = 0; i < 9; ++i) nested = R"({"must": [{"filter": )" + nested + "}]}";
  EXPECT_THAT(error(nested), HasSubstr("8 deep"));
}

TEST(Convert, CollectionDefaultsAreFilledIn) {
  const auto collection = FromJson<pb::Collection>(
      R"({"name": "docs", "vectors": {"": {"dimension": 3}, "t": {"dimension": 2, "metric": "METRIC_L2", "hnsw": {"m": 8, "codes": "CODES_F16"}}},
          "schema": {"tag": "FIELD_TYPE_KEYWORD"}, "description": "d"})");
  const auto config = ConfigFromProto(collection);
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->vectors.at("").m, 16u);
  EXPECT_EQ(config->vectors.at("t").codes, Codes::kF16);
  EXPECT_EQ(config->vectors.at("t").storage, VectorStorage::kF16);
  EXPECT_EQ(config->vectors.at("").storage, VectorStorage::kF32);
  EXPECT_FALSE(config->vectors.at("").on_disk);
  EXPECT_EQ(config->vectors.at("t").metric, Metric::kL2);
  EXPECT_EQ(config->schema.at("tag"), FieldType::kKeyword);
  auto small = collection;
  pb::VectorConfig& field = (*small.mutable_vectors())[""];
  field.mutable_hnsw()->set_codes(pb::CODES_INT4);
  field.set_storage(pb::VECTOR_STORAGE_INT8);
  field.set_on_disk(true);
  const auto kept = ConfigFromProto(small);
  ASSERT_THAT(kept, IsOk());
  EXPECT_EQ(kept->vectors.at("").storage, VectorStorage::kInt8);
  EXPECT_TRUE(kept->vectors.at("").on_disk);
  field.set_storage(static_cast<pb::VectorStorage>(99));
  EXPECT_THAT(ConfigFromProto(small).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("storage")));
  auto wrong = collection;
  (*wrong.mutable_schema())["tag"] = pb::FIELD_TYPE_UNSPECIFIED;
  EXPECT_THAT(ConfigFromProto(wrong).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tag")));
}

TEST(Convert, ASearchIsAskedOfAShardAsItWasAskedOfUs) {
  SearchQuery query;
  query.vector = {1, 2};
  query.vector_name = "t";
  query.limit = 5;
  query.filter.must.push_back(IsEmptyCondition{"a"});
  query.score_threshold = 0.5f;
  query.payload.include = {"x"};
  query.with_vectors = true;
  query.ef = 77;
  query.exact = true;
  query.exclude_id = "p";
  pb::SearchShardRequest request;
  QueryToProto(query, &request);
  const auto back = QueryFromProto(request);
  ASSERT_THAT(back, IsOk());
  pb::SearchShardRequest twice;
  QueryToProto(*back, &twice);
  EXPECT_TRUE(MessageDifferencer::Equals(request, twice));
  EXPECT_EQ(back->ef, 77u);
  EXPECT_EQ(back->exclude_id, "p");
  EXPECT_EQ(back->payload.include.size(), 1u);
}

TEST(Convert, AShardsMalformedReplyIsNotPassedOn) {
  pb::EncodedPoint point;
  point.set_id("a");
  point.set_payload("garbage");
  EXPECT_THAT(FoundFromEncoded(point).status(), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace alcove::vector_search
