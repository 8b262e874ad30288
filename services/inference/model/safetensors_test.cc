#include "services/inference/model/safetensors.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<uint8_t> File(const std::string& header, size_t data_bytes) {
  const uint64_t size = header.size();
  std::vector<uint8_t> file(8 + header.size() + data_bytes);
  std::memcpy(file.data(), &size, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  for (size_t i = 0; i < data_bytes; ++i) file[8 + header.size() + i] = static_cast<uint8_t>(i);
  return file;
}

absl::Status ParseError(const std::string& header, size_t data_bytes) {
  const std::vector<uint8_t> file = File(header, data_bytes);
  const absl::Status status = ParseSafetensors(file).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return status;
}

TEST(Safetensors, ReadsTensorsAndIgnoresMetadata) {
  const auto file = File(R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
                         R"("b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})",
                         9);
  const auto tensors = ParseSafetensors(file);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_THAT(tensors->at("a").shape, ElementsAre(2, 1));
  EXPECT_EQ(tensors->at("a").elements(), 2);
  EXPECT_EQ(tensors->at("b").elements(), 1);
  EXPECT_EQ(tensors->at("b").data[0], 8);
}

TEST(Safetensors, RefusesTruncatedFiles) {
  EXPECT_THAT(ParseSafetensors({}).status().message(), HasSubstr("shorter than"));
  std::vector<uint8_t> file = File("{}", 0);
  file.pop_back();
  EXPECT_THAT(ParseSafetensors(file).status().message(), HasSubstr("ends inside its header"));
}

TEST(Safetensors, RefusesAHeaderAboveTheLimitBeforeReadingIt) {
  std::vector<uint8_t> file(16, 0xff);
  EXPECT_THAT(ParseSafetensors(file).status().message(), HasSubstr("larger than the limit"));
}

TEST(Safetensors, RefusesEachKindOfMalformedEntryByName) {
  EXPECT_THAT(ParseError("[1]", 0).message(), HasSubstr("not a JSON object"));
  EXPECT_THAT(ParseError("{", 0).message(), HasSubstr("not valid JSON"));
  EXPECT_THAT(ParseError(R"({"w":1})", 0).message(), HasSubstr("\"w\": entry is not an object"));
  EXPECT_THAT(ParseError(R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4).message(), HasSubstr("has no dtype"));
  EXPECT_THAT(ParseError(R"({"w":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}})", 4).message(),
              HasSubstr("unknown dtype \"Q4\""));
  EXPECT_THAT(ParseError(R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4).message(), HasSubstr("has no shape"));
  EXPECT_THAT(ParseError(R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4).message(),
              HasSubstr("not an extent"));
  EXPECT_THAT(ParseError(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4).message(),
              HasSubstr("not a pair"));
  EXPECT_THAT(ParseError(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4).message(),
              HasSubstr("outside the buffer"));
  EXPECT_THAT(ParseError(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4).message(),
              HasSubstr("outside the buffer"));
  EXPECT_THAT(ParseError(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,3]}})", 4).message(),
              HasSubstr("needs 4 bytes"));
}

TEST(Safetensors, RefusesShapesWhoseProductOverflows) {
  EXPECT_THAT(ParseError(R"({"w":{"dtype":"F64","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,8]}})", 8)
                  .message(),
              HasSubstr("larger than the file"));
}

TEST(Safetensors, RefusesOverlapsHolesAndDuplicates) {
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                         R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                         6)
                  .message(),
              HasSubstr("\"b\": overlaps"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3).message(),
              HasSubstr("leaves a hole"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 3).message(),
              HasSubstr("cover 2 of 3"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                         R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                         2)
                  .message(),
              HasSubstr("appears twice"));
}

TEST(Safetensors, ConvertsHalfPrecisionExactly) {
  // 1.0, -2.0, smallest subnormal, largest finite, +inf
  const uint16_t half[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00};
  TensorView view;
  view.dtype = DType::kF16;
  view.shape = {5};
  view.data = {reinterpret_cast<const uint8_t*>(half), sizeof(half)};
  std::vector<float> out(5);
  ASSERT_TRUE(CopyAsFloat(view, absl::MakeSpan(out)).ok());
  EXPECT_THAT(out, ElementsAre(1.0f, -2.0f, std::ldexp(1.0f, -24), 65504.0f, INFINITY));

  const uint16_t brain[] = {0x3f80, 0xc000, 0x4049};
  view.dtype = DType::kBF16;
  view.shape = {3};
  view.data = {reinterpret_cast<const uint8_t*>(brain), sizeof(brain)};
  out.resize(3);
  ASSERT_TRUE(CopyAsFloat(view, absl::MakeSpan(out)).ok());
  EXPECT_THAT(out, ElementsAre(1.0f, -2.0f, 3.140625f));

  view.dtype = DType::kI64;
  EXPECT_EQ(CopyAsFloat(view, absl::MakeSpan(out)).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace alcove::inference
