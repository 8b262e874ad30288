#include "libs/rpc/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "libs/net/grpc_wire.h"

namespace alcove::rpc {
namespace {

// What a grpc++ client makes of the trailers a server of ours sends.
grpc::Status Sent(const absl::Status& status) {
  net::HeaderList trailers;
  net::AppendGrpcTrailers(FitForWire(status), trailers);
  return grpc::Status(static_cast<grpc::StatusCode>(net::ParseGrpcStatus(trailers.Get("grpc-status"))),
                      net::PercentDecode(trailers.Get("grpc-message")),
                      net::DecodeBase64(trailers.Get("grpc-status-details-bin")).value());
}

TEST(RpcStatus, KeepsCodeMessageAndDetailsOverTheWire) {
  absl::Status status = InvalidFields({{"points[3].vector", "has 3 dimensions, 384 expected"}, {"limit", "is 0"}});
  status = WithRetryAfter(WithReason(status, "WRONG_DIMENSION"), absl::Milliseconds(1500));
  const absl::Status back = FromGrpc(Sent(status));
  EXPECT_EQ(back.code(), status.code());
  EXPECT_EQ(back.message(), status.message());
  EXPECT_EQ(GetErrorDetails(back), GetErrorDetails(status));
  const absl::Status missing = NotFound("collection", "docs");
  EXPECT_EQ(GetErrorDetails(FromGrpc(Sent(missing))), GetErrorDetails(missing));
}

TEST(RpcStatus, WritesTheDetailsOtherClientsExpect) {
  google::rpc::Status proto;
  ASSERT_TRUE(proto.ParseFromString(Sent(WithReason(InvalidField("limit", "is 0"), "BAD")).error_details()));
  EXPECT_EQ(proto.code(), 3);
  EXPECT_EQ(proto.message(), "limit: is 0");
  ASSERT_EQ(proto.details_size(), 2);
  EXPECT_EQ(proto.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  EXPECT_EQ(proto.details(0).value(), std::string("\x0a\x03"
                                                  "BAD"
                                                  "\x12\x06"
                                                  "alcove"));
  google::rpc::BadRequest bad;
  ASSERT_TRUE(proto.details(1).UnpackTo(&bad));
  EXPECT_EQ(bad.field_violations(0).field(), "limit");
}

TEST(RpcStatus, KeepsEveryCode) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "text");
    EXPECT_EQ(Sent(status).error_code(), code);
    EXPECT_EQ(FromGrpc(Sent(status)).code(), status.code());
  }
  EXPECT_EQ(Sent(absl::Status(static_cast<absl::StatusCode>(99), "odd")).error_code(), grpc::StatusCode::UNKNOWN);
}

TEST(RpcStatus, FitsIntoTheMetadataOfACall) {
  std::vector<FieldViolation> violations;
  for (int i = 0; i < 60; ++i) violations.push_back({std::string(200, 'f'), std::string(500, 'd')});
  const grpc::Status status = Sent(InvalidFields(violations));
  EXPECT_LE(status.error_message().size(), 1024u);
  EXPECT_LE(status.error_details().size(), 3072u);
  EXPECT_FALSE(status.error_details().empty());
  const grpc::Status broken = Sent(NotFound("entry", std::string(5000, 'k') + "\xff"));
  EXPECT_LE(broken.error_message().size(), 1024u);
  google::rpc::Status proto;
  EXPECT_TRUE(proto.ParseFromString(Sent(WithReason(absl::AbortedError("\xff"), "A\xff")).error_details()));
}

TEST(RpcStatus, IgnoresMalformedDetails) {
  const auto details = [](std::string bytes) {
    return GetErrorDetails(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "m", std::move(bytes))));
  };
  EXPECT_TRUE(details("\xff\xff\xff").empty());
  EXPECT_TRUE(details(std::string(100'000, 'x')).empty());
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "m", "garbage")).code(), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace alcove::rpc
