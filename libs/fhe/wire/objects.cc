#include "libs/fhe/wire/objects.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"
#include "libs/fhe/params/modulus.h"
#include "libs/fhe/random/uniform.h"

namespace alcove::fhe {
namespace {

constexpr size_t kSeedMemberBytes = 1 + 64;
constexpr size_t kSeedObjectBytes = kHeaderBytes + kSeedMemberBytes;
constexpr size_t kModulusObjectBytes = kHeaderBytes + 8;
constexpr size_t kMaxParameterMembers = 1 + 8 + 8 + kModulusObjectBytes * (256 + 1);  // SEAL allows 256
// Members of a ciphertext before its words: parms_id, flag, size, N, k', scale, correction, DynArray header and count.
constexpr size_t kCiphertextHead = 32 + 1 + 8 + 8 + 8 + 8 + 8 + kHeaderBytes + 8;

size_t CiphertextMembers(size_t degree, size_t primes, size_t polynomials, bool seeded) {
  return kCiphertextHead + 8 * degree * primes * (seeded ? 1 : polynomials) + (seeded ? kSeedObjectBytes : 0);
}

uint64_t ReadModulus(MemberReader& in) {
  MemberReader nested = in.Nested();
  const uint64_t value = nested.U64();
  in.Fail(nested.ExpectEnd());
  return value;
}

void WriteModulus(MemberWriter& out, uint64_t value) {
  out.NestedHeader(8);
  out.U64(value);
}

// Reads a DynArray whose count must be one of two allowed values; the words follow only if they really are there.
// `room` words are reserved, if more.
std::vector<uint64_t> ReadWords(MemberReader& in, size_t count_a, size_t count_b, size_t room = 0) {
  MemberReader nested = in.Nested();
  const uint64_t count = nested.U64();
  std::vector<uint64_t> words;
  if (nested.ok() && count != count_a && count != count_b) {
    nested.Fail(FaultError(Fault::kCountMismatch,
                           absl::StrCat(count, " words where ", count_a,
                                        count_a == count_b ? "" : absl::StrCat(" or ", count_b), " belong")));
  }
  if (nested.ok() && nested.remaining() / 8 < count) {
    nested.Fail(FaultError(Fault::kTruncated, absl::StrCat(count, " words announced, fewer present")));
  }
  if (nested.ok()) {
    words.reserve(std::max<size_t>(count, room));
    words.resize(count);
    nested.Words(absl::MakeSpan(words));
  }
  in.Fail(nested.ExpectEnd());
  return words;
}

void WriteWords(MemberWriter& out, absl::Span<const uint64_t> words) {
  out.NestedHeader(8 + 8 * words.size());
  out.U64(words.size());
  out.Words(words);
}

// The largest residue decides, so that valid input costs one branch-free pass.
absl::Status CheckRows(absl::Span<const uint64_t> words, const EncryptionParameters& p, size_t primes) {
  const size_t degree = p.degree;
  for (size_t row = 0; row * degree < words.size(); ++row) {
    const uint64_t q = p.primes[row % primes];
    const uint64_t largest = uniform::Best(50).largest(words.data() + row * degree, degree);
    if (largest >= q) {
      return FaultError(Fault::kResidueOutOfRange,
                        absl::StrCat("residue ", largest, " in row ", row, " is not below its prime ", q));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckScale(Scheme scheme, double scale) {
  if (scheme == Scheme::kCkks) {
    if (std::isnormal(scale) && scale > 0) return absl::OkStatus();
    return FaultError(Fault::kBadScale, "a CKKS scale is positive and normal");
  }
  if (scale == 1.0) return absl::OkStatus();
  return FaultError(Fault::kBadScale, "the scale is exactly 1 in BFV and BGV");
}

// Ciphertext members; `key` selects the rules of keys: key level, NTT form, size two.
Ciphertext ReadCiphertextMembers(MemberReader& in, const EncryptionParameters& p, const CiphertextRules& rules,
                                 bool key) {
  Ciphertext c;
  in.Bytes(absl::MakeSpan(c.parms_id));
  const uint8_t ntt = in.U8();
  c.polynomials = in.U64();
  c.degree = in.U64();
  c.primes = in.U64();
  c.scale = in.F64();
  if (in.version().HasCorrectionFactor()) c.correction_factor = in.U64();
  if (!in.ok()) return c;
  const auto fail = [&](Fault fault, std::string detail) {
    in.Fail(FaultError(fault, detail));
    return c;
  };

  const size_t level = p.PrimesAt(c.parms_id);
  if (level == 0) return fail(Fault::kParmsIdMismatch, "made under other encryption parameters");
  const bool key_level = level == p.primes.size();
  if (key && !key_level) return fail(Fault::kWrongLevel, "a key must be at the key level");
  if (!key && key_level && p.DataPrimes() != p.primes.size()) {
    return fail(Fault::kWrongLevel, "a ciphertext cannot be at the key level");
  }
  if (!key && rules.primes && *rules.primes != level) {
    return fail(Fault::kWrongLevel, absl::StrCat("at the level of ", level, " primes instead of ", *rules.primes));
  }
  if (c.degree != p.degree) return fail(Fault::kWrongDegree, absl::StrCat("degree ", c.degree));
  if (c.primes != level) return fail(Fault::kWrongPrimeCount, absl::StrCat(c.primes, " primes at a level of ", level));
  if (ntt > 1) return fail(Fault::kWrongForm, absl::StrCat("NTT flag ", ntt));
  c.ntt_form = ntt == 1;
  const bool must_be_ntt = key || p.scheme == Scheme::kCkks;
  if ((must_be_ntt && !c.ntt_form) || (rules.ntt_form && *rules.ntt_form != c.ntt_form)) {
    return fail(Fault::kWrongForm, c.ntt_form ? "in NTT form" : "not in NTT form");
  }
  const size_t most = key ? 2 : rules.max_polynomials;
  if (c.polynomials < 2 || c.polynomials > most) {
    return fail(Fault::kWrongPolynomialCount, absl::StrCat(c.polynomials, " polynomials, 2 to ", most, " allowed"));
  }
  if (key ? c.scale != 1.0 : !CheckScale(p.scheme, c.scale).ok()) {
    return fail(Fault::kBadScale, absl::StrCat("scale ", c.scale));
  }
  const bool bgv_factor = p.scheme == Scheme::kBgv && !key;
  if (bgv_factor ? (c.correction_factor < 1 || c.correction_factor >= p.plain_modulus) : c.correction_factor != 1) {
    return fail(Fault::kBadCorrectionFactor, absl::StrCat("correction factor ", c.correction_factor));
  }

  const size_t row_words = c.primes * c.degree;
  const size_t full = c.polynomials * row_words;
  // Room for a seed's expansion from the start, once the words are known to be there.
  c.words = ReadWords(in, full, c.polynomials == 2 ? row_words : full, full);
  if (!in.ok()) return c;
  if (c.words.size() == row_words) {
    MemberReader nested = in.Nested();
    const uint8_t generator = nested.U8();
    Seed seed;
    nested.Bytes(absl::MakeSpan(seed.bytes));
    if (nested.ok() && generator != 1 && generator != 2) {
      nested.Fail(FaultError(Fault::kUnknownGenerator, absl::StrCat("generator ", generator)));
    }
    in.Fail(nested.ExpectEnd());
    seed.generator = static_cast<Generator>(generator);
    c.seed = seed;
  }
  if (!in.ok()) return c;
  in.Fail(CheckRows(c.words, p, c.primes));
  if (in.ok() && !c.seed &&
      std::all_of(c.words.begin() + static_cast<std::ptrdiff_t>(row_words), c.words.end(),
                  [](uint64_t w) { return w == 0; })) {
    in.Fail(FaultError(Fault::kTransparent, "anyone can read this ciphertext: all but its first polynomial are zero"));
  }
  return c;
}

void WriteCiphertextMembers(MemberWriter& out, const Ciphertext& c) {
  out.Bytes(c.parms_id);
  out.U8(c.ntt_form ? 1 : 0);
  out.U64(c.polynomials);
  out.U64(c.degree);
  out.U64(c.primes);
  out.F64(c.scale);
  if (out.version().HasCorrectionFactor()) out.U64(c.correction_factor);
  WriteWords(out, c.words);
  if (c.seed) {
    out.NestedHeader(kSeedMemberBytes);
    out.U8(static_cast<uint8_t>(c.seed->generator));
    out.Bytes(c.seed->bytes);
  }
}

// Shared by Galois and relinearisation keys. `slots` is the fixed number of entries, or 0 for 1 … max_keys of them.
absl::StatusOr<Stamped<std::vector<KeySwitchKey>>> ReadKeySwitchKeys(absl::string_view bytes,
                                                                     const EncryptionParameters& p, size_t slots,
                                                                     size_t max_keys) {
  const size_t digits = p.DataPrimes();
  if (p.primes.size() < 2) return FaultError(Fault::kBadKeyCount, "one prime leaves no room for key switching");
  const size_t one_key = kHeaderBytes + CiphertextMembers(p.degree, p.primes.size(), 2, false);
  const size_t limit = 32 + 8 + 8 * (slots == 0 ? max_keys : slots) + max_keys * digits * one_key;
  const auto opened = OpenObject(bytes, limit);
  if (!opened.ok()) return opened.status();
  MemberReader in = opened->Members();
  ParmsId id;
  in.Bytes(absl::MakeSpan(id));
  const uint64_t entries = in.U64();
  if (!in.ok()) return in.status();
  if (id != p.KeyId()) return FaultError(Fault::kParmsIdMismatch, "keys made under other encryption parameters");
  if (slots != 0 ? entries != slots : entries > max_keys) {
    return FaultError(Fault::kBadKeyCount, absl::StrCat(entries, " entries"));
  }
  std::vector<KeySwitchKey> keys;
  for (uint64_t index = 0; index < entries; ++index) {
    const uint64_t count = in.U64();
    if (!in.ok()) return in.status();
    if (count == 0) continue;
    if (count != digits) {
      return FaultError(Fault::kBadKeyCount,
                        absl::StrCat("entry ", index, " has ", count, " digits, ", digits, " belong"));
    }
    if (keys.size() == max_keys) {
      return FaultError(Fault::kTooLarge, absl::StrCat("more than ", max_keys, " keys"));
    }
    KeySwitchKey key;
    key.index = index;
    for (size_t d = 0; d < digits; ++d) {
      MemberReader nested = in.Nested();
      PublicKey digit{ReadCiphertextMembers(nested, p, {}, /*key=*/true)};
      if (absl::Status s = nested.ExpectEnd(); !s.ok()) return Within(absl::StrCat("key at index ", index), s);
      key.digits.push_back(std::move(digit));
    }
    keys.push_back(std::move(key));
  }
  if (absl::Status s = in.ExpectEnd(); !s.ok()) return s;
  if (keys.empty()) return FaultError(Fault::kNoKeys, "the key set is empty");
  return Stamped<std::vector<KeySwitchKey>>{opened->version(), std::move(keys)};
}

std::string WriteKeySwitchKeys(absl::Span<const KeySwitchKey> keys, const EncryptionParameters& p, size_t slots,
                               const WireFormat& format) {
  MemberWriter out(format.version);
  out.Bytes(p.KeyId());
  out.U64(slots);
  size_t next = 0;
  for (size_t index = 0; index < slots; ++index) {
    if (next == keys.size() || keys[next].index != index) {
      out.U64(0);
      continue;
    }
    out.U64(keys[next].digits.size());
    for (const PublicKey& digit : keys[next].digits) {
      MemberWriter nested(format.version);
      WriteCiphertextMembers(nested, digit.value);
      out.Nested(nested);
    }
    ++next;
  }
  return SealObject(std::move(out), format.compression);
}

}  // namespace

const KeySwitchKey* GaloisKeys::Find(uint64_t element) const {
  const auto it =
      std::find_if(keys.begin(), keys.end(), [&](const KeySwitchKey& key) { return 2 * key.index + 1 == element; });
  return it == keys.end() ? nullptr : &*it;
}

absl::StatusOr<Stamped<EncryptionParameters>> ReadParameters(absl::string_view bytes) {
  const auto opened = OpenObject(bytes, kMaxParameterMembers);
  if (!opened.ok()) return opened.status();
  MemberReader in = opened->Members();
  EncryptionParameters p;
  p.scheme = static_cast<Scheme>(in.U8());
  p.degree = in.U64();
  const uint64_t count = in.U64();
  if (!in.ok()) return in.status();
  if (count > kMaxPrimes) {
    return FaultError(Fault::kPrimeCountOutOfRange, absl::StrCat(count, " coefficient primes"));
  }
  for (uint64_t i = 0; i < count; ++i) p.primes.push_back(ReadModulus(in));
  p.plain_modulus = ReadModulus(in);
  if (absl::Status s = in.ExpectEnd(); !s.ok()) return s;
  if (absl::Status s = Validate(p); !s.ok()) return s;
  return Stamped<EncryptionParameters>{opened->version(), std::move(p)};
}

absl::StatusOr<Stamped<Ciphertext>> ReadCiphertext(absl::string_view bytes, const EncryptionParameters& p,
                                                   const CiphertextRules& rules) {
  const auto opened = OpenObject(bytes, CiphertextMembers(p.degree, p.DataPrimes(), rules.max_polynomials, false));
  if (!opened.ok()) return opened.status();
  MemberReader in = opened->Members();
  Ciphertext c = ReadCiphertextMembers(in, p, rules, /*key=*/false);
  if (absl::Status s = in.ExpectEnd(); !s.ok()) return s;
  return Stamped<Ciphertext>{opened->version(), std::move(c)};
}

absl::StatusOr<Stamped<PublicKey>> ReadPublicKey(absl::string_view bytes, const EncryptionParameters& p) {
  const auto opened = OpenObject(bytes, CiphertextMembers(p.degree, p.primes.size(), 2, false));
  if (!opened.ok()) return opened.status();
  MemberReader in = opened->Members();
  Ciphertext c = ReadCiphertextMembers(in, p, {}, /*key=*/true);
  if (absl::Status s = in.ExpectEnd(); !s.ok()) return s;
  return Stamped<PublicKey>{opened->version(), PublicKey{std::move(c)}};
}

absl::StatusOr<Stamped<Plaintext>> ReadPlaintext(absl::string_view bytes, const EncryptionParameters& p) {
  const size_t most = p.degree * p.primes.size();
  const auto opened = OpenObject(bytes, 32 + 8 + 8 + kHeaderBytes + 8 + 8 * most);
  if (!opened.ok()) return opened.status();
  MemberReader in = opened->Members();
  Plaintext plain;
  in.Bytes(absl::MakeSpan(plain.parms_id));
  const uint64_t count = in.U64();
  plain.scale = in.F64();
  if (!in.ok()) return in.status();
  if (plain.ntt_form()) {
    const size_t level = p.PrimesAt(plain.parms_id);
    if (level == 0) return FaultError(Fault::kParmsIdMismatch, "plaintext made under other encryption parameters");
    if (level == p.primes.size() && p.DataPrimes() != level) {
      return FaultError(Fault::kWrongLevel, "a plaintext cannot be at the key level");
    }
    if (count != level * p.degree) return FaultError(Fault::kCountMismatch, absl::StrCat(count, " coefficients"));
    if (absl::Status s = CheckScale(p.scheme, plain.scale); !s.ok()) return s;
    plain.words = ReadWords(in, count, count);
    if (absl::Status s = in.ExpectEnd(); !s.ok()) return s;
    if (absl::Status s = CheckRows(plain.words, p, level); !s.ok()) return s;
  } else {
    if (p.scheme == Scheme::kCkks) return FaultError(Fault::kWrongForm, "a CKKS plaintext must be in NTT form");
    if (count > p.degree) return FaultError(Fault::kCountMismatch, absl::StrCat(count, " coefficients"));
    if (absl::Status s = CheckScale(p.scheme, plain.scale); !s.ok()) return s;
    plain.words = ReadWords(in, count, count);
    if (absl::Status s = in.ExpectEnd(); !s.ok()) return s;
    for (uint64_t w : plain.words) {
      if (w >= p.plain_modulus) {
        return FaultError(Fault::kResidueOutOfRange,
                          absl::StrCat("coefficient ", w, " is not below ", p.plain_modulus));
      }
    }
  }
  return Stamped<Plaintext>{opened->version(), std::move(plain)};
}

absl::StatusOr<Stamped<GaloisKeys>> ReadGaloisKeys(absl::string_view bytes, const EncryptionParameters& p,
                                                   size_t max_keys) {
  auto keys = ReadKeySwitchKeys(bytes, p, p.degree, max_keys);
  if (!keys.ok()) return keys.status();
  return Stamped<GaloisKeys>{keys->version, GaloisKeys{std::move(keys->object)}};
}

absl::StatusOr<Stamped<RelinKeys>> ReadRelinKeys(absl::string_view bytes, const EncryptionParameters& p) {
  // SEAL makes exactly one (s^2); a few more powers are legal and harmless.
  auto keys = ReadKeySwitchKeys(bytes, p, 0, 4);
  if (!keys.ok()) return keys.status();
  return Stamped<RelinKeys>{keys->version, RelinKeys{std::move(keys->object)}};
}

std::string WriteParameters(const EncryptionParameters& p, const WireFormat& format) {
  MemberWriter out(format.version);
  out.U8(static_cast<uint8_t>(p.scheme));
  out.U64(p.degree);
  out.U64(p.primes.size());
  for (uint64_t prime : p.primes) WriteModulus(out, prime);
  WriteModulus(out, p.plain_modulus);
  return SealObject(std::move(out), format.compression);
}

std::string WriteCiphertext(const Ciphertext& c, const WireFormat& format) {
  MemberWriter out(format.version);
  out.Reserve(CiphertextMembers(c.degree, c.primes, c.polynomials, c.seed.has_value()));
  WriteCiphertextMembers(out, c);
  return SealObject(std::move(out), format.compression);
}

std::string WritePlaintext(const Plaintext& plain, const WireFormat& format) {
  MemberWriter out(format.version);
  out.Bytes(plain.parms_id);
  out.U64(plain.words.size());
  out.F64(plain.scale);
  WriteWords(out, plain.words);
  return SealObject(std::move(out), format.compression);
}

std::string WritePublicKey(const PublicKey& key, const WireFormat& format) {
  return WriteCiphertext(key.value, format);
}

std::string WriteGaloisKeys(const GaloisKeys& keys, const EncryptionParameters& p, const WireFormat& format) {
  return WriteKeySwitchKeys(keys.keys, p, p.degree, format);
}

std::string WriteRelinKeys(const RelinKeys& keys, const EncryptionParameters& p, const WireFormat& format) {
  return WriteKeySwitchKeys(keys.keys, p, keys.keys.empty() ? 0 : keys.keys.back().index + 1, format);
}

size_t CiphertextBytes(size_t degree, size_t primes, size_t polynomials, bool seeded) {
  return kHeaderBytes + CiphertextMembers(degree, primes, polynomials, seeded);
}

size_t GaloisKeysBytes(const EncryptionParameters& p, size_t elements, bool seeded) {
  return kHeaderBytes + 32 + 8 + 8 * p.degree +
         elements * p.DataPrimes() * CiphertextBytes(p.degree, p.primes.size(), 2, seeded);
}

void ExpandSeed(Ciphertext& c, const EncryptionParameters& p) {
  if (!c.seed) return;
  std::vector<Modulus> primes;
  for (size_t j = 0; j < c.primes; ++j) primes.emplace_back(p.primes[j]);
  const size_t half = c.primes * c.degree;
  c.words.resize(2 * half);
  ExpandUniform(*c.seed, primes, c.degree, absl::MakeSpan(c.words).subspan(half));
  c.seed.reset();
}

}  // namespace alcove::fhe
