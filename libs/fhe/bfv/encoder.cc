#include "libs/fhe/bfv/encoder.h"

#include <algorithm>
#include <bit>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"

namespace alcove::fhe {

absl::StatusOr<BatchEncoder> BatchEncoder::Create(const Context& context) {
  if (context.parameters().scheme != Scheme::kBfv) return FaultError(Fault::kUnknownScheme, "not a BFV context");
  const uint64_t t = context.plain_modulus().value();
  if (!IsPrime(t) || t % (2 * context.degree()) != 1) {
    return FaultError(Fault::kPlainModulusOutOfRange,
                      absl::StrCat("batching needs a prime plain modulus that is 1 modulo ", 2 * context.degree()));
  }
  return BatchEncoder(context.plain_modulus(), context.degree());
}

BatchEncoder::BatchEncoder(const Modulus& t, size_t degree) : ntt_(t, degree), position_(degree) {
  const int log_degree = static_cast<int>(std::bit_width(degree)) - 1;
  const size_t m = 2 * degree;
  size_t power = 1;
  for (size_t i = 0; i < degree / 2; ++i) {
    position_[i] = static_cast<uint32_t>(ReverseBits((power - 1) / 2, log_degree));
    position_[degree / 2 + i] = static_cast<uint32_t>(ReverseBits((m - power - 1) / 2, log_degree));
    power = power * 3 % m;
  }
}

std::vector<uint64_t> BatchEncoder::Encode(absl::Span<const uint64_t> values) const {
  Words slots(ntt_.degree());
  for (size_t i = 0; i < values.size() && i < slots.size(); ++i) slots[position_[i]] = values[i];
  ntt_.Inverse(slots.data());
  return {slots.begin(), slots.end()};
}

std::vector<uint64_t> BatchEncoder::Decode(absl::Span<const uint64_t> coefficients) const {
  Words values(ntt_.degree());
  std::copy(coefficients.begin(), coefficients.end(), values.begin());
  ntt_.Forward(values.data());
  std::vector<uint64_t> out(values.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = values[position_[i]];
  return out;
}

EvalPoly LiftPlaintext(const Context& context, absl::Span<const uint64_t> coefficients) {
  CoeffPoly out(context.data_rows(), context.degree());
  const uint64_t t = context.plain_modulus().value();
  const uint64_t threshold = (t + 1) / 2;
  for (size_t j = 0; j < out.rows(); ++j) {
    const Modulus& q = context.modulus(j);
    const uint64_t shift = q.Sub(0, q.Reduce(t));
    for (size_t i = 0; i < coefficients.size(); ++i) {
      const uint64_t negative = -static_cast<uint64_t>(coefficients[i] >= threshold);
      out.Row(j)[i] = q.Add(q.Reduce(coefficients[i]), shift & negative);
    }
  }
  return context.ToEval(std::move(out));
}

EvalPoly LiftSigned(const Context& context, absl::Span<const int8_t> coefficients) {
  CoeffPoly out(context.data_rows(), context.degree());
  std::vector<int8_t> padded(context.degree());
  std::copy(coefficients.begin(), coefficients.end(), padded.begin());
  for (size_t j = 0; j < out.rows(); ++j) {
    context.ntt(j).kernels().lift(out.Row(j), padded.data(), context.modulus(j).value(), context.degree());
  }
  return context.ToEval(std::move(out));
}

}  // namespace alcove::fhe
