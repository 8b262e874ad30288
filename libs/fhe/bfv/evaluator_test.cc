#include "libs/fhe/bfv/evaluator.h"

#include <absl/strings/escaping.h>
#include <gtest/gtest.h>

#include "libs/fhe/bfv/encoder.h"
#include "libs/fhe/bfv/multiply.h"
#include "libs/fhe/client/client.h"
#include "libs/fhe/random/blake2b.h"
#include "libs/fhe/testdata/fixtures.h"

namespace alcove::fhe {
namespace {

const Context& S50() {
  static const auto context = *Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, {50, 59}), 417793});
  return *context;
}

// Two data primes: digits of different sizes, rows that reduce them.
const Context& ThreePrimes() {
  static const auto context = *Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, {36, 35, 37}), 1032193});
  return *context;
}

std::string WordsDigest(const std::vector<uint64_t>& words) {
  uint8_t digest[64];
  Blake2b(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(words.data()), words.size() * 8),
          absl::MakeSpan(digest));
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(digest), 64));
}

std::vector<uint64_t> Slots() {
  std::vector<uint64_t> out(4096);
  for (size_t i = 0; i < out.size(); ++i) out[i] = 3 * i + 1;
  return out;
}

TEST(AgainstSeal, BatchEncodingGivesSealsPlaintext) {
  const auto plain = ReadPlaintext(Fixture("tenseal.plain"), S50().parameters());
  const auto encoder = BatchEncoder::Create(S50());
  ASSERT_TRUE(encoder.ok());
  EXPECT_EQ(encoder->Encode(Slots()), plain->object.words);
  EXPECT_EQ(encoder->Decode(plain->object.words), Slots());
}

TEST(AgainstSeal, AutomorphismWithKeySwitchingGivesSealsResidues) {
  for (auto [client, element] : {std::pair("node", 4097), std::pair("tenseal", 2049)}) {
    const std::string name = client;
    const auto query = FromWire(S50(), ReadCiphertext(Fixture(name + ".query"), S50().parameters())->object);
    const auto keys = ReadGaloisKeys(Fixture(name + ".galois"), S50().parameters(), 4);
    const GaloisKey key(S50(), *keys->object.Find(static_cast<uint64_t>(element)));
    KeySwitchScratch scratch(S50());
    const Ciphertext rotated = ToWire(S50(), ApplyGalois(S50(), *query, key, scratch));
    EXPECT_EQ(WordsDigest(rotated.words), Golden(name, "galois_" + std::to_string(element)));
  }
}

TEST(AgainstSeal, MultiplyPlainGivesSealsResidues) {
  const EvalPoly plain = LiftPlaintext(S50(), BatchEncoder::Create(S50())->Encode(Slots()));
  for (const std::string name : {"node", "tenseal"}) {
    auto query = FromWire(S50(), ReadCiphertext(Fixture(name + ".query"), S50().parameters())->object);
    const EvalCiphertext product = MultiplyPlain(S50(), ToEval(S50(), *std::move(query)), plain);
    EXPECT_EQ(WordsDigest(ToWire(S50(), ToCoeff(S50(), product)).words), Golden(name, "times_plain"));
    auto again = ToEval(S50(), *FromWire(S50(), ReadCiphertext(Fixture(name + ".query"), S50().parameters())->object));
    MultiplyPlainInPlace(S50(), again, PlainOperand(S50(), plain));
    EXPECT_EQ(again, product);
  }
}

TEST(AgainstSeal, TheClientsSecretKeyDecryptsItsQuery) {
  const auto secret = SecretKey::Read(Fixture("tenseal.secret"), S50());
  ASSERT_TRUE(secret.ok()) << secret.status();
  const auto query = ReadCiphertext(Fixture("tenseal.query"), S50().parameters());
  const auto decrypted = Decrypt(S50(), *secret, query->object);
  ASSERT_TRUE(decrypted.ok());
  EXPECT_EQ(BatchEncoder::Create(S50())->Decode(decrypted->coefficients), Slots());
  EXPECT_GT(decrypted->noise_budget_bits, 20);
  const auto again = SecretKey::Read(secret->Write(S50(), {}), S50());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->eval(), secret->eval());
}

TEST(SecretKeyTest, RefusesKeysThatAreNotTernary) {
  const SecretKey secret = SecretKey::Generate(S50());
  std::string bytes = secret.Write(S50(), {});
  bytes[200] ^= 1;
  EXPECT_FALSE(SecretKey::Read(bytes, S50()).ok());
  EXPECT_FALSE(SecretKey::Read(bytes.substr(0, 1000), S50()).ok());
  EXPECT_FALSE(SecretKey::Read(secret.Write(S50(), {}), ThreePrimes()).ok());
}

class RoundTripTest : public ::testing::TestWithParam<const Context* (*)()> {};

TEST_P(RoundTripTest, EncryptedPolynomialsRotateAndDecrypt) {
  const Context& context = *GetParam()();
  const uint64_t t = context.plain_modulus().value();
  const SecretKey secret = SecretKey::Generate(context);
  std::vector<uint64_t> message(context.degree());
  for (size_t i = 0; i < message.size(); ++i) message[i] = i * i * 7919 % t;
  message[1] = t - 1;
  const Ciphertext fresh = EncryptSymmetric(context, secret, message);
  const auto plain = Decrypt(context, secret, fresh);
  EXPECT_EQ(plain->coefficients, message);
  EXPECT_GT(plain->noise_budget_bits, 20);

  for (uint32_t element : {3u, 4097u, 33u, 8191u}) {
    const GaloisKeys keys = MakeGaloisKeys(context, secret, {element});
    // Through the wire, so that seeds and form are those a server sees.
    const auto read = ReadGaloisKeys(WriteGaloisKeys(keys, context.parameters(), {}), context.parameters(), 1);
    ASSERT_TRUE(read.ok()) << read.status();
    const GaloisKey key(context, read->object.keys[0]);
    KeySwitchScratch scratch(context);
    const CoeffCiphertext rotated = ApplyGalois(context, *FromWire(context, fresh), key, scratch);
    const auto result = Decrypt(context, secret, ToWire(context, rotated));
    std::vector<uint64_t> want(message.size());
    Automorphism(element, context.degree()).ApplyCoeff(message.data(), want.data(), context.plain_modulus());
    EXPECT_EQ(result->coefficients, want) << element;
    EXPECT_GT(result->noise_budget_bits, 15);
  }
}

TEST_P(RoundTripTest, ProductsAndSumsDecrypt) {
  const Context& context = *GetParam()();
  const uint64_t t = context.plain_modulus().value();
  const SecretKey secret = SecretKey::Generate(context);
  const Ciphertext a = EncryptSymmetric(context, secret, {5, t - 3});
  const Ciphertext b = EncryptSymmetric(context, secret, {1, 1, 1});
  const CoeffCiphertext sum = Add(context, *FromWire(context, a), *FromWire(context, b));
  const std::vector<int8_t> weights = {2, -1};
  const EvalCiphertext product = MultiplyPlain(context, ToEval(context, sum), LiftSigned(context, weights));
  const auto result = Decrypt(context, secret, ToWire(context, ToCoeff(context, product)));
  // (6 - 2X + X^2)(2 - X) = 12 - 10X + 4X^2 - X^3
  const std::vector<uint64_t> head(result->coefficients.begin(), result->coefficients.begin() + 5);
  EXPECT_EQ(head, (std::vector<uint64_t>{12, t - 10, 4, t - 1, 0}));
  EXPECT_EQ(LiftSigned(context, weights), LiftPlaintext(context, {2, t - 1}));
}

TEST_P(RoundTripTest, PublicEncryptionsDecrypt) {
  const Context& context = *GetParam()();
  const SecretKey secret = SecretKey::Generate(context);
  const auto key = ReadPublicKey(WritePublicKey(MakePublicKey(context, secret), {}), context.parameters());
  ASSERT_TRUE(key.ok()) << key.status();
  const std::vector<uint64_t> message = {1, 2, context.plain_modulus().value() - 1};
  const auto result = Decrypt(context, secret, EncryptPublic(context, key->object, message));
  const std::vector<uint64_t> head(result->coefficients.begin(), result->coefficients.begin() + 3);
  EXPECT_EQ(head, message);
  EXPECT_GT(result->noise_budget_bits, 10);
}

// Wide primes, narrow primes, and more than the machine word holds.
TEST(MultiplyTest, ProductsDecryptAtEveryLevelAndAfterRelinearisation) {
  for (const auto& [degree, bits, t] : {std::tuple<size_t, std::vector<int>, uint64_t>{4096, {36, 36, 37}, 1032193},
                                        {8192, {43, 43, 44, 44, 44}, 1032193},
                                        {8192, {60, 60, 60}, 65537}}) {
    const auto context = *Context::Create({Scheme::kBfv, degree, *CreatePrimes(degree, bits), t});
    const BatchEncoder encoder = *BatchEncoder::Create(*context);
    const SecretKey secret = SecretKey::Generate(*context);
    std::vector<uint64_t> a(degree), b(degree), want(degree);
    for (size_t i = 0; i < degree; ++i) {
      a[i] = (i * 7919 + 5) % t;
      b[i] = t - 1 - i % 1000;
      want[i] = context->plain_modulus().Mul(a[i], b[i]);
    }
    auto x = *FromWire(*context, EncryptSymmetric(*context, secret, encoder.Encode(a)));
    auto y = *FromWire(*context, EncryptSymmetric(*context, secret, encoder.Encode(b)));
    const auto keys = ReadRelinKeys(WriteRelinKeys(MakeRelinKeys(*context, secret), context->parameters(), {}),
                                    context->parameters());
    ASSERT_TRUE(keys.ok()) << keys.status();
    const SwitchKey key(*context, keys->object.keys[0]);
    KeySwitchScratch scratch(*context);
    for (size_t rows = context->data_rows(); rows >= 2; --rows) {
      const Multiplier multiplier = *Multiplier::Create(context, rows);
      const CoeffProduct product = multiplier.Multiply(x, y);
      Ciphertext three = ToWire(*context, CoeffCiphertext{product.c0, product.c1});
      three.polynomials = 3;
      three.words.insert(three.words.end(), product.c2.words().begin(), product.c2.words().end());
      const auto unswitched = Decrypt(*context, secret, three);
      ASSERT_TRUE(unswitched.ok());
      EXPECT_EQ(encoder.Decode(unswitched->coefficients), want) << rows;
      const CoeffCiphertext two = Relinearise(*context, product, key, scratch);
      const auto result = Decrypt(*context, secret, ToWire(*context, two));
      EXPECT_EQ(encoder.Decode(result->coefficients), want) << rows;
      EXPECT_GT(result->noise_budget_bits, 0.5);
      EXPECT_NEAR(result->noise_budget_bits, unswitched->noise_budget_bits, 1.5);
      x = ModSwitchDown(*context, x);
      y = ModSwitchDown(*context, y);
      EXPECT_EQ(encoder.Decode(Decrypt(*context, secret, ToWire(*context, x))->coefficients), a);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Parameters, RoundTripTest,
                         ::testing::Values(
                             +[]() -> const Context* { return &S50(); },
                             +[]() -> const Context* { return &ThreePrimes(); }));

}  // namespace
}  // namespace alcove::fhe
