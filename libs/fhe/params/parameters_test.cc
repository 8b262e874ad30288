#include "libs/fhe/params/parameters.h"

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/fhe/fault.h"
#include "libs/fhe/params/modulus.h"
#include "libs/fhe/params/security.h"

namespace alcove::fhe {
namespace {

using ::testing::ElementsAre;

std::string Hex(const ParmsId& id) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

EncryptionParameters Good() { return {Scheme::kBfv, 4096, {0xffffee001, 0xffffc4001, 0x1ffffe0001}, 1032193}; }

void ExpectFault(const absl::Status& status, Fault fault) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(FaultOf(status).has_value()) << status;
  EXPECT_EQ(FaultName(*FaultOf(status)), FaultName(fault)) << status;
}

TEST(ParmsIdTest, IsSealsBlake2bOfTheParameterWords) {
  EncryptionParameters p = Good();
  EXPECT_EQ(Hex(p.IdAt(2)), "34779ca7413cfe19042a04464658a49b4fbdacaadd8b622f4a9ab9e12ab78702");
  EXPECT_EQ(Hex(p.DataId()), Hex(p.IdAt(2)));
  EXPECT_EQ(Hex(p.KeyId()).substr(0, 16), "51f0b0172e4629d5");
  EXPECT_EQ(p.PrimesAt(p.KeyId()), 3u);
  EXPECT_EQ(p.PrimesAt(p.IdAt(1)), 1u);
  EXPECT_EQ(p.PrimesAt(ParmsId{}), 0u);
}

TEST(CreatePrimesTest, HandsOutSealsPrimesSmallestFirst) {
  EXPECT_THAT(*CreatePrimes(8192, {60, 40, 40, 60}),
              ElementsAre(0xffffffffffe8001, 0xfffff4c001, 0xfffffdc001, 0xfffffffffffc001));
  EXPECT_THAT(*CreatePrimes(4096, {36, 36, 37}), ElementsAre(0xffffc4001, 0xffffee001, 0x1ffffe0001));
  EXPECT_THAT(*CreatePrimes(4096, {50, 50}), ElementsAre(0x3fffffffcc001, 0x3ffffffffc001));
  EXPECT_THAT(*CreatePrimes(4096, {50, 59}), ElementsAre(0x3ffffffffc001, 0x7ffffffffffe001));
}

TEST(CreatePrimesTest, RefusesSizesWithoutSuchPrimes) {
  ExpectFault(CreatePrimes(4096, {61}).status(), Fault::kPrimeOutOfRange);
  ExpectFault(CreatePrimes(4096, {12}).status(), Fault::kPrimeOutOfRange);
  ExpectFault(CreatePrimes(1000, {30}).status(), Fault::kDegreeOutOfRange);
}

TEST(MinimalRootTest, IsTheSmallestPrimitiveRoot) {
  EXPECT_EQ(MinimalRoot(Modulus(0xffffee001), 8192), 0x1720701u);
  EXPECT_EQ(MinimalRoot(Modulus(0xffffc4001), 8192), 0x1baa271u);
  EXPECT_EQ(MinimalRoot(Modulus(0x1ffffe0001), 8192), 0x839eb4u);
}

TEST(ModulusTest, ReducesLikeLongDivision) {
  for (uint64_t q : {uint64_t{2}, uint64_t{3}, uint64_t{417793}, uint64_t{0x3ffffffffc001}, uint64_t{0x7ffffffffffe001},
                     (uint64_t{1} << 60) - 1, (uint64_t{1} << 61) - 1}) {
    const Modulus m(q);
    uint64_t x = 0x9e3779b97f4a7c15;
    for (int i = 0; i < 2000; ++i) {
      x = x * 6364136223846793005 + 1442695040888963407;
      const uint64_t y = x * 0xd1342543de82ef95 + 1;
      const unsigned __int128 wide = (static_cast<unsigned __int128>(x) << 64) | y;
      ASSERT_EQ(m.Reduce(x), x % q);
      ASSERT_EQ(m.Reduce128(wide), static_cast<uint64_t>(wide % q));
      ASSERT_EQ(m.Mul(x, m.Shoup(y % q)), static_cast<uint64_t>(static_cast<unsigned __int128>(x) * (y % q) % q));
    }
    for (uint64_t b : {uint64_t{0}, uint64_t{1}, q / 2, q - 1}) {
      for (int bits : {52, 64}) {
        if (bits == 52 && m.bits() > 50) continue;
        EXPECT_EQ(m.ShoupQuotient(b, bits), static_cast<uint64_t>((static_cast<unsigned __int128>(b) << bits) / q));
      }
    }
    EXPECT_EQ(m.Reduce(~uint64_t{0}), ~uint64_t{0} % q);
    EXPECT_EQ(m.Reduce128(~static_cast<unsigned __int128>(0)),
              static_cast<uint64_t>(~static_cast<unsigned __int128>(0) % q));
    EXPECT_EQ(m.FromSigned(-1), q - 1);
  }
}

TEST(IsPrimeTest, TellsPrimesFromStrongPseudoprimes) {
  EXPECT_TRUE(IsPrime(0x7ffffffffffe001));
  EXPECT_TRUE(IsPrime(2));
  EXPECT_FALSE(IsPrime(1));
  EXPECT_FALSE(IsPrime(3215031751));           // strong pseudoprime to 2, 3, 5, 7
  EXPECT_FALSE(IsPrime(3825123056546413051));  // to 2 … 23
}

TEST(SecurityTest, KnowsTheStandardTable) {
  EXPECT_EQ(MaxModulusBits(SecurityLevel::kClassical128, 4096), 109);
  EXPECT_EQ(MaxModulusBits(SecurityLevel::kClassical192, 8192), 152);
  EXPECT_EQ(MaxModulusBits(SecurityLevel::kClassical256, 32768), 476);
  EXPECT_EQ(MaxModulusBits(SecurityLevel::kQuantum128, 4096), 101);
  EXPECT_EQ(MaxModulusBits(SecurityLevel::kClassical128, 512), 0);
  EXPECT_EQ(StrongestClassical(4096, 109), SecurityLevel::kClassical128);
  EXPECT_EQ(StrongestClassical(4096, 110), SecurityLevel::kNone);
  EXPECT_EQ(StrongestClassical(4096, 58), SecurityLevel::kClassical256);
}

TEST(ValidateTest, AcceptsWhatSealCallsItsDefaults) {
  EXPECT_TRUE(Validate(Good()).ok());
  EncryptionParameters largest = {Scheme::kBfv, 4096, *CreatePrimes(4096, {50, 59}), 417793};
  EXPECT_EQ(largest.TotalBits(), 109);
  EXPECT_TRUE(Validate(largest).ok());
  EncryptionParameters ckks = {Scheme::kCkks, 8192, *CreatePrimes(8192, {60, 40, 40, 60}), 0};
  EXPECT_TRUE(Validate(ckks).ok());
}

TEST(ValidateTest, NamesEachViolation) {
  const auto with = [](auto change) {
    EncryptionParameters p = Good();
    change(p);
    return Validate(p);
  };
  using P = EncryptionParameters;
  ExpectFault(with([](P& p) { p.scheme = Scheme::kNone; }), Fault::kUnknownScheme);
  ExpectFault(with([](P& p) { p.scheme = static_cast<Scheme>(9); }), Fault::kUnknownScheme);
  ExpectFault(with([](P& p) { p.degree = 4095; }), Fault::kDegreeOutOfRange);
  ExpectFault(with([](P& p) { p.degree = 512; }), Fault::kDegreeOutOfRange);
  ExpectFault(with([](P& p) { p.degree = 65536; }), Fault::kDegreeOutOfRange);
  ExpectFault(with([](P& p) { p.primes.clear(); }), Fault::kPrimeCountOutOfRange);
  ExpectFault(with([](P& p) { p.primes.assign(65, 3); }), Fault::kPrimeCountOutOfRange);
  ExpectFault(with([](P& p) { p.primes[0] = 1; }), Fault::kPrimeOutOfRange);
  ExpectFault(with([](P& p) { p.primes[0] = uint64_t{1} << 60; }), Fault::kPrimeOutOfRange);
  ExpectFault(with([](P& p) { p.primes[1] = 0x3ffffffffc001; }), Fault::kInsecure);
  ExpectFault(with([](P& p) { p.primes[1] = p.primes[0]; }), Fault::kPrimeRepeated);
  ExpectFault(with([](P& p) { p.primes[1] = 8193 * 5; }), Fault::kPrimeNotPrime);
  ExpectFault(with([](P& p) { p.primes[1] = 1000003; }), Fault::kPrimeNotNttFriendly);
  ExpectFault(with([](P& p) { p.plain_modulus = 1; }), Fault::kPlainModulusOutOfRange);
  ExpectFault(with([](P& p) { p.scheme = Scheme::kCkks; }), Fault::kPlainModulusOutOfRange);
  ExpectFault(with([](P& p) { p.plain_modulus = p.primes[0]; }), Fault::kPlainModulusNotCoprime);
  ExpectFault(with([](P& p) {
                p.primes.pop_back();
                p.plain_modulus = uint64_t{1} << 50;
              }),
              Fault::kPlainModulusTooLarge);
}

}  // namespace
}  // namespace alcove::fhe
