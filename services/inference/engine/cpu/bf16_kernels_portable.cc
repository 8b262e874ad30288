// bf16 kernels as plain loops: the twin the others are compared with.
#include <algorithm>
#include <bit>
#include <cmath>

#include "services/inference/engine/cpu/bf16_kernels.h"

namespace alcove::inference {
namespace {

// Round to nearest even; denormals become zero as in the hardware's products. Not for NaN.
uint16_t ToBf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7f800000u) == 0) return static_cast<uint16_t>(bits >> 16 & 0x8000u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float FromBf16(uint16_t x) { return std::bit_cast<float>(uint32_t{x} << 16); }

float Apply(Epilogue epilogue, float x) {
  switch (epilogue) {
    case Epilogue::kGelu: return 0.5f * x * std::erfc(-x * 0.70710678118654752f);
    case Epilogue::kGeluTanh: return 0.5f * x * (1.0f + std::tanh(0.7978845608028654f * (x + 0.044715f * x * x * x)));
    case Epilogue::kRelu: return std::max(x, 0.0f);
    case Epilogue::kNone: break;
  }
  return x;
}

void Linear(const Bf16LinearArgs& args) {
  const size_t depth = RoundUpToBf16Block(args.depth), columns = RoundUpToBf16Block(args.columns);
  for (size_t r = 0; r < args.rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      // The panel, then the tile within a block.
      const uint16_t* tile = args.tiles + c / 32 * 32 * depth + c / 16 % 2 * kBf16TileEntries + c % 16 * 2;
      float sum = 0;
      for (size_t k = 0; k < depth; ++k) {
        sum += FromBf16(args.in[Bf16TileOffset(r, k / 32 * 32, depth) + k % 32]) *
               FromBf16(tile[k / 32 * 2 * kBf16TileEntries + k % 32 / 2 * 32 + k % 2]);
      }
      const float value = Apply(args.epilogue, sum + args.bias[c]);
      if (args.out_tiles != nullptr) {
        args.out_tiles[Bf16TileOffset(r, c / 32 * 32, columns) + c % 32] = ToBf16(value);
      } else if (args.out_rows != nullptr) {
        args.out_rows[r * columns + c] = ToBf16(value);
      } else if (c < args.columns) {
        args.out_f32[r * args.columns + c] = value;
      }
    }
  }
}

void Attention(const uint16_t* qkv, const AttentionShape& shape, uint8_t* scratch, size_t first_row, uint16_t* out) {
  const size_t hidden = shape.heads * shape.head_dim, stride = RoundUpToBf16Block(3 * hidden);
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  float* const weights = reinterpret_cast<float*>(scratch);
  for (size_t head = 0; head < shape.heads; ++head) {
    for (size_t q = 0; q < shape.tokens; ++q) {
      const uint16_t* query = qkv + q * stride + head * shape.head_dim;
      float top = -INFINITY;
      for (size_t k = 0; k < shape.tokens; ++k) {
        const uint16_t* key = qkv + k * stride + hidden + head * shape.head_dim;
        float dot = 0;
        for (size_t d = 0; d < shape.head_dim; ++d) dot += FromBf16(query[d]) * FromBf16(key[d]);
        weights[k] = dot * scale;
        top = std::max(top, weights[k]);
      }
      float total = 0;
      for (size_t k = 0; k < shape.tokens; ++k) total += weights[k] = std::exp(weights[k] - top);
      for (size_t d = 0; d < shape.head_dim; ++d) {
        float sum = 0;
        for (size_t k = 0; k < shape.tokens; ++k) {
          sum += FromBf16(ToBf16(weights[k])) * FromBf16(qkv[k * stride + 2 * hidden + head * shape.head_dim + d]);
        }
        const size_t column = head * shape.head_dim + d;
        out[Bf16TileOffset(first_row + q, column / 32 * 32, hidden) + column % 32] = ToBf16(sum / total);
      }
    }
  }
}

void Convert(const float* in, size_t rows, size_t columns, uint16_t* out) {
  const size_t padded = RoundUpToBf16Block(columns);
  for (size_t r = 0; r < rows; ++r, in += columns) {
    for (size_t i = 0; i < padded; ++i) {
      out[Bf16TileOffset(r, i / 32 * 32, padded) + i % 32] = i < columns ? ToBf16(in[i]) : uint16_t{0};
    }
  }
}

void AddLayerNorm(float* x, const float* residual, const float* gamma, const float* beta, float eps, size_t rows,
                  size_t columns, uint16_t* copy) {
  PortableKernels().add_layer_norm(x, residual, gamma, beta, eps, rows, columns);
  if (copy != nullptr) Convert(x, rows, columns, copy);
}

}  // namespace

const Bf16Kernels& PortableBf16Kernels() {
  static constexpr Bf16Kernels table = {"portable-bf16", &Linear, &Attention, &AddLayerNorm, &Convert};
  return table;
}

}  // namespace alcove::inference
