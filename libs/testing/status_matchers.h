// GoogleMock matchers for absl::Status and absl::StatusOr:
//
//   EXPECT_THAT(Load(path), IsOk());
//   EXPECT_THAT(Parse("7"), IsOkAndHolds(7));
//   EXPECT_THAT(Parse("x"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a number")));
//   ALCOVE_ASSERT_OK_AND_ASSIGN(const auto value, Parse("7"));
#pragma once

#include <ostream>
#include <string>
#include <type_traits>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/status.h"

namespace alcove::testing {

namespace matchers_internal {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

template <typename T>
class HoldsMatcher {
 public:
  explicit HoldsMatcher(T inner) : inner_(std::move(inner)) {}
  using is_gtest_matcher = void;
  template <typename Value>
  bool MatchAndExplain(const absl::StatusOr<Value>& result, ::testing::MatchResultListener* listener) const {
    if (!result.ok()) {
      *listener << "which is " << result.status();
      return false;
    }
    return ::testing::ExplainMatchResult(inner_, *result, listener);
  }
  void DescribeTo(std::ostream* os) const { *os << "is OK and holds the expected value"; }
  void DescribeNegationTo(std::ostream* os) const { *os << "is not OK or holds another value"; }

 private:
  T inner_;
};

}  // namespace matchers_internal

MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  const absl::Status& status = matchers_internal::StatusOf(arg);
  if (!status.ok()) *result_listener << "which is " << status;
  return status.ok();
}

// The value of an OK StatusOr matches `inner`, a value or a matcher.
template <typename T>
matchers_internal::HoldsMatcher<T> IsOkAndHolds(T inner) {
  return matchers_internal::HoldsMatcher<T>(std::move(inner));
}

MATCHER_P(HasCode, code, std::string(negation ? "has not code " : "has code ") + std::string(StatusCodeName(code))) {
  const absl::Status& status = matchers_internal::StatusOf(arg);
  *result_listener << "which is " << status;
  return status.code() == code;
}

MATCHER_P2(HasCodeAndMessage, code, message,
           "has code " + std::string(StatusCodeName(code)) + " and a message that matches") {
  const absl::Status& status = matchers_internal::StatusOf(arg);
  *result_listener << "which is " << status;
  return status.code() == code &&
         ::testing::ExplainMatchResult(message, std::string(status.message()), result_listener);
}

inline auto StatusIs(absl::StatusCode code) { return HasCode(code); }
template <typename Message>
auto StatusIs(absl::StatusCode code, Message message) {
  return HasCodeAndMessage(code, message);
}

}  // namespace alcove::testing

#define ALCOVE_EXPECT_OK(expr) EXPECT_THAT((expr), ::alcove::testing::IsOk())
#define ALCOVE_ASSERT_OK(expr) ASSERT_THAT((expr), ::alcove::testing::IsOk())
// Declares or assigns the value of a StatusOr, or ends the test with its error.
#define ALCOVE_ASSERT_OK_AND_ASSIGN(lhs, ...) \
  ALCOVE_ASSERT_OK_AND_ASSIGN_INNER(ALCOVE_STATUS_CONCAT(alcove_test_statusor_, __LINE__), lhs, __VA_ARGS__)
#define ALCOVE_ASSERT_OK_AND_ASSIGN_INNER(statusor, lhs, ...) \
  auto statusor = (__VA_ARGS__);                              \
  ASSERT_THAT(statusor, ::alcove::testing::IsOk());           \
  lhs = *std::move(statusor)
