#include "services/vector-search/log/point_record.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "libs/testing/status_matchers.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using store::RecordKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<float> kFirst = {1.5f, -2.0f, 0.0f};
const std::vector<float> kSecond = {3.25f};

PointOperation Upsert(absl::string_view id) {
  PointOperation op;
  op.id = id;
  op.version = 300;
  op.dense = {{"", FloatBytes(kFirst)}, {"title", FloatBytes(kSecond)}};
  op.sparse = {{"words", {0, 7, 4'000'000'000u}, {0.5f, 1.0f, 2.0f}}};
  op.payload = "payload";
  return op;
}

absl::Status DecodeStatus(const EncodedOperation& e) { return DecodeOperation(e.kind, e.key, e.data).status(); }

TEST(PointRecord, AnUpsertComesBackWhole) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const EncodedOperation encoded, EncodeOperation(Upsert("id")));
  EXPECT_EQ(encoded.kind, RecordKind::kPut);
  EXPECT_EQ(encoded.key, "id");
  ALCOVE_ASSERT_OK_AND_ASSIGN(const PointOperation op, DecodeOperation(encoded.kind, encoded.key, encoded.data));
  EXPECT_EQ(op.kind, OperationKind::kUpsert);
  EXPECT_EQ(op.id, "id");
  EXPECT_EQ(op.version, 300u);
  ASSERT_EQ(op.dense.size(), 2u);
  EXPECT_EQ(op.dense[0].values.ToVector(), kFirst);
  EXPECT_EQ(op.dense[0].values[1], -2.0f);
  EXPECT_EQ(op.dense[1].name, "title");
  EXPECT_EQ(op.dense[1].values.ToVector(), kSecond);
  ASSERT_EQ(op.sparse.size(), 1u);
  EXPECT_THAT(op.sparse[0].indices, ElementsAre(0, 7, 4'000'000'000u));
  EXPECT_THAT(op.sparse[0].values, ElementsAre(0.5f, 1.0f, 2.0f));
  EXPECT_EQ(op.payload, "payload");
}

TEST(PointRecord, DeleteAndSetPayloadComeBack) {
  PointOperation op;
  op.kind = OperationKind::kDelete;
  op.id = "id";
  ALCOVE_ASSERT_OK_AND_ASSIGN(EncodedOperation encoded, EncodeOperation(op));
  EXPECT_EQ(encoded.kind, RecordKind::kDelete);
  EXPECT_EQ(DecodeOperation(encoded.kind, encoded.key, encoded.data)->kind, OperationKind::kDelete);
  op.kind = OperationKind::kSetPayload;
  op.payload_mode = PayloadMode::kMerge;
  op.payload = "p";
  ALCOVE_ASSERT_OK_AND_ASSIGN(encoded, EncodeOperation(op));
  EXPECT_EQ(encoded.kind, RecordKind::kMerge);
  ALCOVE_ASSERT_OK_AND_ASSIGN(const PointOperation back, DecodeOperation(encoded.kind, encoded.key, encoded.data));
  EXPECT_EQ(back.payload_mode, PayloadMode::kMerge);
  EXPECT_EQ(back.payload, "p");
}

PointOperation SetVectors() {
  PointOperation op;
  op.kind = OperationKind::kSetVectors;
  op.id = "id";
  op.dense = {{"v", FloatBytes(kSecond)}};
  op.sparse = {{"w", {3}, {1.0f}}};
  op.removed = {"title", "words"};
  return op;
}

TEST(PointRecord, SetVectorsComesBackAndIsVersionTwo) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const EncodedOperation encoded, EncodeOperation(SetVectors()));
  EXPECT_EQ(encoded.kind, RecordKind::kMerge);
  EXPECT_EQ(absl::BytesToHexString(encoded.data),
            "020400"  // version 2, set vectors, point version 0
            "01"
            "0176"
            "01"
            "00005040"
            "01"
            "0177"
            "01"
            "03"
            "0000803f"
            "02"
            "057469746c65"
            "05776f726473");
  ALCOVE_ASSERT_OK_AND_ASSIGN(const PointOperation op, DecodeOperation(encoded.kind, encoded.key, encoded.data));
  EXPECT_EQ(op.kind, OperationKind::kSetVectors);
  EXPECT_THAT(op.removed, ElementsAre("title", "words"));
  EXPECT_EQ(op.dense[0].values.ToVector(), kSecond);
  EXPECT_EQ(op.sparse[0].name, "w");
  for (size_t size = 0; size < encoded.data.size(); ++size) {
    EXPECT_THAT(DecodeOperation(encoded.kind, "id", encoded.data.substr(0, size)),
                StatusIs(absl::StatusCode::kDataLoss));
  }
  // An older release knows no fourth operation, and says so by the version before it looks.
  std::string old = encoded.data;
  old[0] = 1;
  EXPECT_THAT(DecodeOperation(encoded.kind, "id", old), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(PointRecord, CompactionFoldsSetVectorsIntoTheUpsert) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const EncodedOperation base, EncodeOperation(Upsert("id")));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const EncodedOperation change, EncodeOperation(SetVectors()));
  const store::MergeFunction merge = PointMerge({});
  const absl::string_view view = base.data;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto folded, merge("id", &view, change.data));
  ASSERT_TRUE(folded.has_value());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const PointOperation op, DecodeOperation(RecordKind::kPut, "id", *folded));
  ASSERT_EQ(op.dense.size(), 2u);
  EXPECT_EQ(op.dense[0].name, "");
  EXPECT_EQ(op.dense[0].values.ToVector(), kFirst);
  EXPECT_EQ(op.dense[1].name, "v");
  ASSERT_EQ(op.sparse.size(), 1u);
  EXPECT_EQ(op.sparse[0].name, "w");
  EXPECT_EQ(op.payload, "payload");
  // Of a point that does not exist nothing is made.
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto nothing, merge("id", nullptr, change.data));
  EXPECT_FALSE(nothing.has_value());
}

// docs/formats/log_record.md: logs in the field must stay readable.
TEST(PointRecord, FormatVersionOneIsFixed) {
  PointOperation op;
  op.id = "id";
  op.version = 300;
  op.dense = {{"v", FloatBytes(kSecond)}};
  op.sparse = {{"w", {3, 5}, {1.0f, -1.0f}}};
  op.payload = "xy";
  EXPECT_EQ(absl::BytesToHexString(EncodeOperation(op)->data),
            "0101ac02"  // version 1, upsert, point version 300
            "01"
            "0176"
            "01"
            "00005040"  // one dense vector "v" of one dimension: 3.25
            "01"
            "0177"
            "02"
            "0302"
            "0000803f"
            "000080bf"
            "02"
            "7879");
}

TEST(PointRecord, TheEncoderNamesThePointThatIsOutOfBounds) {
  using absl::StatusCode;
  PointOperation op = Upsert("");
  EXPECT_THAT(EncodeOperation(op), StatusIs(StatusCode::kInvalidArgument));
  const std::string long_id(257, 'x');
  EXPECT_THAT(EncodeOperation(Upsert(long_id)), StatusIs(StatusCode::kInvalidArgument, HasSubstr("257")));
  op = Upsert("p1");
  op.dense[0].values = FloatBytes();
  EXPECT_THAT(EncodeOperation(op), StatusIs(StatusCode::kInvalidArgument, HasSubstr("\"p1\"")));
  op = Upsert("p1");
  op.sparse[0].indices = {7, 7, 8};
  EXPECT_THAT(EncodeOperation(op), StatusIs(StatusCode::kInvalidArgument, HasSubstr("ascending")));
  op.sparse[0].indices = {7};
  EXPECT_THAT(EncodeOperation(op), StatusIs(StatusCode::kInvalidArgument, HasSubstr("equal counts")));
  op = Upsert("p1");
  op.dense.resize(65, op.dense[0]);
  EXPECT_THAT(EncodeOperation(op), StatusIs(StatusCode::kInvalidArgument, HasSubstr("64")));
}

TEST(PointRecord, EveryTruncationIsDataLoss) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const EncodedOperation good, EncodeOperation(Upsert("id")));
  for (size_t size = 0; size < good.data.size(); ++size) {
    EXPECT_THAT(DecodeOperation(good.kind, good.key, good.data.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss))
        << size;
  }
  EXPECT_THAT(DecodeOperation(good.kind, good.key, good.data + "x"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(PointRecord, RefusesNewerFormatsWrongKindsAndHugeCounts) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(EncodedOperation e, EncodeOperation(Upsert("id")));
  EncodedOperation newer = e;
  newer.data[0] = 3;
  EXPECT_THAT(DecodeStatus(newer), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("newer release")));
  e.kind = RecordKind::kDelete;
  EXPECT_THAT(DecodeStatus(e), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("contradicts")));
  e = {RecordKind::kPut, "id", std::string("\x01\x04\x00", 3)};
  EXPECT_THAT(DecodeStatus(e), StatusIs(absl::StatusCode::kDataLoss));
  // One dense vector of 65,536 dimensions in a record of a few bytes.
  e.data = std::string("\x01\x01\x00\x01\x00\x80\x80\x04", 8);
  EXPECT_THAT(DecodeStatus(e), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("vectors")));
  // A sparse vector whose gaps run over 32 bits.
  e.data = std::string("\x01\x01\x00\x00\x01\x00\x02\xff\xff\xff\xff\x0f\x01", 13) + std::string(8, '\0') + '\0';
  EXPECT_THAT(DecodeStatus(e), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(PointRecord, FoldsASetPayloadIntoTheUpsertBeforeIt) {
  const store::MergeFunction merge =
      PointMerge([](absl::string_view base, absl::string_view change) { return absl::StrCat(base, "+", change); });
  const std::string base = EncodeOperation(Upsert("id"))->data;
  PointOperation set;
  set.kind = OperationKind::kSetPayload;
  set.id = "id";
  set.version = 301;
  set.payload = "new";
  const absl::string_view base_view = base;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::optional<std::string> replaced,
                              merge("id", &base_view, EncodeOperation(set)->data));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const PointOperation point, DecodeOperation(RecordKind::kPut, "id", *replaced));
  EXPECT_EQ(point.payload, "new");
  EXPECT_EQ(point.version, 301u);
  EXPECT_EQ(point.dense[0].values.ToVector(), kFirst);
  set.payload_mode = PayloadMode::kMerge;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::optional<std::string> merged,
                              merge("id", &base_view, EncodeOperation(set)->data));
  EXPECT_EQ(DecodeOperation(RecordKind::kPut, "id", *merged)->payload, "payload+new");
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::optional<std::string> nothing,
                              merge("id", nullptr, EncodeOperation(set)->data));
  EXPECT_FALSE(nothing.has_value());
}

}  // namespace
}  // namespace alcove::vector_search
