#include "libs/fhe/wire/objects.h"

#include <cmath>
#include <functional>

#include <absl/strings/escaping.h>
#include <gtest/gtest.h>

#include "libs/fhe/fault.h"
#include "libs/fhe/params/modulus.h"
#include "libs/fhe/random/blake2b.h"
#include "libs/fhe/testdata/fixtures.h"

namespace alcove::fhe {
namespace {

EncryptionParameters S50() { return {Scheme::kBfv, 4096, *CreatePrimes(4096, {50, 59}), 417793}; }

std::string WordsDigest(const std::vector<uint64_t>& words) {
  uint8_t digest[64];
  Blake2b(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(words.data()), words.size() * 8),
          absl::MakeSpan(digest));
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(digest), 64));
}

template <class T>
std::string NameOf(const absl::StatusOr<T>& result) {
  if (result.ok()) return "none";
  const auto fault = FaultOf(result.status());
  if (!fault) return "unnamed";
  const absl::string_view name = FaultName(*fault);
  return std::string(name);
}

struct Client {
  const char* name;
  SealVersion version;
  uint64_t element;
};
constexpr Client kClients[] = {{"node", {4, 1}, 4097}, {"tenseal", {4, 3}, 2049}};

TEST(SealClientObjects, ParametersReadAndRewriteByteForByte) {
  for (const Client& client : kClients) {
    const std::string bytes = Fixture(std::string(client.name) + ".parms");
    const auto p = ReadParameters(bytes);
    ASSERT_TRUE(p.ok()) << p.status();
    EXPECT_EQ(p->version, client.version);
    EXPECT_EQ(p->object, S50());
  }
  // node-seal's zlib is the same library at the same level, so even the compressed bytes agree.
  EXPECT_EQ(WriteParameters(S50(), {{4, 1}, Compression::kZlib}), Fixture("node.parms"));
}

TEST(SealClientObjects, SeededQueriesExpandToSealsResidues) {
  for (const Client& client : kClients) {
    auto query = ReadCiphertext(Fixture(std::string(client.name) + ".query"), S50());
    ASSERT_TRUE(query.ok()) << query.status();
    EXPECT_EQ(query->version, client.version);
    Ciphertext& c = query->object;
    EXPECT_TRUE(c.seed.has_value());
    EXPECT_FALSE(c.ntt_form);
    EXPECT_EQ(c.words.size(), 4096u);
    ExpandSeed(c, S50());
    EXPECT_EQ(WordsDigest(c.words), Golden(client.name, "expanded"));
  }
}

TEST(SealClientObjects, GaloisKeysReadWithTheirElement) {
  for (const Client& client : kClients) {
    const std::string bytes = Fixture(std::string(client.name) + ".galois");
    const auto keys = ReadGaloisKeys(bytes, S50(), 16);
    ASSERT_TRUE(keys.ok()) << keys.status();
    ASSERT_EQ(keys->object.keys.size(), 1u);
    const KeySwitchKey* key = keys->object.Find(client.element);
    ASSERT_NE(key, nullptr);
    EXPECT_EQ(keys->object.Find(3), nullptr);
    ASSERT_EQ(key->digits.size(), 1u);
    EXPECT_TRUE(key->digits[0].value.seed.has_value());
    EXPECT_TRUE(key->digits[0].value.ntt_form);
    EXPECT_EQ(WriteGaloisKeys(keys->object, S50(), {client.version, Compression::kNone}).size(),
              GaloisKeysBytes(S50(), 1, true));
  }
}

TEST(SealClientObjects, PlaintextsRead) {
  const auto plain = ReadPlaintext(Fixture("tenseal.plain"), S50());
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_FALSE(plain->object.ntt_form());
  EXPECT_EQ(plain->object.words.size(), 4096u);
}

TEST(Objects, RoundTripInEveryVersionAndMode) {
  const EncryptionParameters p = S50();
  const Ciphertext seeded = ReadCiphertext(Fixture("node.query"), p)->object;
  Ciphertext full = seeded;
  ExpandSeed(full, p);
  const GaloisKeys galois = ReadGaloisKeys(Fixture("node.galois"), p, 16)->object;
  const PublicKey public_key = galois.keys[0].digits[0];
  RelinKeys relin;
  relin.keys.push_back({0, galois.keys[0].digits});
  Plaintext plain;
  plain.words = {1, 2, 417792};
  for (SealVersion version : {SealVersion{3, 6}, SealVersion{3, 7}, SealVersion{4, 0}, SealVersion{4, 4}}) {
    for (Compression mode : {Compression::kNone, Compression::kZlib, Compression::kZstd}) {
      const WireFormat format{version, mode};
      EXPECT_EQ(ReadParameters(WriteParameters(p, format))->object, p);
      EXPECT_EQ(ReadCiphertext(WriteCiphertext(seeded, format), p)->object, seeded);
      EXPECT_EQ(ReadCiphertext(WriteCiphertext(full, format), p)->object, full);
      EXPECT_EQ(ReadPlaintext(WritePlaintext(plain, format), p)->object, plain);
      EXPECT_EQ(ReadPublicKey(WritePublicKey(public_key, format), p)->object, public_key);
      EXPECT_EQ(ReadGaloisKeys(WriteGaloisKeys(galois, p, format), p, 1)->object, galois);
      const auto relin_back = ReadRelinKeys(WriteRelinKeys(relin, p, format), p);
      ASSERT_TRUE(relin_back.ok()) << relin_back.status();
      EXPECT_EQ(relin_back->object, relin);
      EXPECT_EQ(relin_back->version, version);
    }
  }
}

TEST(Objects, HaveTheSizesOfTheFormat) {
  const EncryptionParameters p = {Scheme::kBfv, 4096, {0xffffee001, 0xffffc4001, 0x1ffffe0001}, 1032193};
  EXPECT_EQ(WriteParameters(p, {}).size(), 129u);
  EXPECT_EQ(CiphertextBytes(4096, 2, 2, true), 65730u);
  EXPECT_EQ(CiphertextBytes(4096, 2, 2, false), 131185u);
  EXPECT_EQ(CiphertextBytes(4096, 1, 2, false), 65649u);
  EXPECT_EQ(CiphertextBytes(4096, 3, 2, true), 98498u);
  EXPECT_EQ(GaloisKeysBytes(p, 3, true), 56u + 8 * 4096 + 3 * 2 * 98498);
}

TEST(ReadParametersTest, NamesWhatIsWrong) {
  const auto fault = [](std::function<void(EncryptionParameters&)> change) {
    EncryptionParameters p = S50();
    change(p);
    return NameOf(ReadParameters(WriteParameters(p, {})));
  };
  EXPECT_EQ(fault([](auto& p) {}), "none");
  EXPECT_EQ(fault([](auto& p) { p.primes.resize(70, 3); }), "prime_count_out_of_range");
  EXPECT_EQ(fault([](auto& p) { p.primes[0] = 0x7fffffffba0001; }), "insecure");
  EXPECT_EQ(fault([](auto& p) { p.degree = 0; }), "degree_out_of_range");
  std::string bytes = WriteParameters(S50(), {});
  EXPECT_EQ(NameOf(ReadParameters(bytes.substr(0, 40))), "truncated");
}

TEST(ReadCiphertextTest, NamesWhatIsWrong) {
  const EncryptionParameters p = S50();
  const Ciphertext seeded = ReadCiphertext(Fixture("node.query"), p)->object;
  Ciphertext full = seeded;
  ExpandSeed(full, p);
  const auto fault = [&](std::function<void(Ciphertext&)> change, const CiphertextRules& rules = {}) {
    Ciphertext c = full;
    change(c);
    return NameOf(ReadCiphertext(WriteCiphertext(c, {}), p, rules));
  };
  EXPECT_EQ(fault([](auto& c) {}), "none");
  EXPECT_EQ(fault([](auto& c) { c.parms_id[5] ^= 1; }), "parms_id_mismatch");
  EXPECT_EQ(fault([](auto& c) { c.parms_id = {}; }), "parms_id_mismatch");
  EXPECT_EQ(fault([&](auto& c) { c.parms_id = p.KeyId(); }), "wrong_level");
  EXPECT_EQ(fault([](auto& c) {}, {.primes = 2}), "wrong_level");
  EXPECT_EQ(fault([](auto& c) { c.degree = 8192; }), "wrong_degree");
  EXPECT_EQ(fault([](auto& c) { c.primes = 3; }), "wrong_prime_count");
  EXPECT_EQ(fault([](auto& c) { c.polynomials = 1; }), "wrong_polynomial_count");
  EXPECT_EQ(fault([](auto& c) { c.polynomials = uint64_t{1} << 62; }), "wrong_polynomial_count");
  EXPECT_EQ(fault([](auto& c) { c.scale = 2.0; }), "bad_scale");
  EXPECT_EQ(fault([](auto& c) { c.scale = std::nan(""); }), "bad_scale");
  EXPECT_EQ(fault([](auto& c) { c.correction_factor = 2; }), "bad_correction_factor");
  EXPECT_EQ(fault([](auto& c) { c.words.pop_back(); }), "count_mismatch");
  EXPECT_EQ(fault([&](auto& c) { c.words[77] = p.primes[0]; }), "residue_out_of_range");
  EXPECT_EQ(fault([](auto& c) { c.words.back() = ~uint64_t{0}; }), "residue_out_of_range");
  EXPECT_EQ(fault([](auto& c) { std::fill(c.words.begin() + 4096, c.words.end(), 0); }), "transparent");
  EXPECT_EQ(fault([](auto& c) { c.ntt_form = true; }, {.ntt_form = false}), "wrong_form");
  Ciphertext odd = seeded;
  odd.seed->generator = static_cast<Generator>(3);
  EXPECT_EQ(NameOf(ReadCiphertext(WriteCiphertext(odd, {}), p)), "unknown_generator");
  odd = seeded;
  odd.seed.reset();
  EXPECT_EQ(NameOf(ReadCiphertext(WriteCiphertext(odd, {}), p)), "truncated");
}

TEST(ReadCiphertextTest, EveryTruncationIsRefusedWithAName) {
  const std::string bytes = WriteCiphertext(ReadCiphertext(Fixture("node.query"), S50())->object, {});
  for (size_t cut = 0; cut < bytes.size(); cut += cut < 200 ? 1 : 997) {
    EXPECT_EQ(NameOf(ReadCiphertext(bytes.substr(0, cut), S50())), "truncated") << cut;
  }
}

TEST(ReadGaloisKeysTest, NamesWhatIsWrong) {
  const EncryptionParameters p = S50();
  const GaloisKeys good = ReadGaloisKeys(Fixture("node.galois"), p, 16)->object;
  const auto fault = [&](std::function<void(GaloisKeys&)> change, size_t max_keys = 2) {
    GaloisKeys keys = good;
    change(keys);
    return NameOf(ReadGaloisKeys(WriteGaloisKeys(keys, p, {}), p, max_keys));
  };
  const auto digit = [](GaloisKeys& k) -> Ciphertext& { return k.keys[0].digits[0].value; };
  EXPECT_EQ(fault([](auto& k) {}), "none");
  EXPECT_EQ(fault([](auto& k) { k.keys.clear(); }), "no_keys");
  EXPECT_EQ(fault([](auto& k) { k.keys[0].digits.push_back(k.keys[0].digits[0]); }), "bad_key_count");
  EXPECT_EQ(fault([](auto& k) {
              k.keys.insert(k.keys.begin(), {KeySwitchKey{1, k.keys[0].digits}, KeySwitchKey{2, k.keys[0].digits}});
            }),
            "too_large");
  EXPECT_EQ(fault([&](auto& k) { digit(k).ntt_form = false; }), "wrong_form");
  EXPECT_EQ(fault([&](auto& k) { digit(k).parms_id = p.DataId(); }), "wrong_level");
  EXPECT_EQ(fault([&](auto& k) { digit(k).words[5000] = ~uint64_t{0}; }), "residue_out_of_range");
  EXPECT_EQ(fault([&](auto& k) { digit(k).scale = 4.0; }), "bad_scale");
  EncryptionParameters other = p;
  other.plain_modulus = 114689;
  EXPECT_EQ(NameOf(ReadGaloisKeys(Fixture("node.galois"), other, 16)), "parms_id_mismatch");
  std::string short_table = WriteGaloisKeys(good, p, {});
  short_table[16 + 32] = 1;  // d1 = 4097
  EXPECT_EQ(NameOf(ReadGaloisKeys(short_table, p, 16)), "bad_key_count");
}

TEST(ReadPlaintextTest, NamesWhatIsWrong) {
  const EncryptionParameters p = S50();
  Plaintext plain;
  plain.words = {417793};
  EXPECT_EQ(NameOf(ReadPlaintext(WritePlaintext(plain, {}), p)), "residue_out_of_range");
  plain.words.assign(4097, 1);
  EXPECT_EQ(NameOf(ReadPlaintext(WritePlaintext(plain, {}), p)), "count_mismatch");
  plain.words = {1};
  plain.scale = 0.5;
  EXPECT_EQ(NameOf(ReadPlaintext(WritePlaintext(plain, {}), p)), "bad_scale");
  plain.scale = 1;
  plain.parms_id = p.DataId();
  EXPECT_EQ(NameOf(ReadPlaintext(WritePlaintext(plain, {}), p)), "count_mismatch");
  plain.words.assign(4096, 1);
  EXPECT_EQ(NameOf(ReadPlaintext(WritePlaintext(plain, {}), p)), "none");
  plain.parms_id[0] ^= 1;
  EXPECT_EQ(NameOf(ReadPlaintext(WritePlaintext(plain, {}), p)), "parms_id_mismatch");
}

TEST(FaultTest, SurvivesAnnotation) {
  const absl::Status status = Within("key at index 3", FaultError(Fault::kTransparent, "zero"));
  EXPECT_EQ(FaultOf(status), Fault::kTransparent);
  EXPECT_EQ(status.message(), "key at index 3: transparent: zero");
  EXPECT_FALSE(FaultOf(absl::InternalError("x")).has_value());
}

}  // namespace
}  // namespace alcove::fhe
