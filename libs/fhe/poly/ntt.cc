#include "libs/fhe/poly/ntt.h"

#include <bit>

namespace alcove::fhe {

size_t ReverseBits(size_t x, int bits) {
  size_t out = 0;
  for (int i = 0; i < bits; ++i) out |= ((x >> i) & 1) << (bits - 1 - i);
  return out;
}

const Kernels& KernelsFor(Isa isa, const Modulus& q) {
  const bool narrow = q.bits() <= 50;
  switch (isa) {
    case Isa::kScalar: return kScalarKernels;
    case Isa::kAvx2: return narrow ? kAvx2DoubleKernels : kAvx2Kernels;
    case Isa::kAvx512: return narrow ? kAvx512DoubleKernels : kAvx512Kernels;
    case Isa::kAvx512Ifma:
      if (q.bits() <= 46) return kAvx512IfmaAmpleKernels;
      if (q.bits() <= 49) return kAvx512IfmaRoomyKernels;
      return narrow ? kAvx512IfmaTightKernels : kAvx512Kernels;
  }
  return kScalarKernels;
}

namespace {

// w < q or w - q, whichever is smaller. Constant time.
double Centred(const Modulus& q, uint64_t w) {
  const uint64_t above = -static_cast<uint64_t>(w > q.value() / 2);
  return static_cast<double>(static_cast<int64_t>(w - (q.value() & above)));
}

}  // namespace

const Kernels& BestKernels(const Modulus& q) { return KernelsFor(BestIsa(), q); }

ConvertFn BestConversion() {
  switch (BestIsa()) {
    case Isa::kAvx512Ifma: return &Convert52;
    case Isa::kAvx512: return &ConvertDoubleAvx512;
    case Isa::kAvx2: return &ConvertDoubleAvx2;
    case Isa::kScalar: break;
  }
  return nullptr;
}

Ntt::Ntt(const Modulus& q, size_t degree) : Ntt(q, degree, BestKernels(q)) {}

Ntt::Ntt(const Modulus& q, size_t degree, const Kernels& kernels) : q_(q), degree_(degree), kernels_(&kernels) {
  const int log_degree = static_cast<int>(std::bit_width(degree)) - 1;
  const uint64_t psi = MinimalRoot(q, 2 * degree);
  const uint64_t psi_inverse = q.Inverse(psi);
  root_.resize(degree);
  inverse_.resize(degree);
  uint64_t power = 1;
  uint64_t inverse_power = 1;
  for (size_t e = 0; e < degree; ++e) {
    const size_t at = ReverseBits(e, log_degree);
    root_[at] = power;
    inverse_[at] = inverse_power;
    power = q.Mul(power, psi);
    inverse_power = q.Mul(inverse_power, psi_inverse);
  }
  root_quotient_.resize(degree);
  inverse_quotient_.resize(degree);
  const uint64_t scale = q.Inverse(q.Reduce(degree));
  const uint64_t scaled_root = q.Mul(scale, inverse_[1]);
  view_ = {
      q.value(),   degree, root_.data(), root_quotient_.data(), inverse_.data(), inverse_quotient_.data(), scale, 0,
      scaled_root, 0};
  for (size_t i = 0; i < degree; ++i) {
    PrepareTwiddle(root_[i], root_quotient_[i]);
    PrepareTwiddle(inverse_[i], inverse_quotient_[i]);
  }
  PrepareTwiddle(view_.scale, view_.scale_quotient);
  PrepareTwiddle(view_.scaled_root, view_.scaled_root_quotient);
}

void Ntt::PrepareTwiddle(uint64_t& w, uint64_t& quotient) const {
  if (kernels_->quotient != alcove::fhe::Quotient::kDouble) {
    quotient = this->Quotient(w);
    return;
  }
  const double centred = Centred(q_, w);
  w = std::bit_cast<uint64_t>(centred);
  quotient = std::bit_cast<uint64_t>(centred * (1.0 / static_cast<double>(q_.value())));
}

uint64_t Ntt::Quotient(uint64_t w) const { return QuotientOf(*kernels_, q_, w); }

uint64_t QuotientOf(const Kernels& kernels, const Modulus& q, uint64_t w) {
  switch (kernels.quotient) {
    case Quotient::kShoup64: return q.ShoupQuotient(w, 64);
    case Quotient::kShoup52: return q.ShoupQuotient(w, 52);
    case Quotient::kDouble: break;
  }
  return std::bit_cast<uint64_t>(static_cast<double>(w) * (1.0 / static_cast<double>(q.value())));
}

void PrepareOperand(const Kernels& kernels, const Modulus& q, const uint64_t* w, size_t n, size_t operands,
                    size_t index, uint64_t* out) {
  const size_t group = 8 * OperandWords(kernels);
  const bool montgomery = kernels.sum_operand == SumOperand::kMontgomery;
  const bool doubles = kernels.sum_operand == SumOperand::kCentredDouble;
  const ShoupWord factor = q.Shoup(montgomery ? q.Reduce(uint64_t{1} << 52) : 1);
  for (size_t i = 0; i < n; ++i) {
    uint64_t* to = out + (i / 8 * operands + index) * group + i % 8;
    to[0] = doubles ? std::bit_cast<uint64_t>(Centred(q, w[i])) : q.Mul(w[i], factor);
    if (kernels.sum_operand == SumOperand::kWithQuotients) to[8] = QuotientOf(kernels, q, w[i]);
  }
}

}  // namespace alcove::fhe
