#include "libs/simd/quantize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "libs/simd/kernels.h"

namespace alcove::simd {
namespace {

// Levels of the grid for x, such that <x, levels> is 1 as nearly as one coordinate allows. Scaling x up a little before
// rounding raises the inner product, in small jumps; the first `split` coordinates get the jump that goes past 1.
void Round(const float* x, size_t n, const Grid& grid, uint8_t* out) {
  const Kernels& kernels = Best();
  const float step = GridStep(grid, n);
  const auto dot = [&](float factor) {
    return step * kernels.grid_dot(x, factor, grid.centre, grid.low, grid.high, n);
  };
  float below = 1 / step, above = below;
  float reached = dot(below);
  if (reached < 1) {
    for (int i = 0; i < 12 && reached < 1; ++i) {
      below = above;
      above *= 1 + 1.2f * (1 - reached) + 0.001f;
      reached = dot(above);
    }
  } else {
    for (int i = 0; i < 12 && reached >= 1; ++i) {
      above = below;
      below *= 1 - std::min(1.2f * (reached - 1) + 0.001f, 0.5f);
      reached = dot(below);
    }
  }
  for (int i = 0; i < 5; ++i) {
    const float middle = (below + above) / 2;
    (dot(middle) < 1 ? below : above) = middle;
  }
  std::vector<uint8_t> more(n);
  kernels.grid_round(x, below, grid.centre, grid.low, grid.high, out, n);
  kernels.grid_round(x, above, grid.centre, grid.low, grid.high, more.data(), n);
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += step * x[i] * (static_cast<float>(out[i]) - grid.centre);
  for (size_t i = 0; i < n; ++i) {
    if (more[i] == out[i]) continue;
    const float gain = step * x[i] * static_cast<float>(int{more[i]} - int{out[i]});
    if (sum + gain / 2 > 1) break;
    sum += gain;
    out[i] = more[i];
  }
}

bool AllZero(const float* x, size_t n) { return !(Best().max_abs_f32(x, n) > 0); }

}  // namespace

float GridStep(const Grid& grid, size_t n) { return grid.step / std::sqrt(static_cast<float>(n)); }

void EncodeU8(const float* x, size_t n, const Grid& grid, uint8_t* codes) {
  if (AllZero(x, n)) return static_cast<void>(std::fill_n(codes, n, uint8_t{128}));
  Round(x, n, grid, codes);
}

void EncodeU4(const float* x, size_t n, const Grid& grid, uint8_t* codes) {
  const size_t half = n / 2;
  if (AllZero(x, n)) return static_cast<void>(std::fill_n(codes, half, uint8_t{0x88}));
  std::vector<uint8_t> levels(n);
  Round(x, n, grid, levels.data());
  for (size_t i = 0; i < half; ++i) codes[i] = static_cast<uint8_t>(levels[i] | levels[i + half] << 4);
}

void EncodeRest(const float* x, size_t n, const Grid& grid, const uint8_t* codes, int bits, uint8_t* rest) {
  const float inverse = 1 / GridStep(grid, n);
  const size_t half = n / 2;
  std::vector<uint8_t> levels(n);
  for (size_t i = 0; i < n; ++i) {
    const int code = i < half ? codes[i] & 15 : codes[i - half] >> 4;
    const float over = x[i] * inverse - (static_cast<float>(code) - grid.centre);
    const float level = std::nearbyint(over / RestFactor(bits) + RestCentre(bits));
    levels[i] = static_cast<uint8_t>(std::clamp(level, 0.0f, 2 * RestCentre(bits)));
  }
  const size_t each = static_cast<size_t>(8 / bits), part = n / each;
  for (size_t b = 0; b < part; ++b) {
    unsigned byte = 0;
    for (size_t p = 0; p < each; ++p) byte |= unsigned{levels[p * part + b]} << (p * static_cast<size_t>(bits));
    rest[b] = static_cast<uint8_t>(byte);
  }
}

float EncodeSigns(const float* x, size_t n, uint8_t* bits) {
  float sum = 0;
  for (size_t i = 0; i < n; i += 8) {
    unsigned byte = 0;
    for (size_t j = 0; j < 8; ++j) {
      byte |= static_cast<unsigned>(x[i + j] > 0) << j;
      sum += std::fabs(x[i + j]);
    }
    bits[i / 8] = static_cast<uint8_t>(byte);
  }
  return sum > 0 ? 1 / sum : 0;
}

float SignError(float factor, size_t n) {
  // The cosine between x and its signs is 1 / (f sqrt(n)); see lemma 3.2 of the paper.
  const auto dims = static_cast<float>(n);
  const float rest = factor * factor * dims - 1;
  return rest > 0 ? std::sqrt(rest / (dims - 1)) : 0;
}

PlaneScale EncodePlanes(const float* x, size_t n, uint8_t* planes) {
  const float most = Best().max_abs_f32(x, n);
  const float inverse = most > 0 ? 7.5f / most : 0;
  const size_t bytes = n / 8;
  std::fill_n(planes, 4 * bytes, uint8_t{0});
  int32_t sum = 0;
  for (size_t i = 0; i < n; ++i) {
    const int value = std::clamp(static_cast<int>(std::nearbyint(x[i] * inverse)), -8, 7);
    sum += value;
    for (size_t p = 0; p < 4; ++p) {
      const unsigned bit = static_cast<unsigned>(value) >> p & 1;
      planes[p * bytes + i / 8] = static_cast<uint8_t>(planes[p * bytes + i / 8] | bit << (i % 8));
    }
  }
  return {.scale = most / 7.5f, .sum = sum};
}

QueryScale EncodeQuery(const float* x, size_t n, int8_t* values) {
  const Kernels& kernels = Best();
  const float most = kernels.max_abs_f32(x, n);
  const float inverse = most > 0 ? 127.0f / most : 0.0f;
  return {.scale = most / 127.0f, .sum = kernels.round_s8(x, inverse, values, n)};
}

void DecodeU8(const uint8_t* codes, size_t n, const Grid& grid, float* out) {
  const float step = GridStep(grid, n);
  for (size_t i = 0; i < n; ++i) out[i] = step * (static_cast<float>(codes[i]) - grid.centre);
}

void DecodeU4(const uint8_t* codes, size_t n, const Grid& grid, float* out) {
  const float step = GridStep(grid, n);
  const size_t half = n / 2;
  for (size_t i = 0; i < half; ++i) {
    out[i] = step * (static_cast<float>(codes[i] & 15) - grid.centre);
    out[i + half] = step * (static_cast<float>(codes[i] >> 4) - grid.centre);
  }
}

void AddRest(const uint8_t* rest, size_t n, const Grid& grid, int bits, float* out) {
  const float step = GridStep(grid, n) * RestFactor(bits);
  const size_t each = static_cast<size_t>(8 / bits), part = n / each;
  const unsigned mask = (1u << bits) - 1;
  for (size_t p = 0; p < each; ++p) {
    for (size_t b = 0; b < part; ++b) {
      const unsigned level = rest[b] >> (p * static_cast<size_t>(bits)) & mask;
      out[p * part + b] += step * (static_cast<float>(level) - RestCentre(bits));
    }
  }
}

}  // namespace alcove::simd
