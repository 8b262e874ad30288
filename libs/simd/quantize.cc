#include "libs/simd/quantize.h"

#include <algorithm>

#include "libs/simd/kernels.h"

namespace alcove::simd {
namespace {

// 1.5 * 2^23: adding and subtracting it rounds to the nearest integer without a call.
constexpr float kRound = 12582912.0f;

}  // namespace

float EncodeU8(const float* x, size_t n, uint8_t* codes) {
  const float most = Best().max_abs_f32(x, n);
  if (!(most > 0)) {
    for (size_t i = 0; i < n; ++i) codes[i] = 128;
    return 0;
  }
  const float inverse = 127.0f / most;
  float xx = 0, xc = 0;
  for (size_t i = 0; i < n; ++i) {
    const float c = (x[i] * inverse + kRound) - kRound;
    codes[i] = static_cast<uint8_t>(static_cast<int32_t>(c) + 128);
    xx += x[i] * x[i];
    xc += x[i] * c;
  }
  return xx / xc;
}

float EncodeU4(const float* x, size_t n, uint8_t* codes) {
  const size_t half = n / 2;
  const float most = Best().max_abs_f32(x, n);
  if (!(most > 0)) {
    for (size_t i = 0; i < half; ++i) codes[i] = 0x88;
    return 0;
  }
  // Clipping the few largest values buys a finer grid for all the others; which step is best differs by vector.
  float best_inverse = 0, best_quality = -1;
  for (const float clip : {1.0f, 0.9f, 0.8f, 0.7f, 0.6f}) {
    const float inverse = 8.0f / (most * clip);
    float xc = 0, cc = 0;
    for (size_t i = 0; i < n; ++i) {
      float c = (x[i] * inverse - 0.5f + kRound) - kRound;
      c = std::min(std::max(c, -8.0f), 7.0f) + 0.5f;
      xc += x[i] * c;
      cc += c * c;
    }
    const float quality = xc * xc / cc;
    if (quality > best_quality) {
      best_quality = quality;
      best_inverse = inverse;
    }
  }
  float xx = 0, xc = 0;
  const auto code = [&](float value) {
    float c = (value * best_inverse - 0.5f + kRound) - kRound;
    c = std::min(std::max(c, -8.0f), 7.0f);
    xx += value * value;
    xc += value * (c + 0.5f);
    return static_cast<uint8_t>(static_cast<int32_t>(c) + 8);
  };
  for (size_t i = 0; i < half; ++i) {
    const uint8_t low = code(x[i]);
    codes[i] = static_cast<uint8_t>(low | code(x[i + half]) << 4);
  }
  return xx / xc;
}

QueryScale EncodeQuery(const float* x, size_t n, int8_t* values) {
  const Kernels& kernels = Best();
  const float most = kernels.max_abs_f32(x, n);
  const float inverse = most > 0 ? 127.0f / most : 0.0f;
  return {.scale = most / 127.0f, .sum = kernels.round_s8(x, inverse, values, n)};
}

void DecodeU8(const uint8_t* codes, float scale, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = scale * (static_cast<float>(codes[i]) - kU8Centre);
}

void DecodeU4(const uint8_t* codes, float scale, size_t n, float* out) {
  const size_t half = n / 2;
  for (size_t i = 0; i < half; ++i) {
    out[i] = scale * (static_cast<float>(codes[i] & 15) - kU4Centre);
    out[i + half] = scale * (static_cast<float>(codes[i] >> 4) - kU4Centre);
  }
}

}  // namespace alcove::simd
