// A random rotation in n log n time, applied before quantising: it spreads every vector evenly over the dimensions, so
// that one scale a vector fits all of them whatever the data looks like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace alcove::simd {

// Thread safety: const after construction.
class Rotation {
 public:
  // From `dim` >= 1 dimensions to padded(), the next multiple of 64; the added dimensions start as zero, so inner
  // products and lengths are kept. The same seed gives the same rotation on every machine.
  Rotation(size_t dim, uint64_t seed);

  size_t dim() const { return dim_; }
  size_t padded() const { return padded_; }

  // out[padded()] = R in[dim()]; the two must not overlap. Cost: rounds * padded * log2(padded) additions, 2 or 4
  // rounds.
  void Apply(const float* in, float* out) const;
  // out[dim()] = R^T in[padded()]; `in` is overwritten.
  void ApplyInverse(float* in, float* out) const;

 private:
  size_t dim_, padded_;
  size_t block_;              // largest power of two <= padded_
  size_t rounds_;             // even rounds transform the first block_ dimensions, odd rounds the last
  std::vector<float> signs_;  // [rounds_, padded_], each +-1 / sqrt(block_) where transformed, else +-1
};

}  // namespace alcove::simd
