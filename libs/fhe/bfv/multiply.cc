#include "libs/fhe/bfv/multiply.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"

namespace alcove::fhe {
namespace {

using u128 = unsigned __int128;

// The product of the numbers modulo m, leaving one out.
uint64_t ProductMod(const std::vector<Modulus>& numbers, size_t without, const Modulus& m) {
  uint64_t out = m.Reduce(1);
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i != without) out = m.Mul(out, m.Reduce(numbers[i].value()));
  }
  return out;
}

}  // namespace

Multiplier::Conversion Multiplier::MakeConversion(const std::vector<Modulus>& from, const std::vector<Modulus>& to,
                                                  uint64_t extra, uint64_t divisor) {
  Conversion out;
  out.from = from;
  out.to = to;
  out.narrow = BestConversion() != nullptr && from.size() <= 15 && to.size() <= 16;
  for (size_t k = 0; k < from.size(); ++k) {
    const Modulus& q = from[k];
    out.narrow = out.narrow && q.bits() <= 50;
    out.inverse.push_back(q.Mul(q.Inverse(ProductMod(from, k, q)), q.Reduce(extra)));
    out.quotient64.push_back(q.ShoupQuotient(out.inverse[k], 64));
    out.quotient52.push_back(q.bits() <= 50 ? q.ShoupQuotient(out.inverse[k], 52) : 0);
    out.reciprocal.push_back(1.0 / static_cast<double>(q.value()));
    out.from_values.push_back(q.value());
  }
  for (const Modulus& p : to) {
    out.narrow = out.narrow && p.bits() <= 50;
    const uint64_t inverse = p.Inverse(p.Reduce(divisor));
    for (size_t k = 0; k < from.size(); ++k) out.factor.push_back(p.Mul(ProductMod(from, k, p), inverse));
    out.minus_product.push_back(p.Neg(p.Mul(ProductMod(from, from.size(), p), inverse)));
    out.to_values.push_back(p.value());
  }
  return out;
}

absl::StatusOr<Multiplier> Multiplier::Create(std::shared_ptr<const Context> context, size_t rows) {
  if (context->parameters().scheme != Scheme::kBfv) return FaultError(Fault::kUnknownScheme, "not a BFV context");
  if (rows < 1 || rows > context->data_rows()) {
    return FaultError(Fault::kPrimeCountOutOfRange, absl::StrCat("no level of ", rows, " primes"));
  }
  const size_t n = context->degree();
  Multiplier out(context);
  out.rows_ = rows;
  std::vector<Modulus> primes;
  double bits = 0;
  for (size_t j = 0; j < rows; ++j) {
    primes.push_back(context->modulus(j));
    bits += std::log2(static_cast<double>(primes.back().value()));
  }
  // |t/Q times a product of centred operands| <= t N Q / 2; two bits above that keep the centred way back unambiguous.
  const double wanted =
      bits + std::log2(static_cast<double>(n)) + std::log2(static_cast<double>(context->plain_modulus().value())) + 3;
  const size_t count = static_cast<size_t>(std::ceil(wanted / 49.99));
  auto candidates = CreatePrimes(n, std::vector<int>(count + rows, 50));
  if (!candidates.ok()) return candidates.status();
  std::vector<Modulus> further;
  for (auto it = candidates->rbegin(); it != candidates->rend() && further.size() < count; ++it) {
    const Modulus p(*it);
    if (std::find(primes.begin(), primes.end(), p) == primes.end()) further.push_back(p);
  }
  for (const Modulus& p : further) out.further_.emplace_back(p, n);
  const uint64_t t = context->plain_modulus().value();
  out.up_ = MakeConversion(primes, further, 1, 1);
  // [t T]_Q / t, so that (t T - [t T]_Q) / Q becomes (T - [t T]_Q / t) t / Q: one product.
  out.scaled_ = MakeConversion(primes, further, t, t);
  out.down_ = MakeConversion(further, primes, 1, 1);
  for (size_t j = 0; j < further.size(); ++j) {
    const Modulus& p = further[j];
    const uint64_t factor = p.Mul(p.Inverse(ProductMod(primes, primes.size(), p)), p.Reduce(t));
    out.t_over_q_.push_back(factor);
    out.t_over_q_quotient_.push_back(out.further_[j].Quotient(factor));
  }
  return out;
}

void Multiplier::Convert(const Conversion& c, const std::vector<const uint64_t*>& in, const std::vector<uint64_t*>& out,
                         size_t n) {
  // The overflow is rounded, so that the value is the centred one; a value within 2^-50 of half the product may come
  // out on the other side, which changes no residue modulo the product.
  if (c.narrow) {
    const ConversionView view = {c.from.size(),      c.to.size(),         c.from_values.data(),
                                 c.inverse.data(),   c.quotient52.data(), c.reciprocal.data(),
                                 c.to_values.data(), c.factor.data(),     c.minus_product.data()};
    return BestConversion()(view, in.data(), out.data(), n);
  }
  std::vector<uint64_t> digits(c.from.size());
  for (size_t i = 0; i < n; ++i) {
    double overflow = 0.5;
    for (size_t k = 0; k < c.from.size(); ++k) {
      digits[k] = c.from[k].Mul(in[k][i], ShoupWord{c.inverse[k], c.quotient64[k]});
      overflow += static_cast<double>(digits[k]) * c.reciprocal[k];
    }
    const uint64_t multiple = static_cast<uint64_t>(overflow);
    for (size_t j = 0; j < c.to.size(); ++j) {
      // At most 65 terms below 2^120 each.
      u128 sum = static_cast<u128>(multiple) * c.minus_product[j];
      for (size_t k = 0; k < c.from.size(); ++k) {
        sum += static_cast<u128>(digits[k]) * c.factor[j * c.from.size() + k];
      }
      out[j][i] = c.to[j].Reduce128(sum);
    }
  }
}

EvalPoly Multiplier::Extend(const CoeffPoly& in) const {
  const size_t n = context_->degree();
  CoeffPoly out(rows_ + further_.size(), n);
  std::vector<const uint64_t*> from;
  std::vector<uint64_t*> to;
  for (size_t j = 0; j < rows_; ++j) {
    std::copy_n(in.Row(j), n, out.Row(j));
    from.push_back(in.Row(j));
  }
  for (size_t j = 0; j < further_.size(); ++j) to.push_back(out.Row(rows_ + j));
  Convert(up_, from, to, n);
  for (size_t j = 0; j < out.rows(); ++j) ntt(j).Forward(out.Row(j));
  return std::move(out).Reinterpret<Form::kEval>();
}

CoeffPoly Multiplier::ScaleDown(EvalPoly product) const {
  const size_t n = context_->degree();
  for (size_t j = 0; j < product.rows(); ++j) ntt(j).Inverse(product.Row(j));
  // With T the product: [t T]_Q / t, centred, at the further primes; then (T - that) t / Q there; then back.
  std::vector<const uint64_t*> from, back;
  std::vector<uint64_t*> to, result;
  CoeffPoly rest(further_.size(), n);
  CoeffPoly out(rows_, n);
  for (size_t j = 0; j < rows_; ++j) {
    from.push_back(product.Row(j));
    result.push_back(out.Row(j));
  }
  for (size_t j = 0; j < further_.size(); ++j) {
    to.push_back(rest.Row(j));
    back.push_back(rest.Row(j));
  }
  Convert(scaled_, from, to, n);
  for (size_t j = 0; j < further_.size(); ++j) {
    further_[j].kernels().subtract_scale(rest.Row(j), product.Row(rows_ + j), rest.Row(j), t_over_q_[j],
                                         t_over_q_quotient_[j], further_[j].modulus().value(), n);
  }
  Convert(down_, back, result, n);
  return out;
}

CoeffProduct Multiplier::Multiply(const CoeffCiphertext& a, const CoeffCiphertext& b) const {
  const size_t n = context_->degree();
  EvalPoly a0 = Extend(a.c0);
  const EvalPoly a1 = Extend(a.c1), b0 = Extend(b.c0);
  EvalPoly b1 = Extend(b.c1);
  EvalPoly middle(a0.rows(), n);
  Words other(n);
  for (size_t j = 0; j < a0.rows(); ++j) {
    const Kernels& k = ntt(j).kernels();
    const uint64_t q = ntt(j).modulus().value();
    k.multiply_values(middle.Row(j), a0.Row(j), b1.Row(j), q, n);
    k.multiply_values(other.data(), a1.Row(j), b0.Row(j), q, n);
    k.add(middle.Row(j), middle.Row(j), other.data(), q, n);
    k.multiply_values(a0.Row(j), a0.Row(j), b0.Row(j), q, n);
    k.multiply_values(b1.Row(j), b1.Row(j), a1.Row(j), q, n);
  }
  return {ScaleDown(std::move(a0)), ScaleDown(std::move(middle)), ScaleDown(std::move(b1))};
}

CoeffCiphertext Relinearise(const Context& context, CoeffProduct product, const SwitchKey& key,
                            KeySwitchScratch& scratch) {
  AccumulateKeySwitch(context, product.c2, key, scratch);
  CoeffCiphertext out{std::move(product.c0), std::move(product.c1)};
  DivideBySpecial(context, scratch.acc0, scratch, out.c0, out.c0);
  DivideBySpecial(context, scratch.acc1, scratch, out.c1, out.c1);
  return out;
}

CoeffCiphertext ModSwitchDown(const Context& context, const CoeffCiphertext& in) {
  return {DropLastPrime(context, in.c0), DropLastPrime(context, in.c1)};
}

}  // namespace alcove::fhe
