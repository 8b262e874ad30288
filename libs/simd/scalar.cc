// The reference every other instruction set is compared with.
#include <bit>
#include <cmath>
#include <cstring>

#include "libs/simd/kernels_internal.h"

namespace alcove::simd {
namespace {

float HalfToFloat(uint16_t h) {
  const uint32_t sign = uint32_t{h} >> 15 << 31;
  const uint32_t exponent = (h >> 10) & 31;
  const uint32_t mantissa = h & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 1u << 22 : 0));
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 31 << 15);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00 | ((magnitude >> 13) & 1023);
  if (magnitude >= 0x477ff000u) return sign | 0x7c00;  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {
    // Subnormal half: adding 0.5 leaves the value, rounded to a multiple of 2^-24, in the low mantissa bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000u);
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return sign | static_cast<uint16_t>((rounded - 0x38000000u) >> 13);
}

uint16_t FloatToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float Bf16ToFloat(uint16_t b) { return std::bit_cast<float>(uint32_t{b} << 16); }

float DotF32(const float* a, const float* b, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

float L2F32(const float* a, const float* b, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

float DotF16(const float* q, const uint16_t* v, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += q[i] * HalfToFloat(v[i]);
  return sum;
}

float DotBf16(const float* q, const uint16_t* v, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += q[i] * Bf16ToFloat(v[i]);
  return sum;
}

void DotF32Rows(const float* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                float* out) {
  for (size_t j = 0; j < count; ++j) out[j] = DotF32(q, reinterpret_cast<const float*>(base + ids[j] * stride), n);
}

void DotF16Rows(const float* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                float* out) {
  for (size_t j = 0; j < count; ++j) out[j] = DotF16(q, reinterpret_cast<const uint16_t*>(base + ids[j] * stride), n);
}

void DotU8Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  for (size_t j = 0; j < count; ++j) {
    const uint8_t* code = base + ids[j] * stride;
    int32_t sum = 0;
    for (size_t i = 0; i < n; ++i) sum += int32_t{code[i]} * q[i];
    out[j] = sum;
  }
}

void DotU4Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  const size_t half = n / 2;
  for (size_t j = 0; j < count; ++j) {
    const uint8_t* code = base + ids[j] * stride;
    int32_t sum = 0;
    for (size_t b = 0; b < half; ++b) sum += (code[b] & 15) * q[b] + (code[b] >> 4) * q[b + half];
    out[j] = sum;
  }
}

void DotU2Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  const size_t quarter = n / 4;
  for (size_t j = 0; j < count; ++j) {
    const uint8_t* code = base + ids[j] * stride;
    int32_t sum = 0;
    for (size_t b = 0; b < quarter; ++b) {
      sum += (code[b] & 3) * q[b] + (code[b] >> 2 & 3) * q[b + quarter] + (code[b] >> 4 & 3) * q[b + 2 * quarter] +
             (code[b] >> 6) * q[b + 3 * quarter];
    }
    out[j] = sum;
  }
}

void DotU1Rows(const uint8_t* planes, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  const size_t bytes = n / 8;
  for (size_t j = 0; j < count; ++j) {
    const uint8_t* code = base + ids[j] * stride;
    int32_t sum = 0;
    for (size_t p = 0; p < 4; ++p) {
      int32_t bits = 0;
      for (size_t b = 0; b < bytes; b += 8) {
        uint64_t x, y;
        std::memcpy(&x, code + b, 8);
        std::memcpy(&y, planes + p * bytes + b, 8);
        bits += std::popcount(x & y);
      }
      sum += p == 3 ? -(bits << p) : bits << p;
    }
    out[j] = sum;
  }
}

void ScaleRows(const int32_t* sums, const float* scales, const uint32_t* ids, size_t count, float self, float weight,
               float offset, float* out) {
  for (size_t j = 0; j < count; ++j) {
    const float scale = scales == nullptr ? 1 : scales[ids[j]];
    out[j] = self - weight * scale * (static_cast<float>(sums[j]) - offset);
  }
}

size_t BelowF32(const float* values, size_t count, float threshold, uint32_t* out) {
  size_t found = 0;
  for (size_t i = 0; i < count; ++i) {
    out[found] = static_cast<uint32_t>(i);
    found += values[i] < threshold;
  }
  return found;
}

size_t InsertSorted(float* keys, uint32_t* values, size_t size, size_t capacity, float key, uint32_t value) {
  size_t place = size;
  for (size_t low = 0; low < place;) {
    const size_t middle = (low + place) / 2;
    if (keys[middle] <= key) {
      low = middle + 1;
    } else {
      place = middle;
    }
  }
  if (place >= capacity) return capacity;
  const size_t moved = (size < capacity ? size : capacity - 1) - place;
  std::memmove(keys + place + 1, keys + place, moved * sizeof(float));
  std::memmove(values + place + 1, values + place, moved * sizeof(uint32_t));
  keys[place] = key;
  values[place] = value;
  return place;
}

void MultiplyF32(float* x, const float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] *= y[i];
}

float MaxAbsF32(const float* x, size_t n) {
  float most = 0;
  for (size_t i = 0; i < n; ++i) most = std::fabs(x[i]) > most ? std::fabs(x[i]) : most;
  return most;
}

int32_t RoundS8(const float* x, float factor, int8_t* out, size_t n) {
  int32_t sum = 0;
  for (size_t i = 0; i < n; ++i) {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer without a call.
    const auto v = static_cast<int32_t>((x[i] * factor + 12582912.0f) - 12582912.0f);
    out[i] = static_cast<int8_t>(v > 127 ? 127 : v < -127 ? -127 : v);
    sum += out[i];
  }
  return sum;
}

float Level(float x, float factor, float centre, float low, float high) {
  // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer without a call.
  const float level = (x * factor + centre + 12582912.0f) - 12582912.0f;
  return level < low ? low : level > high ? high : level;
}

float GridDot(const float* x, float factor, float centre, float low, float high, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i] * (Level(x[i], factor, centre, low, high) - centre);
  return sum;
}

void GridRound(const float* x, float factor, float centre, float low, float high, uint8_t* out, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = static_cast<uint8_t>(static_cast<int32_t>(Level(x[i], factor, centre, low, high)));
  }
}

int32_t ExpandU8(const uint8_t* codes, int8_t* out, size_t n) {
  int32_t sum = 0;
  for (size_t i = 0; i < n; ++i) {
    out[i] = static_cast<int8_t>(codes[i] - 128);
    sum += out[i];
  }
  return sum;
}

int32_t ExpandU4(const uint8_t* codes, int8_t* out, size_t n) {
  const size_t half = n / 2;
  int32_t sum = 0;
  for (size_t i = 0; i < half; ++i) {
    out[i] = static_cast<int8_t>(2 * (codes[i] & 15) - 15);
    out[i + half] = static_cast<int8_t>(2 * (codes[i] >> 4) - 15);
    sum += out[i] + out[i + half];
  }
  return sum;
}

void F32ToF16(const float* in, uint16_t* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = FloatToHalf(in[i]);
}
void F16ToF32(const uint16_t* in, float* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = HalfToFloat(in[i]);
}
void F32ToBf16(const float* in, uint16_t* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = FloatToBf16(in[i]);
}
void Bf16ToF32(const uint16_t* in, float* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = Bf16ToFloat(in[i]);
}

void HadamardF32(float* x, size_t n) {
  for (size_t half = 1; half < n; half *= 2) {
    for (size_t block = 0; block < n; block += 2 * half) {
      for (size_t i = block; i < block + half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
  }
}

}  // namespace

void FillScalar(Kernels& t) {
  t = Kernels{.name = "scalar",
              .dot_f32 = DotF32,
              .l2_f32 = L2F32,
              .dot_f16 = DotF16,
              .dot_bf16 = DotBf16,
              .dot_f32_rows = DotF32Rows,
              .dot_f16_rows = DotF16Rows,
              .dot_u8_rows = DotU8Rows,
              .dot_u4_rows = DotU4Rows,
              .dot_u2_rows = DotU2Rows,
              .dot_u1_rows = DotU1Rows,
              .scale_rows = ScaleRows,
              .below_f32 = BelowF32,
              .insert_sorted = InsertSorted,
              .multiply_f32 = MultiplyF32,
              .max_abs_f32 = MaxAbsF32,
              .round_s8 = RoundS8,
              .grid_dot = GridDot,
              .grid_round = GridRound,
              .expand_u8 = ExpandU8,
              .expand_u4 = ExpandU4,
              .f32_to_f16 = F32ToF16,
              .f16_to_f32 = F16ToF32,
              .f32_to_bf16 = F32ToBf16,
              .bf16_to_f32 = Bf16ToF32,
              .hadamard_f32 = HadamardF32};
}

}  // namespace alcove::simd
