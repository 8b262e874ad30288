#include "services/gateway/rest/octet.h"

#include <gtest/gtest.h>

#include "alcove/private_search/v1/private_search.pb.h"
#include "libs/common/status.h"
#include "services/gateway/rest/method_table.h"

namespace alcove::gateway {
namespace {

namespace pb = alcove::private_search::v1;

const HttpBinding& SearchBinding() {
  static const auto* const table = MethodTable::Build().value().release();
  return table->Find("/alcove.private_search.v1.PrivateSearchService/Search")->bindings[0];
}

uint32_t U32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  return value;
}

TEST(OctetTest, TheBodyIsTheBytesFieldAndTheRestAreParameters) {
  pb::SearchRequest request;
  const QueryParameters query = {{"key_id", "k"}, {"collection", "c"},  {"blocks", "3"},
                                 {"blocks", "5"}, {"omit_ids", "true"}, {"compression", "zlib"}};
  const std::string body("\x00\xff{}", 4);
  const absl::Status status = FillOctetRequest(SearchBinding(), {}, query, body, request);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(request.query(), body);
  EXPECT_EQ(request.key_id(), "k");
  EXPECT_EQ(request.blocks_size(), 2);
  EXPECT_EQ(request.blocks(1), 5u);
  EXPECT_TRUE(request.omit_ids());
  EXPECT_EQ(request.compression(), pb::REPLY_COMPRESSION_ZLIB);
}

TEST(OctetTest, RefusesWhatDoesNotFit) {
  const auto fill = [](QueryParameters query) {
    pb::SearchRequest request;
    return FillOctetRequest(SearchBinding(), {}, query, "body", request).code();
  };
  EXPECT_EQ(fill({{"nonsense", "1"}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(fill({{"query", "AAAA"}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(fill({{"key_id", "a"}, {"key_id", "b"}}), absl::StatusCode::kInvalidArgument);
}

TEST(OctetTest, AFrameHoldsTheDataBesideTheRestAsJson) {
  pb::SearchResponse reply;
  reply.set_block(1);
  reply.set_blocks(2);
  reply.set_scores(std::string("\x5e\xa1\x00", 3));
  reply.add_ids("x");
  const std::string frame = OctetFrame(reply);
  const size_t json = U32(frame, 0), data = U32(frame, 4);
  ASSERT_EQ(frame.size(), 8 + json + data);
  EXPECT_EQ(frame.substr(8 + json), std::string("\x5e\xa1\x00", 3));
  EXPECT_NE(frame.substr(8, json).find("\"ids\":[\"x\"]"), std::string::npos) << frame.substr(8, json);
  EXPECT_EQ(frame.substr(8, json).find("scores"), std::string::npos);
}

TEST(OctetTest, TheEndSaysHowTheCallEnded) {
  EXPECT_EQ(EndLine(absl::OkStatus()), "{\"end\":true}\n");
  const std::string frame = OctetEndFrame(WithReason(absl::ResourceExhaustedError("spent"), "PRIVACY_BUDGET_SPENT"));
  EXPECT_EQ(U32(frame, 4), 0u);
  EXPECT_EQ(frame.substr(8),
            R"({"error":{"code":"RESOURCE_EXHAUSTED","message":"spent","reason":"PRIVACY_BUDGET_SPENT"}})");
}

TEST(OctetTest, TheFieldIsTheFirstOfItsKind) {
  EXPECT_EQ(OctetField(*pb::UploadKeysRequest::descriptor())->name(), "galois_keys");
  EXPECT_EQ(OctetField(*pb::LookupResponse::descriptor())->name(), "data");
  EXPECT_EQ(OctetField(*pb::ListKeysRequest::descriptor()), nullptr);
}

}  // namespace
}  // namespace alcove::gateway
