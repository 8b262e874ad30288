#include "libs/simd/rotation.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "libs/simd/kernels.h"

namespace alcove::simd {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014).
uint64_t Next(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

}  // namespace

Rotation::Rotation(size_t dim, uint64_t seed)
    : dim_(dim),
      padded_((dim + 63) / 64 * 64),
      block_(std::bit_floor(padded_)),
      rounds_(block_ == padded_ ? 2 : 4),
      signs_(rounds_ * padded_) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(block_));
  for (size_t round = 0; round < rounds_; ++round) {
    const size_t begin = round % 2 == 0 ? 0 : padded_ - block_;
    for (size_t i = 0; i < padded_; ++i) {
      const float sign = Next(seed) >> 63 ? -1.0f : 1.0f;
      signs_[round * padded_ + i] = i >= begin && i < begin + block_ ? sign * scale : sign;
    }
  }
}

void Rotation::Apply(const float* in, float* out) const {
  const Kernels& kernels = Best();
  std::copy_n(in, dim_, out);
  std::fill(out + dim_, out + padded_, 0.0f);
  for (size_t round = 0; round < rounds_; ++round) {
    const float* signs = signs_.data() + round * padded_;
    kernels.multiply_f32(out, signs, padded_);
    kernels.hadamard_f32(out + (round % 2 == 0 ? 0 : padded_ - block_), block_);
  }
}

void Rotation::ApplyInverse(float* in, float* out) const {
  const Kernels& kernels = Best();
  for (size_t round = rounds_; round-- > 0;) {
    kernels.hadamard_f32(in + (round % 2 == 0 ? 0 : padded_ - block_), block_);
    kernels.multiply_f32(in, signs_.data() + round * padded_, padded_);
  }
  std::copy_n(in, dim_, out);
}

}  // namespace alcove::simd
