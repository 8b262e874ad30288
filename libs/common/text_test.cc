#include "libs/common/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "libs/common/hash.h"
#include "libs/common/net_address.h"

namespace alcove {
namespace {

TEST(Text, FormatsBytesForPeople) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(uint64_t{64} << 20), "64 MiB");
}

TEST(Text, ReadsSizesWithDecimalAndBinaryUnits) {
  const std::pair<const char*, uint64_t> cases[] = {{"0", 0},
                                                    {"1048576", 1048576},
                                                    {"64MiB", 64u << 20},
                                                    {"64Mi", 64u << 20},
                                                    {"1.5GB", 1500000000},
                                                    {"512k", 512000},
                                                    {"10 GiB", uint64_t{10} << 30},
                                                    {"9223372036854775807", INT64_MAX}};
  for (const auto& [text, bytes] : cases) EXPECT_EQ(*ParseByteSize(text), bytes) << text;
  for (const char* wrong :
       {"", "-1", "MiB", "1XB", "1e3", "1..5k", "9223372036854775808", "9000000TiB", "1 2", ".5k"}) {
    EXPECT_FALSE(ParseByteSize(wrong).ok()) << wrong;
  }
  for (const uint64_t bytes : {0ul, 1ul, 1000ul, 1024ul, 3ul << 30, 123456789ul}) {
    EXPECT_EQ(*ParseByteSize(FormatByteSizeExact(bytes)), bytes);
  }
}

TEST(Text, ReadsAndWritesDurations) {
  EXPECT_EQ(*ParseDurationText("50ms"), absl::Milliseconds(50));
  EXPECT_EQ(*ParseDurationText("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDurationText("7d"), absl::Hours(168));
  EXPECT_EQ(*ParseDurationText("1d12h"), absl::Hours(36));
  EXPECT_EQ(*ParseDurationText("0"), absl::ZeroDuration());
  for (const char* wrong : {"", "5", "ms", "1x", "d", "1d d", "nand"})
    EXPECT_FALSE(ParseDurationText(wrong).ok()) << wrong;
  for (const absl::Duration d : {absl::Seconds(90), absl::Microseconds(1500), absl::Hours(48), absl::Nanoseconds(7),
                                 absl::ZeroDuration(), -absl::Seconds(5)}) {
    EXPECT_EQ(*ParseDurationText(FormatDurationExact(d)), d);
  }
  EXPECT_EQ(FormatDurationShort(absl::Microseconds(12345)), "12.35ms");
  EXPECT_EQ(FormatDurationShort(absl::Seconds(90)), "1m30s");
  EXPECT_EQ(FormatDurationShort(absl::Hours(26)), "1d2h");
}

TEST(Text, KnowsWellFormedUtf8) {
  for (const char* good :
       {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsValidUtf8(good)) << good;
    EXPECT_EQ(ToValidUtf8(good), good);
  }
  for (const char* bad :
       {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_FALSE(IsValidUtf8(bad));
    EXPECT_TRUE(IsValidUtf8(ToValidUtf8(bad)));
  }
  EXPECT_EQ(TruncateUtf8("a\xe2\x82\xac", 3), "a");
  EXPECT_EQ(TruncateUtf8("abc", 3), "abc");
}

TEST(Text, WritesJsonStrings) {
  std::string out;
  AppendJsonString(out, absl::string_view("a\"\\\n\t\x01\x7f\xff\xc3\xa9\0", 11));
  EXPECT_EQ(out, "\"a\\\"\\\\\\n\\t\\u0001\\u007f\xef\xbf\xbd\xc3\xa9\\u0000\"");
}

TEST(Text, FindsTheNearestName) {
  const std::vector<std::string> names = {"port", "listen", "level"};
  EXPECT_EQ(ClosestMatch("prot", names), "port");
  EXPECT_EQ(ClosestMatch("LISTEN", names), "listen");
  EXPECT_EQ(ClosestMatch("levle", names), "level");
  EXPECT_EQ(ClosestMatch("threads", names), "");
  EXPECT_EQ(ClosestMatch("", names), "");
}

TEST(Hash, IsStableAndSpreads) {
  // Values of the XXH3 specification for the empty input.
  EXPECT_EQ(Hash64(""), 0x2d06800538d394c2u);
  EXPECT_EQ(Hash128("").hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_NE(Hash64("a"), Hash64("b"));
  EXPECT_NE(Hash64("a", 1), Hash64("a", 2));
  EXPECT_NE(HashCombine(1, 2), HashCombine(2, 1));
}

TEST(Hash, WritesAndReadsHex) {
  EXPECT_EQ(ToHex(absl::string_view("\x00\xff\x1a", 3)), "00ff1a");
  EXPECT_EQ(FromHex("00FF1a"), std::string("\x00\xff\x1a", 3));
  EXPECT_FALSE(FromHex("0"));
  EXPECT_FALSE(FromHex("0g"));
}

TEST(NetAddress, ReadsHostsAndPorts) {
  EXPECT_EQ(ParseHostPort("127.0.0.1:80")->ToString(), "127.0.0.1:80");
  EXPECT_EQ(ParseHostPort("[::1]:7")->host, "::1");
  EXPECT_EQ(ParseHostPort("[::1]:7")->ToString(), "[::1]:7");
  EXPECT_EQ(ParseHostPort(":0")->host, "");
  for (const char* wrong :
       {"", "host", "host:", "host:x", "host:65536", "host:-1", "::1:80", "[::1]80", "a b:1", "a/b:1"}) {
    EXPECT_FALSE(ParseHostPort(wrong).ok()) << wrong;
  }
  EXPECT_TRUE(IsLoopback({"127.9.9.9", 1}));
  EXPECT_TRUE(IsLoopback({"::1", 1}));
  EXPECT_FALSE(IsLoopback({"0.0.0.0", 1}));
  EXPECT_FALSE(IsLoopback({"", 1}));
}

TEST(NetAddress, NamesATakenPort) {
  const auto first = ListenTcp({"127.0.0.1", 0});
  ASSERT_TRUE(first.ok());
  EXPECT_NE(first->second, 0);
  const auto second = ListenTcp({"127.0.0.1", first->second});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(second.status().message(),
            "cannot listen on 127.0.0.1:" + std::to_string(first->second) + ": Address already in use");
  EXPECT_FALSE(ListenTcp({"no.such.host.invalid", 0}).ok());
  close(first->first);
}

}  // namespace
}  // namespace alcove
