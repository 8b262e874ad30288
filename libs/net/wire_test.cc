#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "libs/common/status.h"
#include "libs/net/grpc_wire.h"
#include "libs/net/header_list.h"
#include "libs/net/http2_memory.h"
#include "libs/net/status_details.h"
#include "libs/net/timer_wheel.h"

namespace alcove::net {
namespace {

TEST(HeaderList, LooksUpWithoutCaseAndKeepsOrder) {
  HeaderList list;
  list.Add("Content-Type", "Text/Plain");
  list.Add("X-A", "1");
  list.Add("x-a", "2");
  EXPECT_EQ(list.Get("content-type"), "Text/Plain");
  EXPECT_EQ(list.Get("x-a"), "1");
  EXPECT_EQ(list[2].value, "2");
  EXPECT_EQ(list.Get("absent").data(), nullptr);
  list.Set("x-a", "3");
  EXPECT_EQ(list.size(), 2u);
  EXPECT_EQ(list.Get("x-a"), "3");
  list.Remove("content-type");
  EXPECT_FALSE(list.Has("content-type"));
}

TEST(HeaderList, TellsAnEmptyValueFromAnAbsentField) {
  HeaderList list;
  list.Add("te", "");
  EXPECT_TRUE(list.Has("te"));
  EXPECT_EQ(list.Get("te"), "");
}

class Recorder final : public TimerEntry {
 public:
  int fired = 0;
  std::function<void()> then;

 private:
  void OnTimer() override {
    ++fired;
    if (then) then();
  }
};

constexpr int64_t kTick = TimerWheel::kTickNs;

TEST(TimerWheel, FiresAtTheDeadlineAndNeverEarly) {
  TimerWheel wheel(16);
  Recorder timer;
  wheel.Arm(timer, 10 * kTick + 1);
  wheel.Advance(10 * kTick + 1);
  EXPECT_EQ(timer.fired, 0);
  wheel.Advance(11 * kTick);
  EXPECT_EQ(timer.fired, 1);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(wheel.armed(), 0u);
}

TEST(TimerWheel, KeepsDeadlinesBeyondOneTurnOfTheWheel) {
  TimerWheel wheel(16);
  Recorder near, far;
  wheel.Arm(near, 3 * kTick);
  wheel.Arm(far, (3 + 16 * 5) * kTick);
  wheel.Advance(20 * kTick);
  EXPECT_EQ(near.fired, 1);
  EXPECT_EQ(far.fired, 0);
  wheel.Advance((2 + 16 * 5) * kTick);
  EXPECT_EQ(far.fired, 0);
  wheel.Advance((3 + 16 * 5) * kTick);
  EXPECT_EQ(far.fired, 1);
}

TEST(TimerWheel, FiresEverythingAfterALongPause) {
  TimerWheel wheel(16);
  std::vector<Recorder> timers(100);
  for (size_t i = 0; i < timers.size(); ++i) wheel.Arm(timers[i], static_cast<int64_t>(i) * kTick);
  wheel.Advance(1'000'000 * kTick);
  for (const Recorder& t : timers) EXPECT_EQ(t.fired, 1);
}

TEST(TimerWheel, MovingCancellingAndDestroyingDisarm) {
  TimerWheel wheel(16);
  Recorder moved, cancelled;
  wheel.Arm(moved, kTick);
  wheel.Arm(moved, 5 * kTick);
  wheel.Arm(cancelled, kTick);
  wheel.Cancel(cancelled);
  {
    Recorder dead;
    wheel.Arm(dead, kTick);
  }
  wheel.Advance(2 * kTick);
  EXPECT_EQ(moved.fired + cancelled.fired, 0);
  EXPECT_EQ(wheel.armed(), 1u);
  wheel.Advance(5 * kTick);
  EXPECT_EQ(moved.fired, 1);
}

TEST(TimerWheel, ATimerMayArmItselfOrCancelItsNeighbour) {
  TimerWheel wheel(16);
  Recorder again, victim;
  again.then = [&] {
    wheel.Cancel(victim);
    if (again.fired < 3) wheel.Arm(again, 0);
  };
  wheel.Arm(again, kTick);
  wheel.Arm(victim, kTick);
  wheel.Advance(kTick);
  EXPECT_EQ(again.fired, 1);
  EXPECT_EQ(victim.fired, 0);
  wheel.Advance(2 * kTick);
  wheel.Advance(3 * kTick);
  EXPECT_EQ(again.fired, 3);
}

TEST(TimerWheel, WakesBeforeTheNextDeadline) {
  TimerWheel wheel(16);
  EXPECT_EQ(wheel.NextWakeNs(), INT64_MAX);
  Recorder timer;
  wheel.Arm(timer, 7 * kTick);
  EXPECT_LE(wheel.NextWakeNs(), 7 * kTick);
  EXPECT_GT(wheel.NextWakeNs(), 0);
}

TEST(GrpcMessageReader, CutsMessagesFromOneBytePieces) {
  std::string stream;
  AppendGrpcMessage("first", stream);
  AppendGrpcMessage("", stream);
  AppendGrpcMessage(std::string(1000, 'z'), stream);
  GrpcMessageReader reader(4096);
  std::vector<std::string> messages;
  for (char c : stream) {
    reader.Append(std::string_view(&c, 1));
    for (;;) {
      auto next = reader.Next();
      ASSERT_TRUE(next.ok());
      if (!next->has_value()) break;
      messages.push_back(**next);
    }
  }
  EXPECT_EQ(messages, (std::vector<std::string>{"first", "", std::string(1000, 'z')}));
  EXPECT_TRUE(reader.AtBoundary());
}

TEST(GrpcMessageReader, RefusesWhatItCannotTake) {
  GrpcMessageReader large(10);
  large.Append(std::string("\0\0\0\0\x0b", 5));
  EXPECT_EQ(large.Next().status().code(), absl::StatusCode::kResourceExhausted);
  GrpcMessageReader compressed(10);
  compressed.Append(std::string("\1\0\0\0\0", 5));
  EXPECT_EQ(compressed.Next().status().code(), absl::StatusCode::kUnimplemented);
  GrpcMessageReader malformed(10);
  malformed.Append(std::string("\7\0\0\0\0", 5));
  EXPECT_EQ(malformed.Next().status().code(), absl::StatusCode::kInternal);
}

TEST(GrpcTimeout, ParsesTheGrammarAndNothingElse) {
  EXPECT_EQ(ParseGrpcTimeout("1S"), absl::Seconds(1));
  EXPECT_EQ(ParseGrpcTimeout("99999999H"), absl::Hours(99999999));
  EXPECT_EQ(ParseGrpcTimeout("250m"), absl::Milliseconds(250));
  EXPECT_EQ(ParseGrpcTimeout("7u"), absl::Microseconds(7));
  EXPECT_EQ(ParseGrpcTimeout("7n"), absl::Nanoseconds(7));
  EXPECT_EQ(ParseGrpcTimeout("3M"), absl::Minutes(3));
  for (std::string_view bad : {"", "S", "1", "123456789S", "-1S", "1s", "1.5S", "1 S", "S1"}) {
    EXPECT_EQ(ParseGrpcTimeout(bad), std::nullopt) << bad;
  }
}

TEST(GrpcTimeout, FormatsWithinEightDigitsAndNeverLonger) {
  for (absl::Duration d : {absl::Nanoseconds(1), absl::Microseconds(1500), absl::Milliseconds(99), absl::Seconds(30),
                           absl::Hours(5000), absl::Hours(200'000'000)}) {
    const std::string text = FormatGrpcTimeout(d);
    EXPECT_LE(text.size(), 9u);
    const auto back = ParseGrpcTimeout(text);
    ASSERT_TRUE(back.has_value()) << text;
    EXPECT_LE(*back, d);
  }
  EXPECT_EQ(FormatGrpcTimeout(absl::Seconds(30)), "30000000u");
  EXPECT_EQ(FormatGrpcTimeout(-absl::Seconds(1)), "1n");
  EXPECT_EQ(FormatGrpcTimeout(absl::InfiniteDuration()), "99999999H");
}

TEST(GrpcMessageText, EncodesAndDecodesEveryByte) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  EXPECT_EQ(PercentDecode(PercentEncode(all)), all);
  EXPECT_EQ(PercentEncode("50% ü"), "50%25 %C3%BC");
  EXPECT_EQ(PercentDecode("a%2"), "a%2");
  EXPECT_EQ(PercentDecode("a%zz%41"), "a%zzA");
}

TEST(GrpcTrailers, CarryCodeMessageAndDetailsBothWays) {
  absl::Status status = absl::InvalidArgumentError("dimension is 3, want 4");
  SetErrorDetails(status, {.reason = "WRONG_DIMENSION",
                           .field_violations = {{"points[0].vector", "has 3 values"}},
                           .resource = ResourceInfo{"collection", "docs", "yours"},
                           .retry_after = absl::Milliseconds(1500)});
  HeaderList trailers;
  AppendGrpcTrailers(status, trailers);
  EXPECT_EQ(trailers.Get("grpc-status"), "3");
  const absl::Status back = StatusFromGrpcTrailers(trailers, 200);
  EXPECT_EQ(back.code(), status.code());
  EXPECT_EQ(back.message(), status.message());
  EXPECT_EQ(GetErrorDetails(back), GetErrorDetails(status));
}

TEST(GrpcTrailers, AMissingStatusIsReadFromHttp) {
  const HeaderList none;
  EXPECT_EQ(StatusFromGrpcTrailers(none, 401).code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(StatusFromGrpcTrailers(none, 404).code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(StatusFromGrpcTrailers(none, 503).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(StatusFromGrpcTrailers(none, 200).code(), absl::StatusCode::kUnknown);
  HeaderList garbled;
  garbled.Add("grpc-status", "1x");
  EXPECT_EQ(StatusFromGrpcTrailers(garbled, 200).code(), absl::StatusCode::kUnknown);
}

TEST(StatusDetails, MalformedBytesAttachNothing) {
  for (std::string_view bad :
       {"\x1a\xff", "\x1a\x05\x0a\x01x", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x07"}) {
    absl::Status status = absl::InternalError("x");
    DecodeStatusDetails(bad, status);
    EXPECT_TRUE(GetErrorDetails(status).empty());
  }
}

TEST(Http2Memory, GivesBackWhatItTook) {
  nghttp2_mem* mem = Http2Memory();
  std::vector<std::pair<char*, size_t>> blocks;
  for (size_t size : {0u, 1u, 63u, 64u, 65u, 1023u, 1024u, 1025u, 100000u}) {
    auto* block = static_cast<char*>(mem->malloc(size, nullptr));
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0u);
    std::fill_n(block, size, 'a');
    block = static_cast<char*>(mem->realloc(block, size + 100, nullptr));
    EXPECT_TRUE(std::all_of(block, block + size, [](char c) { return c == 'a'; }));
    blocks.emplace_back(block, size + 100);
  }
  for (auto& [block, size] : blocks) mem->free(block, nullptr);
  auto* zero = static_cast<char*>(mem->calloc(7, 100, nullptr));
  EXPECT_TRUE(std::all_of(zero, zero + 700, [](char c) { return c == 0; }));
  mem->free(zero, nullptr);
  mem->free(nullptr, nullptr);
  EXPECT_EQ(mem->calloc(SIZE_MAX, 2, nullptr), nullptr);
}

}  // namespace
}  // namespace alcove::net
