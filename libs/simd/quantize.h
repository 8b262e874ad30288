// Floats to short codes, and back. One scale a vector; every estimate below is of the inner product of two vectors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::simd {

// The code values are centred: a u8 code u means scale * (u - 128), a u4 code c means scale * (c - 7.5).
inline constexpr float kU8Centre = 128.0f;
inline constexpr float kU4Centre = 7.5f;

// Writes n codes, u in [1, 255], and returns the scale, chosen as |x|^2 / <x, code> so that the estimated inner product
// with x itself is exact (the estimator of extended RaBitQ, Gao et al., SIGMOD 2025, on a uniform grid). A zero vector
// gives scale 0.
float EncodeU8(const float* x, size_t n, uint8_t* codes);

// The same with 4 bits, in the u4 layout of kernels.h; n % 64 == 0. The grid step is the best of a few for this vector.
float EncodeU4(const float* x, size_t n, uint8_t* codes);

// A query in 8 bits. <q, x> is about query.scale * x.scale * (sum of code * value - centre * query.sum).
struct QueryScale {
  float scale = 0;
  int32_t sum = 0;
};
QueryScale EncodeQuery(const float* x, size_t n, int8_t* values);

// The value of each code, times scale.
void DecodeU8(const uint8_t* codes, float scale, size_t n, float* out);
void DecodeU4(const uint8_t* codes, float scale, size_t n, float* out);

}  // namespace alcove::simd
