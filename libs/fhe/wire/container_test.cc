#include "libs/fhe/wire/container.h"

#include <gtest/gtest.h>

#include "libs/fhe/fault.h"
#include "libs/fhe/wire/compress.h"

namespace alcove::fhe {
namespace {

std::string Object(Compression compression, SealVersion version = {}) {
  MemberWriter out(version);
  for (uint64_t i = 0; i < 100; ++i) out.U64(i);
  return SealObject(out, compression);
}

// The fault of opening `bytes`, or "none".
std::string FaultOfOpening(const std::string& bytes, size_t limit = 1 << 20) {
  const auto opened = OpenObject(bytes, limit);
  if (opened.ok()) return "none";
  const auto fault = FaultOf(opened.status());
  if (!fault) return "unnamed";
  const absl::string_view name = FaultName(*fault);
  return std::string(name);
}

TEST(OpenObjectTest, ReadsBackEveryCompressionMode) {
  for (Compression mode : {Compression::kNone, Compression::kZlib, Compression::kZstd}) {
    const std::string bytes = Object(mode, {4, 3});
    const auto opened = OpenObject(bytes, 800);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->version(), (SealVersion{4, 3}));
    MemberReader in = opened->Members();
    for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(in.U64(), i);
    EXPECT_TRUE(in.ExpectEnd().ok());
  }
}

TEST(OpenObjectTest, AcceptsExactlySeal36To44) {
  for (int major = 0; major < 6; ++major) {
    for (int minor = 0; minor < 12; ++minor) {
      const bool wanted = (major == 3 && (minor == 6 || minor == 7)) || (major == 4 && minor <= 4);
      const SealVersion version{static_cast<uint8_t>(major), static_cast<uint8_t>(minor)};
      EXPECT_EQ(FaultOfOpening(Object(Compression::kNone, version)), wanted ? "none" : "unsupported_version");
    }
  }
}

TEST(OpenObjectTest, NamesEveryDamageToTheHeader) {
  const std::string good = Object(Compression::kNone);
  const auto damaged = [&](size_t at, int value) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(value);
    return FaultOfOpening(bytes);
  };
  EXPECT_EQ(damaged(0, 0), "bad_magic");
  EXPECT_EQ(damaged(1, 0), "bad_magic");
  EXPECT_EQ(damaged(2, 8), "bad_header");
  EXPECT_EQ(damaged(5, 3), "unsupported_compression");
  EXPECT_EQ(damaged(6, 1), "bad_header");
  EXPECT_EQ(damaged(15, 1), "truncated");
  EXPECT_EQ(FaultOfOpening(good.substr(0, 15)), "truncated");
  EXPECT_EQ(FaultOfOpening(""), "truncated");
  EXPECT_EQ(FaultOfOpening(good.substr(0, good.size() - 1)), "truncated");
  EXPECT_EQ(FaultOfOpening(good + "x"), "trailing_bytes");
  EXPECT_EQ(FaultOfOpening(good, 799), "too_large");
}

TEST(OpenObjectTest, RefusesDamagedAndOversizeStreams) {
  for (Compression mode : {Compression::kZlib, Compression::kZstd}) {
    const std::string good = Object(mode);
    EXPECT_EQ(FaultOfOpening(good, 800), "none");
    EXPECT_EQ(FaultOfOpening(good, 799), "too_large");
    EXPECT_EQ(FaultOfOpening(good, 0), "too_large");
    std::string cut = good.substr(0, good.size() - 6);
    cut[8] = static_cast<char>(cut[8] - 6);
    EXPECT_EQ(FaultOfOpening(cut), "truncated");
    std::string longer = good + "garbage";
    longer[8] = static_cast<char>(longer[8] + 7);
    EXPECT_EQ(FaultOfOpening(longer), "trailing_bytes");
    std::string damaged = good;
    damaged[16] ^= 0x55;
    EXPECT_EQ(FaultOfOpening(damaged), "bad_compressed_data");
  }
}

TEST(OpenObjectTest, StopsABombAtTheLimit) {
  MemberWriter zeros({4, 1});
  const std::vector<uint64_t> words(1 << 20);
  zeros.Words(words);
  for (Compression mode : {Compression::kZlib, Compression::kZstd}) {
    const std::string bomb = SealObject(zeros, mode);
    EXPECT_LT(bomb.size(), 100000u);
    EXPECT_EQ(FaultOfOpening(bomb, 70000), "too_large");
  }
}

TEST(OpenObjectTest, RefusesZstdWindowsAboveEightMebibytes) {
  // A frame header that asks for a 16 MiB window (descriptor 0x00, window byte 14 << 3), then an empty last raw block.
  std::string body("\x28\xB5\x2F\xFD\x00\x70\x01\x00\x00", 9);
  std::string bytes("\x5E\xA1\x10\x04\x01\x02\x00\x00\x19\x00\x00\x00\x00\x00\x00\x00", 16);
  EXPECT_EQ(FaultOfOpening(bytes + body), "bad_compressed_data");
  body[5] = 13 << 3;
  EXPECT_EQ(FaultOfOpening(bytes + body), "none");
}

TEST(MemberReaderTest, NestedObjectsMustMatchTheirContainer) {
  const auto fault = [](std::string nested_bytes) {
    MemberReader in(nested_bytes, SealVersion{4, 1});
    MemberReader nested = in.Nested();
    in.Fail(nested.ExpectEnd());
    return in.ok() ? std::string("none") : std::string(FaultName(*FaultOf(in.status())));
  };
  MemberWriter empty({4, 1});
  const std::string good = SealObject(empty, Compression::kNone);
  EXPECT_EQ(fault(good), "none");
  std::string other = good;
  other[4] = 2;
  EXPECT_EQ(fault(other), "mixed_versions");
  other = good;
  other[5] = 1;
  EXPECT_EQ(fault(other), "unsupported_compression");
  other = good;
  other[8] = 17;
  EXPECT_EQ(fault(other), "truncated");
  EXPECT_EQ(fault(other + "x"), "size_mismatch");
}

}  // namespace
}  // namespace alcove::fhe
