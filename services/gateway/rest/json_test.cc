#include <string>

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "alcove/cache/v1/cache.pb.h"
#include "alcove/gateway/v1/gateway.pb.h"
#include "alcove/inference/v1/inference.pb.h"
#include "alcove/private_search/v1/private_search.pb.h"
#include "alcove/recommend/v1/recommend.pb.h"
#include "alcove/vector/v1/vector.pb.h"
#include "libs/common/status.h"
#include "services/gateway/rest/json_reader.h"
#include "services/gateway/rest/json_writer.h"

namespace alcove::gateway {
namespace {

using ::testing::HasSubstr;

template <typename T>
absl::StatusOr<T> Read(std::string json) {
  T message;
  absl::Status status = JsonToMessage(json, message);
  if (!status.ok()) return status;
  return message;
}

template <typename T>
std::string ReadError(std::string json) {
  auto result = Read<T>(std::move(json));
  return result.ok() ? "accepted: " + result->ShortDebugString() : std::string(result.status().message());
}

TEST(JsonReader, ReadsEveryKindOfFieldTheApiUses) {
  const auto request = Read<v1::UpsertDocumentsRequest>(R"({
    "collection": "docs", "wait": true, "idempotencyKey": "k",
    "documents": [{"id": "1", "text": "caf\u00e9 \ud83d\ude00", "metadata":
      {"n": -1.5e2, "s": "x", "b": false, "z": null, "l": [1, [2], {"m": {}}], "o": {"a": "b"}}}]})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->idempotency_key(), "k");
  EXPECT_TRUE(request->wait());
  const auto& document = request->documents(0);
  EXPECT_EQ(document.text(), "café 😀");
  EXPECT_EQ(document.metadata().fields().at("n").number_value(), -150);
  EXPECT_TRUE(document.metadata().fields().at("z").has_null_value());
  EXPECT_EQ(document.metadata().fields().at("l").list_value().values(1).list_value().values(0).number_value(), 2);
}

TEST(JsonReader, ReadsFloatsEnumsMapsTimesAndBytes) {
  const auto search = Read<alcove::vector::v1::SearchPointsRequest>(
      R"({"vector":[1,-0.5,"2.5",1e-3],"limit":"7","partial_results":"allow","score_threshold":0,"params":{"ef":10}})");
  ASSERT_TRUE(search.ok()) << search.status();
  EXPECT_THAT(search->vector(), ::testing::ElementsAre(1, -0.5f, 2.5f, 1e-3f));
  EXPECT_EQ(search->limit(), 7u);
  EXPECT_TRUE(search->has_score_threshold());
  EXPECT_EQ(search->partial_results(), alcove::vector::v1::PARTIAL_RESULTS_ALLOW);

  const auto collection = Read<alcove::vector::v1::Collection>(
      R"({"vectors":{"":{"dimension":3,"metric":"METRIC_L2"},"b":{"dimension":2,"metric":2}},"schema":{"tag":"keyword"},
          "points":"9007199254740993"})");
  ASSERT_TRUE(collection.ok()) << collection.status();
  EXPECT_EQ(collection->vectors().at("").metric(), alcove::vector::v1::METRIC_L2);
  EXPECT_EQ(collection->vectors().at("b").metric(), alcove::vector::v1::METRIC_DOT);
  EXPECT_EQ(collection->schema().at("tag"), alcove::vector::v1::FIELD_TYPE_KEYWORD);
  EXPECT_EQ(collection->points(), 9007199254740993);

  const auto key = Read<v1::CreateKeyRequest>(R"({"expires_at":"2030-01-02T03:04:05.25+01:00"})");
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->expires_at().seconds(), 1893549845);
  EXPECT_EQ(key->expires_at().nanos(), 250'000'000);

  const auto get = Read<alcove::cache::v1::GetRequest>(R"({"key":{"namespace":"n","key":"AQ-_"},"wait":"1.5s"})");
  ASSERT_TRUE(get.ok()) << get.status();
  EXPECT_EQ(get->key().key(), std::string("\x01\x0f\xbf", 3));
  EXPECT_EQ(get->wait().nanos(), 500'000'000);
}

TEST(JsonReader, ReadsNumbersOfAnyLength) {
  const std::string zeros(30, '0');
  const auto read = Read<alcove::inference::v1::Embedding>(
      R"({"values":[0.12345678901234567890123, -0.5000000000000000000000001, 12345678901234567890123.5,)"
      R"( 0.00000000000000000000000000012345678901234567890e28, 1.)" +
      zeros + "1, 0." + zeros + "]}");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->values(), ::testing::ElementsAre(0.123456789f, -0.5f, 1.2345679e22f, 1.2345679f, 1.0f, 0.0f));
  const auto single = Read<v1::SearchRequest>(R"({"score_threshold":0.5000000000000000000000001})");
  ASSERT_TRUE(single.ok()) << single.status();
  EXPECT_EQ(single->score_threshold(), 0.5f);
  EXPECT_FALSE(Read<alcove::inference::v1::Embedding>(R"({"values":[0.00000000000000000000001e400]})").ok());
}

TEST(JsonReader, TreatsNullAsUnset) {
  const auto request = Read<v1::SearchRequest>(R"({"query":null,"filter":null,"score_threshold":null,"limit":null})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_FALSE(request->has_score_threshold());
  EXPECT_FALSE(request->has_filter());
  const auto match = Read<alcove::vector::v1::Match>(R"({"field":"a","value":null})");
  ASSERT_TRUE(match.ok());
  EXPECT_TRUE(match->value().has_null_value());
}

TEST(JsonReader, NamesTheFieldThatIsWrong) {
  EXPECT_EQ(ReadError<v1::SearchRequest>(R"({"quary":"x"})"), "quary: unknown field; did you mean \"query\"?");
  EXPECT_EQ(ReadError<v1::SearchRequest>(R"({"params":{"eff":1}})"), "params.eff: unknown field; did you mean \"ef\"?");
  EXPECT_EQ(ReadError<v1::UpsertDocumentsRequest>(R"({"documents":[{"text":"a"},{"text":5}]})"),
            "documents[1].text: expected a string, not a number");
  EXPECT_THAT(ReadError<alcove::vector::v1::SearchPointsRequest>(R"({"vector":[1,2,"x"]})"), HasSubstr("vector[2]"));
  EXPECT_THAT(ReadError<alcove::vector::v1::SearchPointsRequest>(R"({"vector":[1,null]})"), HasSubstr("vector[1]"));
  EXPECT_THAT(ReadError<alcove::vector::v1::SearchPointsRequest>(R"({"vector":[1,1e39]})"), HasSubstr("vector[1]"));
  EXPECT_THAT(ReadError<v1::SearchRequest>(R"({"limit":-1})"), HasSubstr("limit: expected a whole number from 0"));
  EXPECT_THAT(ReadError<v1::SearchRequest>(R"({"limit":4294967296})"), HasSubstr("limit: expected"));
  EXPECT_THAT(ReadError<v1::SearchRequest>(R"({"limit":99999999999999999999999})"), HasSubstr("limit: expected"));
  EXPECT_THAT(ReadError<v1::SearchRequest>(R"({"limit":1.5})"), HasSubstr("limit: expected"));
  EXPECT_THAT(ReadError<v1::SearchRequest>(R"({"cache":"sometimes"})"), HasSubstr("CACHE_MODE_BYPASS"));
  EXPECT_THAT(ReadError<v1::SearchRequest>(R"({"query":["x"]})"), HasSubstr("query: expected a string, not a list"));
  EXPECT_THAT(ReadError<v1::SearchRequest>(R"({"filter":[]})"), HasSubstr("filter: expected an object"));
  EXPECT_THAT(ReadError<v1::CreateKeyRequest>(R"({"expires_at":"tomorrow"})"), HasSubstr("RFC 3339"));
  EXPECT_THAT(ReadError<v1::CreateKeyRequest>(R"({"scopes":"read"})"), HasSubstr("scopes: expected a list"));
}

TEST(JsonReader, RefusesKeysGivenTwice) {
  EXPECT_EQ(ReadError<v1::SearchRequest>(R"({"limit":1,"limit":2})"), "limit: given twice");
  EXPECT_EQ(ReadError<v1::SearchRequest>(R"({"min_sequence":"a","minSequence":"b"})"), "minSequence: given twice");
  EXPECT_EQ(ReadError<v1::Document>(R"({"metadata":{"a":1,"a":1}})"), "metadata.a: given twice");
  EXPECT_EQ(ReadError<alcove::vector::v1::Collection>(R"({"schema":{"a":1,"a":2}})"), "schema.a: given twice");
  EXPECT_THAT(ReadError<alcove::vector::v1::Condition>(R"({"match":{"field":"a"},"range":{"field":"b"}})"),
              HasSubstr("only one of the fields of kind"));
}

TEST(JsonReader, RefusesWhatIsNotOneJsonObject) {
  for (const char* text : {"",
                           " ",
                           "[]",
                           "1",
                           "null",
                           "\"x\"",
                           "{",
                           "}",
                           "{]",
                           "{\"limit\":1",
                           "{\"limit\":1}}",
                           "{\"limit\":1} {}",
                           "{\"limit\" 1}",
                           "{limit:1}",
                           "{\"limit\":1,}",
                           "{\"limit\":01}",
                           "{\"limit\":NaN}",
                           "{\"query\":\"\\q\"}",
                           "{\"query\":\"\xff\"}",
                           "{\"query\":\"a\nb\"}",
                           "{\"query\":\"\\ud800\"}",
                           "{'query':1}",
                           "{\"limit\":tru}"}) {
    auto result = Read<v1::SearchRequest>(text);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(JsonReader, BoundsNesting) {
  const auto nested = [](int depth) {
    std::string json = "{\"metadata\":{\"a\":";
    for (int i = 0; i < depth; ++i) json += "[";
    for (int i = 0; i < depth; ++i) json += "]";
    return json + "}}";
  };
  EXPECT_TRUE(Read<v1::Document>(nested(60)).ok());
  EXPECT_THAT(ReadError<v1::Document>(nested(70)), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(ReadError<v1::Document>(nested(100'000)), HasSubstr("nested more than 64 deep"));
}

TEST(JsonReader, ReadsABodyLargerThanTheKeptParser) {
  std::string json = "{\"vector\":[";
  for (int i = 0; i < 400'000; ++i) json += i == 0 ? "0.125" : ",0.125";
  json += "]}";
  const auto request = Read<alcove::vector::v1::SearchPointsRequest>(json);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->vector_size(), 400'000);
}

TEST(JsonWriter, WritesSnakeCaseAndNumbers) {
  alcove::vector::v1::Collection collection;
  collection.set_name("docs");
  collection.set_points(1234567890123);
  collection.set_memory_bytes(int64_t{1} << 60);
  (*collection.mutable_schema())["b"] = alcove::vector::v1::FIELD_TYPE_BOOL;
  (*collection.mutable_schema())["a"] = alcove::vector::v1::FIELD_TYPE_KEYWORD;
  (*collection.mutable_vectors())[""].set_dimension(3);
  EXPECT_EQ(
      MessageToJson(collection),
      R"({"name":"docs","vectors":{"":{"dimension":3,"on_disk":false}},"schema":{"a":"FIELD_TYPE_KEYWORD","b":"FIELD_TYPE_BOOL"},)"
      R"("shard_count":0,"points":1234567890123,"memory_bytes":"1152921504606846976","created_at_ms":0,"disk_bytes":0,"sparse":{}})");
}

TEST(JsonWriter, AlwaysShowsTheListsOfTheReplyItselfAndLeavesEmptyOnesInsideOut) {
  v1::SearchResponse response;
  EXPECT_EQ(MessageToJson(response), R"({"hits":[],"cached":false,"timings":[],"groups":[]})");
  auto* hit = response.add_hits();
  hit->set_id("a");
  hit->set_score(0.1f);
  (*hit->mutable_metadata()->mutable_fields())["n"].set_number_value(5);
  EXPECT_EQ(MessageToJson(response),
            R"({"hits":[{"id":"a","score":0.1,"metadata":{"n":5}}],"cached":false,"timings":[],"groups":[]})");
}

TEST(JsonWriter, WritesTimesBytesAndWhatIsNotFinite) {
  v1::ApiKey key;
  key.mutable_created_at()->set_seconds(1700000000);
  key.mutable_created_at()->set_nanos(120'000'000);
  EXPECT_EQ(MessageToJson(key), R"({"scopes":[],"created_at":"2023-11-14T22:13:20.120Z"})");
  alcove::cache::v1::GetRequest get;
  get.mutable_key()->set_key(std::string("\0\xff", 2));
  get.mutable_wait()->set_seconds(-1);
  get.mutable_wait()->set_nanos(-500);
  EXPECT_EQ(MessageToJson(get), R"({"key":{"key":"AP8="},"single_flight":false,"wait":"-1.000000500s"})");
  alcove::inference::v1::Embedding embedding;
  embedding.add_values(std::numeric_limits<float>::infinity());
  embedding.add_values(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(MessageToJson(embedding), R"({"values":["Infinity","NaN"]})");
}

TEST(JsonBuilder, KeepsCommasAndNestingRight) {
  JsonBuilder json;
  json.BeginObject().Member("a", "x\"y").Key("b").BeginArray().Integer(1).BeginObject().EndObject().Null().EndArray();
  json.Key("c").BeginObject().Key("d").Bool(true).EndObject().EndObject();
  EXPECT_EQ(json.Take(), R"({"a":"x\"y","b":[1,{},null],"c":{"d":true}})");
}

// protobuf's own JSON reader is the oracle: what it accepts and we accept must be the same message.
template <typename T>
void Agree(const std::string& json) {
  T theirs;
  google::protobuf::util::JsonParseOptions options;
  const bool accepted = google::protobuf::util::JsonStringToMessage(json, &theirs, options).ok();
  auto ours = Read<T>(json);
  EXPECT_EQ(ours.ok(), accepted) << json << "\n" << ours.status();
  if (!ours.ok() || !accepted) return;
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*ours, theirs))
      << json << "\nours: " << ours->ShortDebugString() << "\ntheirs: " << theirs.ShortDebugString();
  // And protobuf reads what our writer writes.
  T again;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(MessageToJson(*ours), &again, options).ok());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*ours, again)) << MessageToJson(*ours);
}

TEST(JsonReader, AgreesWithProtobufsOwnReader) {
  Agree<v1::SearchRequest>(R"({"collection":"a","query":"b","limit":3,"offset":"4","scoreThreshold":0.25,"cache":2})");
  Agree<v1::SearchRequest>(R"({"filter":{"must":[{"match":{"field":"x","value":3}},{"hasId":{"ids":["a","b"]}}]}})");
  Agree<v1::SearchRequest>(R"({"filter":{"should":[{"filter":{"must_not":[{"is_empty":{"field":"q"}}]}}]}})");
  Agree<v1::SearchRequest>(R"({"limit":1e2})");
  Agree<v1::SearchRequest>(R"({"limit":1.5})");
  Agree<v1::SearchRequest>(R"({"unknown":1})");
  Agree<alcove::vector::v1::UpsertPointsRequest>(
      R"({"collection":"c","points":[{"id":"1","vector":[0.1,-3,1e10],"payload":{"a":[1,"b",null,{"c":true}]},)"
      R"("namedVectors":{"t":{"values":[1]}}}],"wait":true})");
  Agree<alcove::vector::v1::Collection>(R"({"vectors":{"":{"dimension":384,"hnsw":{"m":16,"codes":"CODES_F32"}}}})");
  Agree<alcove::vector::v1::Collection>(R"({"points":-5,"createdAtMs":"1700000000000"})");
  Agree<alcove::vector::v1::Match>(R"({"value":{"a":[]},"any_of":[1,"x",null,true,[],{}]})");
  Agree<alcove::recommend::v1::Event>(R"({"weight":0.5,"time":"2024-02-29T23:59:59.999999999Z"})");
  Agree<alcove::recommend::v1::Event>(R"({"time":"2023-02-29T00:00:00Z"})");
  Agree<alcove::inference::v1::GenerateRequest>(R"({"seed":18446744073709551615,"stop":["a"],"temperature":"0.5"})");
  Agree<alcove::inference::v1::GenerateRequest>(R"({"seed":18446744073709551616})");
  Agree<alcove::private_search::v1::UploadKeysRequest>(R"({"galoisKeys":"AAECAwQ=","label":"\u0000x"})");
  Agree<alcove::private_search::v1::ParameterSet>(R"({"coeff_modulus":["1125899906842597",3],"plainModulus":"65537"})");
  Agree<alcove::cache::v1::Entry>(R"({"ttl":"3600s","tags":["a","b"],"value":""})");
  Agree<alcove::inference::v1::Embedding>(R"({"values":["Infinity","-Infinity",-0.0,1e-45,3.4028235e38]})");
}

}  // namespace
}  // namespace alcove::gateway
