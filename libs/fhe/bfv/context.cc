#include "libs/fhe/bfv/context.h"

#include "libs/fhe/fault.h"

namespace alcove::fhe {

absl::StatusOr<std::shared_ptr<const Context>> Context::Create(const EncryptionParameters& parameters) {
  if (absl::Status s = Validate(parameters); !s.ok()) return s;
  if (parameters.scheme != Scheme::kBfv && parameters.scheme != Scheme::kCkks) {
    return FaultError(Fault::kUnknownScheme, "computation is implemented for BFV and CKKS");
  }
  if (parameters.plain_modulus >= uint64_t{1} << 31) {
    return FaultError(Fault::kPlainModulusOutOfRange, "computation is implemented for plain moduli below 2^31");
  }
  return std::shared_ptr<const Context>(new Context(parameters));
}

Context::Context(const EncryptionParameters& parameters)
    : parameters_(parameters),
      data_rows_(parameters.DataPrimes()),
      data_id_(parameters.DataId()),
      key_id_(parameters.KeyId()),
      plain_modulus_(parameters.scheme == Scheme::kBfv ? Modulus(parameters.plain_modulus) : Modulus()) {
  for (uint64_t prime : parameters.primes) ntts_.emplace_back(Modulus(prime), parameters.degree);
  const uint64_t special = parameters.primes.back();
  const bool bfv = parameters.scheme == Scheme::kBfv;
  const Modulus t = bfv ? plain_modulus_ : Modulus(2);
  const auto ratio = [](uint64_t m) { return static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / m); };
  uint64_t rest = t.Reduce(1);
  for (size_t j = 0; j < data_rows_ && bfv; ++j) rest = t.Mul(rest, t.Reduce(modulus(j).value()));
  for (size_t j = 0; j < data_rows_; ++j) {
    const Modulus& q = modulus(j);
    DivideView s{};
    if (key_rows() > data_rows_) {
      s = {q.value(), special, special / 2, q.Reduce(special / 2), ratio(q.value()), q.Inverse(q.Reduce(special)), 0};
      s.inverse_quotient = ntts_[j].Quotient(s.inverse);
    }
    special_.push_back(s);
    if (!bfv) continue;
    // Q = 0 mod q_j, so floor(Q/t) = (Q - Q mod t) / t = -(Q mod t) / t.
    const uint64_t delta = q.Mul(q.Neg(q.Reduce(rest)), q.Inverse(q.Reduce(t.value())));
    message_scale_.push_back({q.value(), t.value(), delta, q.ShoupQuotient(delta, 64),
                              q.bits() <= 50 ? q.ShoupQuotient(delta, 52) : 0, rest, t.ShoupQuotient(rest, 52),
                              ratio(t.value()), ratio(q.value())});
  }
}

EvalPoly Context::ToEval(CoeffPoly poly) const {
  for (size_t j = 0; j < poly.rows(); ++j) ntts_[j].Forward(poly.Row(j));
  return std::move(poly).Reinterpret<Form::kEval>();
}

CoeffPoly Context::ToCoeff(EvalPoly poly) const {
  for (size_t j = 0; j < poly.rows(); ++j) ntts_[j].Inverse(poly.Row(j));
  return std::move(poly).Reinterpret<Form::kCoeff>();
}

}  // namespace alcove::fhe
