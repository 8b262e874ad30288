#include "libs/fhe/client/secret_key.h"

#include <algorithm>

#include "libs/fhe/client/sampler.h"
#include "libs/fhe/fault.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe {

SecretKey::SecretKey(const Context& context, EvalPoly eval) : eval_(std::move(eval)) { ComputeQuotients(context); }

void SecretKey::ComputeQuotients(const Context& context) {
  quotients_ = EvalPoly(eval_.rows(), eval_.degree());
  for (size_t j = 0; j < eval_.rows(); ++j) {
    for (size_t i = 0; i < eval_.degree(); ++i) quotients_.Row(j)[i] = context.ntt(j).Quotient(eval_.Row(j)[i]);
  }
}

SecretKey SecretKey::Generate(const Context& context) {
  std::vector<int8_t> ternary = SampleTernary(context.degree());
  CoeffPoly s(context.key_rows(), context.degree());
  for (size_t j = 0; j < s.rows(); ++j) {
    for (size_t i = 0; i < s.degree(); ++i) s.Row(j)[i] = context.modulus(j).FromSigned(ternary[i]);
  }
  Wipe(ternary.data(), ternary.size());
  return SecretKey(context, context.ToEval(std::move(s)));
}

absl::StatusOr<SecretKey> SecretKey::Read(absl::string_view bytes, const Context& context) {
  const size_t words = context.key_rows() * context.degree();
  const auto opened = OpenObject(bytes, 32 + 8 + 8 + kHeaderBytes + 8 + 8 * words);
  if (!opened.ok()) return opened.status();
  MemberReader in = opened->Members();
  ParmsId id;
  in.Bytes(absl::MakeSpan(id));
  const uint64_t count = in.U64();
  const double scale = in.F64();
  MemberReader array = in.Nested();
  const uint64_t array_count = array.U64();
  if (absl::Status s = in.ExpectEnd(); !s.ok()) return s;
  if (!array.ok()) return array.status();
  if (id != context.key_id()) return FaultError(Fault::kParmsIdMismatch, "secret key made under other parameters");
  if (count != words || array_count != words) return FaultError(Fault::kCountMismatch, "secret key of another size");
  if (scale != 1.0) return FaultError(Fault::kBadScale, "the scale of a secret key is 1");
  SecretKey key(context, EvalPoly(context.key_rows(), context.degree()));
  array.Words(key.eval_.words());
  if (absl::Status s = array.ExpectEnd(); !s.ok()) return s;
  // One verdict over all coefficients; which of them was wrong stays unknown.
  uint64_t bad = 0;
  for (size_t j = 0; j < context.key_rows(); ++j) {
    const uint64_t q = context.modulus(j).value();
    for (size_t i = 0; i < context.degree(); ++i) bad |= key.eval_.Row(j)[i] >= q;
  }
  if (bad == 0) {
    CoeffPoly s = context.ToCoeff(key.eval_);
    for (size_t j = 0; j < context.key_rows(); ++j) {
      const uint64_t q = context.modulus(j).value();
      for (size_t i = 0; i < context.degree(); ++i) {
        const uint64_t v = s.Row(j)[i];
        bad |= static_cast<uint64_t>(v > 1) & static_cast<uint64_t>(v != q - 1);
      }
    }
    Wipe(s.words().data(), s.words().size() * 8);
  }
  if (bad != 0) return FaultError(Fault::kResidueOutOfRange, "the secret key is not ternary");
  key.ComputeQuotients(context);
  return key;
}

std::string SecretKey::Write(const Context& context, const WireFormat& format) const {
  Plaintext plain;
  plain.parms_id = context.key_id();
  plain.words.assign(eval_.words().begin(), eval_.words().end());
  std::string out = WritePlaintext(plain, format);
  Wipe(plain.words.data(), plain.words.size() * 8);
  return out;
}

void SecretKey::WipeAll() {
  for (EvalPoly* poly : {&eval_, &quotients_}) {
    if (!poly->words().empty()) Wipe(poly->words().data(), poly->words().size() * sizeof(uint64_t));
  }
}

SecretKey& SecretKey::operator=(SecretKey&& other) noexcept {
  WipeAll();
  eval_ = std::move(other.eval_);
  quotients_ = std::move(other.quotients_);
  return *this;
}

SecretKey::~SecretKey() { WipeAll(); }

}  // namespace alcove::fhe
