#include "libs/common/status.h"

#include <cerrno>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;

TEST(Status, MapsEveryCodeToItsHttpStatus) {
  const std::pair<StatusCode, int> table[] = {
      {StatusCode::kOk, 200},
      {StatusCode::kInvalidArgument, 400},
      {StatusCode::kFailedPrecondition, 400},
      {StatusCode::kOutOfRange, 400},
      {StatusCode::kUnauthenticated, 401},
      {StatusCode::kPermissionDenied, 403},
      {StatusCode::kNotFound, 404},
      {StatusCode::kAborted, 409},
      {StatusCode::kAlreadyExists, 409},
      {StatusCode::kResourceExhausted, 429},
      {StatusCode::kCancelled, 499},
      {StatusCode::kUnimplemented, 501},
      {StatusCode::kUnavailable, 503},
      {StatusCode::kDeadlineExceeded, 504},
      {StatusCode::kUnknown, 500},
      {StatusCode::kInternal, 500},
      {StatusCode::kDataLoss, 500},
  };
  for (const auto& [code, http] : table) EXPECT_EQ(HttpStatusFromCode(code), http) << StatusCodeName(code);
  EXPECT_EQ(std::size(table), 17u);
  EXPECT_EQ(HttpStatusFromCode(static_cast<StatusCode>(77)), 500);
}

TEST(Status, ReadsAnHttpAnswerWithoutGrpcStatus) {
  EXPECT_EQ(CodeFromHttpStatus(204), StatusCode::kOk);
  EXPECT_EQ(CodeFromHttpStatus(400), StatusCode::kInternal);
  EXPECT_EQ(CodeFromHttpStatus(404), StatusCode::kUnimplemented);
  EXPECT_EQ(CodeFromHttpStatus(502), StatusCode::kUnavailable);
  EXPECT_EQ(CodeFromHttpStatus(302), StatusCode::kUnknown);
}

TEST(Status, NamesCodesBothWays) {
  for (int code = 0; code <= 16; ++code) {
    const auto status_code = static_cast<StatusCode>(code);
    EXPECT_EQ(StatusCodeFromName(StatusCodeName(status_code)), status_code);
  }
  EXPECT_EQ(StatusCodeName(static_cast<StatusCode>(-1)), "UNKNOWN");
  EXPECT_FALSE(StatusCodeFromName("not_found"));
}

TEST(Status, KeepsDetailsWhenAnnotated) {
  const absl::Status status = Annotate(InvalidField("limit", "is 0"), "search");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "search: limit: is 0");
  EXPECT_EQ(GetErrorDetails(status).field_violations, (std::vector<FieldViolation>{{"limit", "is 0"}}));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "search").ok());
}

TEST(Status, CollectsDetailsOfSeveralKinds) {
  absl::Status status = NotFound("collection", "docs");
  EXPECT_EQ(status.message(), "collection \"docs\" not found");
  status = WithRetryAfter(WithReason(status, "GONE"), absl::Milliseconds(2500));
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, "GONE");
  EXPECT_EQ(details.resource, (ResourceInfo{"collection", "docs", ""}));
  EXPECT_EQ(details.retry_after, absl::Milliseconds(2500));
  EXPECT_EQ(GetErrorDetails(absl::OkStatus()), ErrorDetails());
  absl::Status ok;
  SetErrorDetails(ok, details);
  EXPECT_EQ(ok, absl::OkStatus());
}

TEST(Status, BoundsItsDetails) {
  std::vector<FieldViolation> violations(200, {std::string(5000, 'f'), "d"});
  const ErrorDetails details = GetErrorDetails(InvalidFields(violations));
  EXPECT_EQ(details.field_violations.size(), 64u);
  EXPECT_EQ(details.field_violations[0].field.size(), 1024u);
}

TEST(Status, ExplainsSystemErrors) {
  EXPECT_EQ(ErrnoStatus(ENOSPC, "cannot write x").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(ENOENT, "x").code(), StatusCode::kNotFound);
  EXPECT_EQ(ErrnoStatus(EADDRINUSE, "x").code(), StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoStatus(ENOSPC, "cannot write x").message(), "cannot write x: No space left on device");
}

absl::StatusOr<std::unique_ptr<int>> Make(bool ok) {
  if (ok) return std::make_unique<int>(7);
  return absl::AbortedError("no");
}

absl::Status Use(bool ok, int& out) {
  ALCOVE_ASSIGN_OR_RETURN(const std::unique_ptr<int> value, Make(ok));
  out = *value;
  ALCOVE_RETURN_IF_ERROR(absl::OkStatus());
  ALCOVE_RETURN_IF_ERROR(Make(ok));
  return absl::OkStatus();
}

TEST(Status, MacrosReturnErrorsAndMoveValues) {
  int out = 0;
  EXPECT_TRUE(Use(true, out).ok());
  EXPECT_EQ(out, 7);
  EXPECT_EQ(Use(false, out).code(), StatusCode::kAborted);
}

}  // namespace
}  // namespace alcove
