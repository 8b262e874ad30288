#include "libs/fhe/random/stream.h"

#include <numeric>

#include <absl/strings/escaping.h>
#include <gtest/gtest.h>

#include "libs/fhe/poly/isa.h"
#include "libs/fhe/random/blake2b.h"
#include "libs/fhe/random/blake2xb.h"
#include "libs/fhe/random/uniform.h"

namespace alcove::fhe {
namespace {

Seed CountingSeed(Generator generator) {
  Seed seed;
  seed.generator = generator;
  std::iota(seed.bytes.begin(), seed.bytes.end(), 0);
  return seed;
}

std::string StreamHex(Generator generator, size_t at, size_t bytes) {
  SeedStream stream(CountingSeed(generator));
  std::string out(at + bytes, '\0');
  stream.Read(absl::MakeSpan(reinterpret_cast<uint8_t*>(out.data()), out.size()));
  return absl::BytesToHexString(out.substr(at));
}

TEST(Blake2bTest, MatchesTheRfcVector) {
  uint8_t digest[64];
  const std::string abc = "abc";
  Blake2b(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(abc.data()), 3), absl::MakeSpan(digest));
  EXPECT_EQ(absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(digest), 16)),
            "ba80a53f981c4d0d6a2797b69f12f6e9");
  EXPECT_EQ(Blake2bHex(""), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
}

TEST(StreamTest, Blake2xbMatchesSealsBytesAcrossBlocks) {
  EXPECT_EQ(StreamHex(Generator::kBlake2xb, 0, 16), "17b9767f6395a77a3d0f2f2bd234d8c6");
  EXPECT_EQ(StreamHex(Generator::kBlake2xb, 4096, 8), "55e60aa1ba585070");
}

TEST(StreamTest, Shake256MatchesSealsBytesAcrossBlocks) {
  EXPECT_EQ(StreamHex(Generator::kShake256, 0, 16), "50a1cb963bec11dc066324b416d0a141");
  EXPECT_EQ(StreamHex(Generator::kShake256, 4096, 8), "4b5dc99354254175");
}

TEST(StreamTest, EveryKernelGivesTheSameBytes) {
  uint64_t keyed[8];
  blake2xb::CompressKey(CountingSeed(Generator::kBlake2xb).bytes.data(), keyed);
  // One batch of roots, several, and parts of one.
  for (size_t count : {1, 2, 7, 8, 9, 16, 17, 35}) {
    std::vector<uint8_t> scalar(count * blake2xb::kBytes);
    blake2xb::BlocksScalar(keyed, 7, count, scalar.data());
    for (const auto& [isa, blocks] :
         {std::pair(Isa::kAvx2, &blake2xb::BlocksAvx2), std::pair(Isa::kAvx512, &blake2xb::BlocksAvx512)}) {
      if (BestIsa() < isa) continue;
      std::vector<uint8_t> wide(scalar.size() + 1, 0xa5);
      blocks(keyed, 7, count, wide.data());
      EXPECT_EQ(wide.back(), 0xa5) << count;
      wide.pop_back();
      EXPECT_EQ(scalar, wide) << count;
    }
  }
}

TEST(ExpandUniformTest, MatchesSealsPolynomials) {
  const std::vector<Modulus> primes = {Modulus(0xffffee001), Modulus(0xffffc4001)};
  std::vector<uint64_t> a(2 * 4096);
  ExpandUniform(CountingSeed(Generator::kBlake2xb), primes, 4096, absl::MakeSpan(a));
  EXPECT_EQ(a[0], 13973864247u);
  EXPECT_EQ(a[1], 57234623249u);
  EXPECT_EQ(a[2], 40377610194u);
  EXPECT_EQ(a[4096], 68582999532u);
  EXPECT_EQ(a[4097], 6440458191u);
  EXPECT_EQ(a[8191], 27551392899u);
  ExpandUniform(CountingSeed(Generator::kShake256), primes, 4096, absl::MakeSpan(a));
  EXPECT_EQ(a[0], 20614799765u);
  EXPECT_EQ(a[8191], 57852523143u);
}

TEST(ExpandUniformTest, ReplacesRejectedWordsFromTheStreamsContinuation) {
  // 2^64 mod q is large for this prime, so about one word in five is rejected.
  const Modulus q(0xe6666666669e001);
  const Seed seed = CountingSeed(Generator::kBlake2xb);
  std::vector<uint64_t> got(4096);
  ExpandUniform(seed, {q}, 4096, absl::MakeSpan(got));
  SeedStream stream(seed);
  std::vector<uint64_t> raw(8192);
  stream.Read(absl::MakeSpan(reinterpret_cast<uint8_t*>(raw.data()), raw.size() * 8));
  const uint64_t bound = ~uint64_t{0} - ~uint64_t{0} % q.value() - 1;
  size_t next = 4096;
  size_t rejected = 0;
  for (size_t i = 0; i < 4096; ++i) {
    uint64_t word = raw[i];
    while (word >= bound) {
      word = raw[next++];
      ++rejected;
    }
    ASSERT_EQ(got[i], word % q.value());
  }
  EXPECT_GT(rejected, 0u);
}

TEST(SeedStreamTest, LongReadsGiveTheSameBytesAsBlockByBlock) {
  for (Generator generator : {Generator::kBlake2xb, Generator::kShake256}) {
    Seed seed;
    seed.generator = generator;
    std::iota(seed.bytes.begin(), seed.bytes.end(), 3);
    // Eight blocks at once, then one, then a part; starting inside a block too.
    for (size_t skip : {size_t{0}, size_t{100}}) {
      SeedStream stream(seed);
      std::vector<uint8_t> head(skip), got(17 * kStreamBlockBytes + 50), want(19 * kStreamBlockBytes);
      stream.Read(absl::MakeSpan(head));
      stream.Read(absl::MakeSpan(got));
      for (size_t b = 0; b < 19; ++b) StreamBlocks(seed, b, 1, want.data() + b * kStreamBlockBytes);
      EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin() + static_cast<std::ptrdiff_t>(skip)));
    }
  }
}

TEST(UniformKernelsTest, EveryKernelEqualsLongDivision) {
  for (uint64_t q :
       {uint64_t{4099}, uint64_t{12289}, uint64_t{16411}, uint64_t{417793}, uint64_t{0xffffee001},
        uint64_t{0x1ffffe0001}, uint64_t{0x2000000005001}, uint64_t{0x3ffffffffc001}, uint64_t{0xffffffffffe8001}}) {
    const Modulus m(q);
    std::vector<const uniform::Kernels*> kernels = {&uniform::kScalar, &uniform::Best(m.bits())};
    if (BestIsa() >= Isa::kAvx2 && m.bits() >= 15 && m.bits() <= 50) kernels.push_back(&uniform::kAvx2);
    std::vector<uint64_t> words(4096);
    uint64_t x = 88172645463325252;
    for (uint64_t& w : words) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      w = x;
    }
    words[0] = 0;
    words[1] = ~uint64_t{0};
    words[2] = q;
    words[3] = q - 1;
    for (size_t i = 4; i < 1000; ++i) words[i] = ~uint64_t{0} / q * q - 1 + i % 3 - q * (i / 3);
    for (const uniform::Kernels* k : kernels) {
      EXPECT_EQ(k->largest(words.data(), words.size()), ~uint64_t{0});
      std::vector<uint64_t> out = words;
      const uint64_t largest =
          k->reduce(out.data(), out.size(),
                    {q, m.bits(), static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / q),
                     static_cast<uint64_t>((static_cast<unsigned __int128>(1) << (51 + m.bits())) / q)});
      EXPECT_EQ(largest, ~uint64_t{0});
      for (size_t i = 0; i < words.size(); ++i) ASSERT_EQ(out[i], words[i] % q) << q << " at " << i;
    }
  }
}

}  // namespace
}  // namespace alcove::fhe
