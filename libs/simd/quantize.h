// Directions to short codes, and back; every estimate below is of the inner product of two vectors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::simd {

// A code value v means step * (v - centre), and all vectors of one dimension share the step: after a random rotation
// (rotation.h) the coordinates of any direction look like draws from one normal distribution, of deviation
// sigma = 1 / sqrt(n). Codes are chosen so that <x, code> = |x|^2, which makes estimated inner products unbiased
// (Gao et al., "RaBitQ", SIGMOD 2024 and 2025, where each vector stores a factor for it instead).
struct Grid {
  float centre, low, high;  // code values are low..high
  float step;               // in units of sigma
};
// 8 bits: clips at 4.5 sigma. Relative error of a code 0.010.
inline constexpr Grid kGridU8 = {128.0f, 1.0f, 255.0f, 4.5f / 127};
// 4 bits: the step of least error for a normal distribution, 0.11.
inline constexpr Grid kGridU4 = {7.5f, 0.0f, 15.0f, 0.335f};
// 4 bits that are later refined by more: wider, because what is clipped here cannot be refined. Alone 0.13, with 2 more
// bits 0.04, with 4 more 0.015.
inline constexpr Grid kGridU4Wide = {7.5f, 0.0f, 15.0f, 0.43f};

// The step for directions of n dimensions.
float GridStep(const Grid& grid, size_t n);

// Codes of x, which has length 1 (or is all zero): one byte a dimension.
void EncodeU8(const float* x, size_t n, const Grid& grid, uint8_t* codes);
// The same in the u4 layout of kernels.h; n % 64 == 0.
void EncodeU4(const float* x, size_t n, const Grid& grid, uint8_t* codes);
// 2 or 4 more bits for what the u4 codes leave over, in the u2 or u4 layout: of 2^bits values r, each means
// step * RestFactor(bits) * (r - RestCentre(bits)).
void EncodeRest(const float* x, size_t n, const Grid& grid, const uint8_t* codes, int bits, uint8_t* rest);
// A quarter wider than a step, because codes are not always the nearest ones (see above).
inline constexpr float RestFactor(int bits) { return 1.25f / static_cast<float>(1 << bits); }
inline constexpr float RestCentre(int bits) { return bits == 2 ? 1.5f : 7.5f; }

// One bit a dimension: the sign (RaBitQ). Returns the factor f = 1 / sum |x[i]| with which f * <q, signs> estimates
// <q, x> without bias. Its error has a standard deviation of |q| * SignError(f, n); n % 64 == 0; x has length 1 or 0
// (then f is 0).
float EncodeSigns(const float* x, size_t n, uint8_t* bits);
float SignError(float factor, size_t n);

// A query in 4 bits, in the planes of dot_u1_rows (n / 2 bytes). <q, signs> is about
// scale * (2 * sum over set bits - sum).
struct PlaneScale {
  float scale = 0;
  int32_t sum = 0;
};
PlaneScale EncodePlanes(const float* x, size_t n, uint8_t* planes);

// A query in 8 bits. <q, x> is about query.scale * GridStep * (sum of code * value - centre * query.sum).
struct QueryScale {
  float scale = 0;
  int32_t sum = 0;
};
QueryScale EncodeQuery(const float* x, size_t n, int8_t* values);

// The direction the codes stand for.
void DecodeU8(const uint8_t* codes, size_t n, const Grid& grid, float* out);
void DecodeU4(const uint8_t* codes, size_t n, const Grid& grid, float* out);
// Adds what the bits of EncodeRest stand for.
void AddRest(const uint8_t* rest, size_t n, const Grid& grid, int bits, float* out);

}  // namespace alcove::simd
