// Vector kernels behind run-time dispatch: one table of functions for each instruction set.
//
// Numbers: integer kernels are exact, so every set returns the same bits. Floating-point kernels sum in an order of
// their own; sets agree within n * 2^-23 of the sum of magnitudes. Pointers need no alignment.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::simd {

// Layouts of one vector of n dimensions:
//   f32, f16 (IEEE half), bf16   element i at position i
//   u8                           byte i = code of dimension i
//   u4                           byte b = code of dimension b (low half) | code of dimension b + n/2 << 4; n % 64 == 0
//   u2                           byte b = codes of dimensions b, b + n/4, b + n/2, b + 3n/4, two bits each from the low
//   end;
//                                n % 64 == 0
//   u1                           bit i % 8 of byte i / 8 = code of dimension i; n % 64 == 0
//
// "rows" kernels score several vectors of one array in a call: out[j] belongs to the vector at
// base + ids[j] * stride (bytes), j in [0, count).
struct Kernels {
  const char* name;

  float (*dot_f32)(const float* a, const float* b, size_t n);
  float (*l2_f32)(const float* a, const float* b, size_t n);  // squared distance
  float (*dot_f16)(const float* q, const uint16_t* v, size_t n);
  float (*dot_bf16)(const float* q, const uint16_t* v, size_t n);

  void (*dot_f32_rows)(const float* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                       float* out);
  void (*dot_f16_rows)(const float* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                       float* out);

  // sum of u[i] * q[i]; n <= 65536, q in [-127, 127].
  void (*dot_u8_rows)(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                      int32_t* out);
  // The same on 4-bit codes; q is in dimension order. n % 64 == 0.
  void (*dot_u4_rows)(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                      int32_t* out);
  // The same on 2-bit codes.
  void (*dot_u2_rows)(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                      int32_t* out);
  // 1-bit codes against a query of 4-bit values, -8 to 7 in two's complement, split into planes: bit p of dimension i
  // is bit i of plane p, planes lie one after another, n / 8 bytes each. out = sum over set code bits of the query
  // value. n % 64 == 0.
  void (*dot_u1_rows)(const uint8_t* planes, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids,
                      size_t count, int32_t* out);

  // out[j] = self - weight * scales[ids[j]] * (sums[j] - offset): integer sums to distances. Null scales are all 1.
  void (*scale_rows)(const int32_t* sums, const float* scales, const uint32_t* ids, size_t count, float self,
                     float weight, float offset, float* out);

  // The positions of the values below `threshold`, ascending; returns how many. `out` has room for count + 15.
  size_t (*below_f32)(const float* values, size_t count, float threshold, uint32_t* out);
  // Puts key and value where they belong among `size` keys in ascending order, after equal ones, moving the rest up by
  // one place; beyond `capacity` the last falls off. Returns the place, which is `capacity` when the new key itself
  // falls off. Both arrays have room for capacity + 1.
  size_t (*insert_sorted)(float* keys, uint32_t* values, size_t size, size_t capacity, float key, uint32_t value);

  void (*multiply_f32)(float* x, const float* y, size_t n);  // x[i] *= y[i]
  float (*max_abs_f32)(const float* x, size_t n);
  // out[i] = x[i] * factor rounded to the nearest integer, ties to even; returns their sum. |x[i] * factor| <= 127.5.
  int32_t (*round_s8)(const float* x, float factor, int8_t* out, size_t n);

  // Rounding to a grid: level(x) = x * factor + centre to the nearest integer (ties to even), at least `low`, at most
  // `high`. grid_dot returns the sum of x[i] * (level(x[i]) - centre); grid_round writes the levels, all in [0, 255].
  float (*grid_dot)(const float* x, float factor, float centre, float low, float high, size_t n);
  void (*grid_round)(const float* x, float factor, float centre, float low, float high, uint8_t* out, size_t n);

  // Codes as signed values: u - 128, and 2 c - 15. Returns their sum. n % 64 == 0.
  int32_t (*expand_u8)(const uint8_t* codes, int8_t* out, size_t n);
  int32_t (*expand_u4)(const uint8_t* codes, int8_t* out, size_t n);

  // Round to nearest even; beyond the half range gives infinity.
  void (*f32_to_f16)(const float* in, uint16_t* out, size_t n);
  void (*f16_to_f32)(const uint16_t* in, float* out, size_t n);
  void (*f32_to_bf16)(const float* in, uint16_t* out, size_t n);
  void (*bf16_to_f32)(const uint16_t* in, float* out, size_t n);

  // Walsh-Hadamard transform in place, not scaled; n is a power of two. Cost: n log2 n additions.
  void (*hadamard_f32)(float* x, size_t n);
};

enum class InstructionSet : uint8_t { kScalar, kAvx2, kAvx512, kAvx512Vnni, kAvx512Full };
inline constexpr InstructionSet kInstructionSets[] = {InstructionSet::kScalar, InstructionSet::kAvx2,
                                                      InstructionSet::kAvx512, InstructionSet::kAvx512Vnni,
                                                      InstructionSet::kAvx512Full};

// The fastest table this processor (and ALCOVE_CPU, see libs/common/cpu_features.h) allows. Never changes.
const Kernels& Best();

// The table of one instruction set; null where this processor cannot run it. kAvx512Full adds BF16 and VPOPCNTDQ.
const Kernels* For(InstructionSet set);

}  // namespace alcove::simd
