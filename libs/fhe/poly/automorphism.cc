#include "libs/fhe/poly/automorphism.h"

#include <algorithm>
#include <bit>

#include "libs/fhe/poly/isa.h"
#include "libs/fhe/poly/ntt.h"

namespace alcove::fhe {
namespace {
constexpr uint32_t kNegate = uint32_t{1} << 31;
}

Automorphism::Automorphism(uint64_t element, size_t degree)
    : element_(element),
      kernels_(BestIsa() >= Isa::kAvx512 ? &kAvx512Kernels
               : BestIsa() >= Isa::kAvx2 ? &kAvx2Kernels
                                         : &kScalarKernels),
      coeff_source_(degree),
      eval_source_(degree / 8),
      eval_kind_(degree / 8) {
  const int log_degree = static_cast<int>(std::bit_width(degree)) - 1;
  const uint64_t mask = 2 * degree - 1;
  for (size_t i = 0; i < degree; ++i) {
    const uint64_t to = (i * element) & mask;
    coeff_source_[to & (degree - 1)] = static_cast<uint32_t>(i) | (to >= degree ? kNegate : 0);
  }
  // Value i is at the power 2 brev(i) + 1 of the root. The low three bits of i are the top bits of that exponent, so
  // eight neighbours share its lower bits, and so do their sources: one vector, in an order that depends on the carry.
  for (size_t b = 0; b < degree / 8; ++b) {
    uint64_t order[8];
    for (size_t l = 0; l < 8; ++l) {
      const uint64_t point = (element * (2 * ReverseBits(8 * b + l, log_degree) + 1)) & mask;
      const size_t source = ReverseBits((point - 1) / 2, log_degree);
      eval_source_[b] = static_cast<uint32_t>(source / 8);
      order[l] = source % 8;
    }
    size_t kind = 0;
    while (kind * 8 < eval_order_.size() && !std::equal(order, order + 8, eval_order_.data() + kind * 8)) ++kind;
    if (kind * 8 == eval_order_.size()) eval_order_.insert(eval_order_.end(), order, order + 8);
    eval_kind_[b] = static_cast<uint8_t>(kind);
  }
}

void Automorphism::ApplyCoeff(const uint64_t* in, uint64_t* out, const Modulus& q) const {
  kernels_->permute_signed(out, in, coeff_source_.data(), q.value(), coeff_source_.size());
}

void Automorphism::ApplyEval(const uint64_t* in, uint64_t* out) const {
  kernels_->permute(out, in, {coeff_source_.size(), eval_source_.data(), eval_kind_.data(), eval_order_.data()});
}

}  // namespace alcove::fhe
