#include "libs/fhe/poly/automorphism.h"

#include <bit>

#include "libs/fhe/poly/ntt.h"

namespace alcove::fhe {
namespace {
constexpr uint32_t kNegate = uint32_t{1} << 31;
}

Automorphism::Automorphism(uint64_t element, size_t degree)
    : element_(element), coeff_source_(degree), eval_source_(degree) {
  const int log_degree = static_cast<int>(std::bit_width(degree)) - 1;
  const uint64_t mask = 2 * degree - 1;
  for (size_t i = 0; i < degree; ++i) {
    const uint64_t to = (i * element) & mask;
    coeff_source_[to & (degree - 1)] = static_cast<uint32_t>(i) | (to >= degree ? kNegate : 0);
    const uint64_t point = (element * (2 * ReverseBits(i, log_degree) + 1)) & mask;
    eval_source_[i] = static_cast<uint32_t>(ReverseBits((point - 1) / 2, log_degree));
  }
}

void Automorphism::ApplyCoeff(const uint64_t* in, uint64_t* out, const Modulus& q) const {
  const size_t n = coeff_source_.size();
  for (size_t i = 0; i < n; ++i) {
    const uint32_t source = coeff_source_[i];
    const uint64_t value = in[source & ~kNegate];
    const uint64_t negate = -static_cast<uint64_t>(source >> 31);
    out[i] = (value & ~negate) | (q.Neg(value) & negate);
  }
}

void Automorphism::ApplyEval(const uint64_t* in, uint64_t* out) const {
  const size_t n = eval_source_.size();
  for (size_t i = 0; i < n; ++i) out[i] = in[eval_source_[i]];
}

}  // namespace alcove::fhe
