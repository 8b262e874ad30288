#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "libs/fhe/ckks/encoder.h"
#include "libs/fhe/ckks/evaluator.h"
#include "libs/fhe/client/ckks_client.h"
#include "libs/fhe/client/client.h"
#include "libs/fhe/fault.h"

namespace alcove::fhe {
namespace {

using Complexes = std::vector<std::complex<double>>;

// Narrow and wide primes: every kernel and three levels.
std::shared_ptr<const Context> Make(size_t degree, const std::vector<int>& bits) {
  return *Context::Create({Scheme::kCkks, degree, *CreatePrimes(degree, bits), 0});
}

class CkksTest : public ::testing::TestWithParam<std::vector<int>> {
 protected:
  CkksTest()
      : context(Make(8192, GetParam())),
        encoder(*CkksEncoder::Create(context)),
        secret(SecretKey::Generate(*context)),
        scratch(*context) {}
  Complexes Values(uint64_t seed) const {
    std::mt19937_64 rng(seed);
    std::uniform_real_distribution<double> uniform(-1, 1);
    Complexes out(encoder.slots());
    for (auto& v : out) v = {uniform(rng), uniform(rng)};
    return out;
  }
  CkksPlaintext Plain(const Complexes& v) const {
    return *encoder.Encode(v, std::exp2(GetParam()[1]), context->data_rows());
  }
  CkksCiphertext Encrypted(const Complexes& v) const {
    // Through the wire, so that seed and form are those a server sees.
    const std::string bytes = WriteCiphertext(EncryptSymmetric(*context, secret, Plain(v)), {});
    return *CkksFromWire(*context, ReadCiphertext(bytes, context->parameters())->object);
  }
  Complexes Decrypted(const Ciphertext& wire) const {
    const auto read = ReadCiphertext(WriteCiphertext(wire, {}), context->parameters());
    EXPECT_TRUE(read.ok()) << read.status();
    return encoder.Decode(*DecryptCkks(*context, secret, read->object));
  }
  static void ExpectNear(const Complexes& got, const Complexes& want, double error) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) ASSERT_LT(std::abs(got[i] - want[i]), error) << i;
  }
  std::shared_ptr<const Context> context;
  CkksEncoder encoder;
  SecretKey secret;
  KeySwitchScratch scratch;
};

TEST_P(CkksTest, EncodingIsUndoneByDecoding) {
  const Complexes v = Values(1);
  ExpectNear(encoder.Decode(Plain(v)), v, 1e-6);
  const CkksPlaintext plain = Plain(v);
  const auto again =
      CkksFromWire(*context, ReadPlaintext(WritePlaintext(ToWire(*context, plain), {}), context->parameters())->object);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->poly, plain.poly);
}

TEST_P(CkksTest, SymmetricAndPublicEncryptionsDecrypt) {
  const Complexes v = Values(2);
  ExpectNear(Decrypted(EncryptSymmetric(*context, secret, Plain(v))), v, 1e-5);
  const std::string key = WritePublicKey(MakePublicKey(*context, secret), {});
  const auto read = ReadPublicKey(key, context->parameters());
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectNear(Decrypted(EncryptPublic(*context, read->object, Plain(v))), v, 1e-4);
}

TEST_P(CkksTest, SumsAndProductsAreThoseOfTheSlots) {
  const Complexes a = Values(3), b = Values(4);
  const CkksCiphertext x = Encrypted(a), y = Encrypted(b);
  Complexes sum, product, square;
  for (size_t i = 0; i < a.size(); ++i) {
    sum.push_back(a[i] + b[i]);
    product.push_back(a[i] * b[i]);
    square.push_back(a[i] * a[i] * b[i]);
  }
  ExpectNear(Decrypted(ToWire(*context, *Add(*context, x, y))), sum, 1e-4);
  ExpectNear(Decrypted(ToWire(*context, *AddPlain(*context, x, Plain(b)))), sum, 1e-4);
  ExpectNear(Decrypted(ToWire(*context, *Rescale(*context, *MultiplyPlain(*context, x, Plain(b))))), product, 1e-4);

  const CkksProduct three = *Multiply(*context, x, y);
  ExpectNear(Decrypted(ToWire(*context, three)), product, 1e-4);
  const auto keys =
      ReadRelinKeys(WriteRelinKeys(MakeRelinKeys(*context, secret), context->parameters(), {}), context->parameters());
  ASSERT_TRUE(keys.ok()) << keys.status();
  const SwitchKey key(*context, keys->object.keys[0]);
  const CkksCiphertext two = Relinearise(*context, three, key, scratch);
  ExpectNear(Decrypted(ToWire(*context, two)), product, 1e-4);
  // A second product one level down, where key switching has fewer digits.
  const CkksCiphertext lower = *Rescale(*context, two);
  EXPECT_NEAR(lower.scale, std::exp2(GetParam()[1]), std::exp2(GetParam()[1] - 8));
  const CkksCiphertext other = *ModSwitchDown(*context, x);
  const CkksCiphertext deep = Relinearise(*context, *Multiply(*context, lower, other), key, scratch);
  ExpectNear(Decrypted(ToWire(*context, deep)), square, 1e-3);
  ExpectNear(Decrypted(ToWire(*context, *Rescale(*context, deep))), square, 1e-3);
}

TEST_P(CkksTest, RotationsMoveSlotsAndConjugate) {
  const Complexes v = Values(5);
  const uint32_t two_n = static_cast<uint32_t>(2 * context->degree());
  const GaloisKeys keys = MakeGaloisKeys(*context, secret, {3, two_n - 1});
  Complexes rotated, conjugated;
  for (size_t i = 0; i < v.size(); ++i) {
    rotated.push_back(v[(i + 1) % v.size()]);
    conjugated.push_back(std::conj(v[i]));
  }
  const GaloisKey one(*context, *keys.Find(3)), flip(*context, *keys.Find(two_n - 1));
  ExpectNear(Decrypted(ToWire(*context, ApplyGalois(*context, Encrypted(v), one, scratch))), rotated, 1e-4);
  ExpectNear(Decrypted(ToWire(*context, ApplyGalois(*context, Encrypted(v), flip, scratch))), conjugated, 1e-4);
  // Also one level down.
  ExpectNear(Decrypted(ToWire(*context, ApplyGalois(*context, *ModSwitchDown(*context, Encrypted(v)), one, scratch))),
             rotated, 1e-4);
}

TEST_P(CkksTest, WhatDoesNotGoTogetherIsNamed) {
  const CkksCiphertext x = Encrypted(Values(6));
  CkksCiphertext scaled = x;
  scaled.scale *= 2;
  EXPECT_EQ(FaultOf(Add(*context, x, scaled).status()), Fault::kBadScale);
  EXPECT_FALSE(Add(*context, x, *ModSwitchDown(*context, x)).ok());
  CkksCiphertext last = x;
  while (last.rows() > 1) last = *ModSwitchDown(*context, last);
  EXPECT_EQ(FaultOf(Rescale(*context, last).status()), Fault::kWrongLevel);
  EXPECT_FALSE(encoder.Encode(Complexes(encoder.slots() + 1), 1e6, 1).ok());
  EXPECT_EQ(encoder.Encode(Complexes{{1e300, 0}}, 1e6, 1).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(encoder.Encode(Complexes{{NAN, 0}}, 1e6, 1).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(CkksEncoder::Create(*Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, {50, 59}), 417793})).ok());
}

INSTANTIATE_TEST_SUITE_P(Primes, CkksTest,
                         ::testing::Values(std::vector<int>{60, 40, 40, 60}, std::vector<int>{50, 36, 36, 50}));

}  // namespace
}  // namespace alcove::fhe
