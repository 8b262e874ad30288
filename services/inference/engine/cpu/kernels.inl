// The kernels, written once over a vector type. Included by one file per instruction set, inside an anonymous namespace
// and after the definition of
//
//   struct Vec { kLanes (divides 16); kVectorsPerTile, kRowsPerTile; Load, LoadPartial, Set, … } with value semantics
//
// so that nothing here is shared between files compiled with different flags.

constexpr size_t kLanes = Vec::kLanes;
constexpr size_t kTileColumns = Vec::kVectorsPerTile * kLanes;
constexpr size_t kTileRows = Vec::kRowsPerTile;
// Depth of one pass over a panel: 384 × 48 floats stay in the second-level cache, 8 × 384 inputs in the first.
constexpr size_t kDepthBlock = 384;

constexpr float kLog2E = 1.44269504088896341f;

// 2^x for x ≤ 127; results below 2^-126 are 0 or close to it. Relative error below 1e-7 (degree-6 minimax polynomial on
// [-1/2, 1/2]).
inline Vec Exp2(Vec x) {
  x = Vec::Max(x, Vec::Set(-126.0f));
  const Vec whole = Vec::Round(x);
  const Vec f = Vec::Sub(x, whole);
  Vec p = Vec::Set(0.0001534580223960802f);
  p = Vec::Fma(p, f, Vec::Set(0.0013399930903688073f));
  p = Vec::Fma(p, f, Vec::Set(0.009618489071726799f));
  p = Vec::Fma(p, f, Vec::Set(0.05550328642129898f));
  p = Vec::Fma(p, f, Vec::Set(0.24022646248340607f));
  p = Vec::Fma(p, f, Vec::Set(0.6931471824645996f));
  p = Vec::Fma(p, f, Vec::Set(1.0f));
  return Vec::MulPow2(p, whole);
}

// x·Φ(x). The lower tail Φ(-|x|) is 2^q(|x|) with q a degree-8 minimax polynomial on [0, 6.5]; beyond that Φ(-|x|) is
// below 5e-11. Absolute error below 5e-8 for |x| < 6.5.
inline Vec Gelu(Vec x) {
  const Vec u = Vec::Min(Vec::Abs(x), Vec::Set(6.5f));
  Vec q = Vec::Set(-2.2758742943551624e-06f);
  q = Vec::Fma(q, u, Vec::Set(3.2968026062007993e-05f));
  q = Vec::Fma(q, u, Vec::Set(-0.00015727878781035542f));
  q = Vec::Fma(q, u, Vec::Set(-0.0002024788991548121f));
  q = Vec::Fma(q, u, Vec::Set(0.007142781745642424f));
  q = Vec::Fma(q, u, Vec::Set(-0.052546434104442596f));
  q = Vec::Fma(q, u, Vec::Set(-0.45919305086135864f));
  q = Vec::Fma(q, u, Vec::Set(-1.1511069536209106f));
  q = Vec::Fma(q, u, Vec::Set(-0.9999999403953552f));
  const Vec tail = Exp2(q);
  return Vec::Mul(x, Vec::IfNegative(x, tail, Vec::Sub(Vec::Set(1.0f), tail)));
}

// x / (1 + exp(-2y)) with y = sqrt(2/π)(x + 0.044715 x³): the "tanh" approximation of GELU.
inline Vec GeluTanh(Vec x) {
  const Vec cube = Vec::Mul(Vec::Mul(x, x), x);
  const Vec y = Vec::Mul(Vec::Fma(cube, Vec::Set(0.044715f), x), Vec::Set(-2.0f * 0.7978845608028654f * kLog2E));
  return Vec::Div(x, Vec::Add(Vec::Set(1.0f), Exp2(Vec::Min(y, Vec::Set(126.0f)))));
}

inline Vec Apply(Epilogue epilogue, Vec x) {
  switch (epilogue) {
    case Epilogue::kGelu:
      return Gelu(x);
    case Epilogue::kGeluTanh:
      return GeluTanh(x);
    case Epilogue::kRelu:
      return Vec::Max(x, Vec::Set(0.0f));
    case Epilogue::kNone:
      break;
  }
  return x;
}

// One register tile: acc[R, N·lanes] += a[R, depth] · b[depth, N·lanes].
template <size_t R, size_t N>
struct Tile {
  Vec acc[R][N];

  __attribute__((always_inline)) void Multiply(const float* a, size_t a_stride, const float* b, size_t b_stride,
                                               size_t depth, const float* prefetch) {
    for (size_t k = 0; k < depth; ++k) {
      Vec row[N];
#pragma GCC unroll 8
      for (size_t n = 0; n < N; ++n) row[n] = Vec::Load(b + n * kLanes);
      if (prefetch != nullptr) {
#pragma GCC unroll 8
        for (size_t n = 0; n < N * kLanes; n += 16) __builtin_prefetch(prefetch + n);
        prefetch += b_stride;
      }
      b += b_stride;
#pragma GCC unroll 16
      for (size_t r = 0; r < R; ++r) {
        const Vec x = Vec::Set(a[r * a_stride + k]);
#pragma GCC unroll 8
        for (size_t n = 0; n < N; ++n) acc[r][n] = Vec::Fma(x, row[n], acc[r][n]);
      }
    }
  }
};

struct LinearArgs {
  const float* in;
  size_t in_stride;
  const float* panel;
  size_t panel_stride;
  size_t depth;
  const float* start_bias;  // null: accumulate onto `out`
  Epilogue epilogue;
  const float* prefetch;
  float* out;
  size_t out_stride;
  size_t out_columns;  // valid columns of this tile
};

template <size_t R, size_t N>
void LinearTile(const LinearArgs& args) {
  Tile<R, N> tile;
  const bool whole = args.out_columns == N * kLanes;
  for (size_t r = 0; r < R; ++r) {
    for (size_t n = 0; n < N; ++n) {
      if (args.start_bias != nullptr) {
        tile.acc[r][n] = Vec::Load(args.start_bias + n * kLanes);
      } else if (whole) {
        tile.acc[r][n] = Vec::Load(args.out + r * args.out_stride + n * kLanes);
      } else {
        const size_t column = n * kLanes;
        tile.acc[r][n] = Vec::LoadPartial(args.out + r * args.out_stride + column,
                                          args.out_columns > column ? args.out_columns - column : 0);
      }
    }
  }
  tile.Multiply(args.in, args.in_stride, args.panel, args.panel_stride, args.depth, args.prefetch);
  for (size_t r = 0; r < R; ++r) {
    for (size_t n = 0; n < N; ++n) {
      const Vec value = Apply(args.epilogue, tile.acc[r][n]);
      float* out = args.out + r * args.out_stride + n * kLanes;
      if (whole) {
        Vec::Store(out, value);
      } else {
        const size_t column = n * kLanes;
        Vec::StorePartial(out, value, args.out_columns > column ? args.out_columns - column : 0);
      }
    }
  }
}

using TileFunction = void (*)(const LinearArgs&);

template <size_t R>
TileFunction TileOfWidth(size_t vectors) {
  switch (vectors) {
    case 1:
      return LinearTile<R, 1>;
    case 2:
      return LinearTile<R, 2>;
    default:
      return LinearTile<R, 3>;
  }
}

inline TileFunction SelectTile(size_t rows, size_t vectors) {
  static_assert(kTileRows <= 8 && Vec::kVectorsPerTile == 3);
  switch (rows) {
    case 1:
      return TileOfWidth<1>(vectors);
    case 2:
      return TileOfWidth<2>(vectors);
    case 3:
      return TileOfWidth<3>(vectors);
    case 4:
      return TileOfWidth<4>(vectors);
    case 5:
      return TileOfWidth<kTileRows >= 5 ? 5 : 1>(vectors);
    case 6:
      return TileOfWidth<kTileRows >= 6 ? 6 : 1>(vectors);
    case 7:
      return TileOfWidth<kTileRows >= 7 ? 7 : 1>(vectors);
    default:
      return TileOfWidth<kTileRows>(vectors);
  }
}

// out[rows, columns] (+)= in[rows, depth] · b[depth, columns], b with the given row stride and at least `columns` rounded
// up to a whole vector readable in each row.
inline void MultiplyStrip(LinearArgs args, size_t rows) {
  const size_t vectors = (args.out_columns + kLanes - 1) / kLanes;
  const TileFunction full = SelectTile(kTileRows, vectors);
  size_t row = 0;
  for (; row + kTileRows <= rows; row += kTileRows) {
    full(args);
    args.in += kTileRows * args.in_stride;
    args.out += kTileRows * args.out_stride;
    args.prefetch = nullptr;  // the next panel is fetched once, during the first tile
  }
  if (row < rows) SelectTile(rows - row, vectors)(args);
}

void Linear(const float* in, const float* packed, const float* bias, size_t rows, size_t depth, size_t columns,
            Epilogue epilogue, float* out) {
  for (size_t column = 0; column < columns; column += kPanelColumns) {
    const size_t in_panel = columns - column < kPanelColumns ? columns - column : kPanelColumns;
    const size_t width = (in_panel + kPanelGranule - 1) / kPanelGranule * kPanelGranule;
    for (size_t k = 0; k < depth; k += kDepthBlock) {
      const size_t block = depth - k < kDepthBlock ? depth - k : kDepthBlock;
      const bool last = k + block == depth;
      for (size_t tile = 0; tile < in_panel; tile += kTileColumns) {
        LinearArgs args;
        args.in = in + k;
        args.in_stride = depth;
        args.panel = packed + k * width + tile;
        args.panel_stride = width;
        args.depth = block;
        args.start_bias = k == 0 ? bias + column + tile : nullptr;
        args.epilogue = last ? epilogue : Epilogue::kNone;
        // What follows in memory is what is needed next: the rest of this panel, then the next one. Prefetching past the
        // last panel is harmless.
        args.prefetch = args.panel + block * width;
        args.out = out + column + tile;
        args.out_stride = columns;
        args.out_columns = in_panel - tile < kTileColumns ? in_panel - tile : kTileColumns;
        MultiplyStrip(args, rows);
      }
    }
    packed += depth * width;
  }
}

inline size_t RoundUp16(size_t value) { return (value + 15) / 16 * 16; }

// Turns scores[count] into exp(scale·(score − max)) and returns their sum.
inline float SoftmaxNumerators(float* scores, size_t count, float scale) {
  const size_t whole = count / kLanes * kLanes;
  const size_t rest = count - whole;
  Vec maximum = Vec::Set(-3.0e38f);
  for (size_t i = 0; i < whole; i += kLanes) maximum = Vec::Max(maximum, Vec::Load(scores + i));
  float top = Vec::ReduceMax(maximum);
  for (size_t i = whole; i < count; ++i) top = scores[i] > top ? scores[i] : top;

  const Vec factor = Vec::Set(scale * kLog2E);
  const Vec offset = Vec::Set(-top * scale * kLog2E);
  Vec sum = Vec::Set(0.0f);
  for (size_t i = 0; i < whole; i += kLanes) {
    const Vec e = Exp2(Vec::Fma(Vec::Load(scores + i), factor, offset));
    sum = Vec::Add(sum, e);
    Vec::Store(scores + i, e);
  }
  float total = Vec::ReduceAdd(sum);
  if (rest > 0) {
    const Vec e = Exp2(Vec::Fma(Vec::LoadPartial(scores + whole, rest), factor, offset));
    Vec::StorePartial(scores + whole, e, rest);
    for (size_t i = whole; i < count; ++i) total += scores[i];
  }
  return total;
}

// Scratch layout: keys transposed [D, S16] | values [S, D16] | scores [rows of a tile, S16].
void Attention(const float* qkv, const AttentionShape& shape, float* scratch, float* out) {
  const size_t tokens = shape.tokens;
  const size_t dim = shape.head_dim;
  const size_t hidden = shape.heads * dim;
  const size_t stride = 3 * hidden;
  const size_t padded = RoundUp16(tokens);
  const size_t dim_padded = RoundUp16(dim);
  float* keys = scratch;
  float* values = keys + dim * padded;
  float* scores = values + tokens * dim_padded;
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));
  alignas(64) float zero_bias[kPanelColumns] = {};

  for (size_t head = 0; head < shape.heads; ++head) {
    const float* query = qkv + head * dim;
    const float* key = query + hidden;
    const float* value = key + hidden;
    for (size_t t = 0; t < tokens; ++t) {
      for (size_t d = 0; d < dim; ++d) keys[d * padded + t] = key[t * stride + d];
    }
    for (size_t d = 0; d < dim; ++d) {
      for (size_t t = tokens; t < padded; ++t) keys[d * padded + t] = 0.0f;
    }
    for (size_t t = 0; t < tokens; ++t) {
      for (size_t d = 0; d < dim; ++d) values[t * dim_padded + d] = value[t * stride + d];
      for (size_t d = dim; d < dim_padded; ++d) values[t * dim_padded + d] = 0.0f;
    }

    for (size_t row = 0; row < tokens; row += kTileRows) {
      const size_t rows = tokens - row < kTileRows ? tokens - row : kTileRows;
      LinearArgs args;
      args.in = query + row * stride;
      args.in_stride = stride;
      args.panel_stride = padded;
      args.depth = dim;
      args.start_bias = zero_bias;
      args.epilogue = Epilogue::kNone;
      args.prefetch = nullptr;
      args.out_stride = padded;
      for (size_t column = 0; column < padded; column += kTileColumns) {
        args.panel = keys + column;
        args.out = scores + column;
        args.out_columns = padded - column < kTileColumns ? padded - column : kTileColumns;
        MultiplyStrip(args, rows);
      }
      float inverse[kTileRows];
      for (size_t r = 0; r < rows; ++r) inverse[r] = 1.0f / SoftmaxNumerators(scores + r * padded, tokens, scale);

      args.in = scores;
      args.in_stride = padded;
      args.panel_stride = dim_padded;
      args.depth = tokens;
      args.out_stride = hidden;
      float* target = out + row * hidden + head * dim;
      for (size_t column = 0; column < dim; column += kTileColumns) {
        args.panel = values + column;
        args.out = target + column;
        args.out_columns = dim - column < kTileColumns ? dim - column : kTileColumns;
        MultiplyStrip(args, rows);
      }
      for (size_t r = 0; r < rows; ++r) {
        float* line = target + r * hidden;
        for (size_t d = 0; d < dim; ++d) line[d] *= inverse[r];
      }
    }
  }
}

void AddLayerNorm(float* x, const float* residual, const float* gamma, const float* beta, float eps, size_t rows,
                  size_t columns) {
  const size_t whole = columns / kLanes * kLanes;
  const size_t rest = columns - whole;
  for (size_t row = 0; row < rows; ++row, x += columns) {
    Vec sum = Vec::Set(0.0f);
    if (residual != nullptr) {
      for (size_t i = 0; i < whole; i += kLanes) {
        const Vec v = Vec::Add(Vec::Load(x + i), Vec::Load(residual + i));
        Vec::Store(x + i, v);
        sum = Vec::Add(sum, v);
      }
      for (size_t i = whole; i < columns; ++i) x[i] += residual[i];
      residual += columns;
    } else {
      for (size_t i = 0; i < whole; i += kLanes) sum = Vec::Add(sum, Vec::Load(x + i));
    }
    float total = Vec::ReduceAdd(sum);
    for (size_t i = whole; i < columns; ++i) total += x[i];
    const float mean = total / static_cast<float>(columns);

    const Vec center = Vec::Set(mean);
    Vec squares = Vec::Set(0.0f);
    for (size_t i = 0; i < whole; i += kLanes) {
      const Vec d = Vec::Sub(Vec::Load(x + i), center);
      squares = Vec::Fma(d, d, squares);
    }
    float variance = Vec::ReduceAdd(squares);
    for (size_t i = whole; i < columns; ++i) variance += (x[i] - mean) * (x[i] - mean);
    variance /= static_cast<float>(columns);

    const float inverse = 1.0f / __builtin_sqrtf(variance + eps);
    const Vec factor = Vec::Set(inverse);
    for (size_t i = 0; i < whole; i += kLanes) {
      const Vec d = Vec::Mul(Vec::Sub(Vec::Load(x + i), center), factor);
      Vec::Store(x + i, Vec::Fma(d, Vec::Load(gamma + i), Vec::Load(beta + i)));
    }
    if (rest > 0) {
      const Vec d = Vec::Mul(Vec::Sub(Vec::LoadPartial(x + whole, rest), center), factor);
      Vec::StorePartial(x + whole,
                        Vec::Fma(d, Vec::LoadPartial(gamma + whole, rest), Vec::LoadPartial(beta + whole, rest)), rest);
    }
  }
}

void Add(const float* in, size_t count, float* out) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Vec::Store(out + i, Vec::Add(Vec::Load(out + i), Vec::Load(in + i)));
  for (; i < count; ++i) out[i] += in[i];
}

void Maximum(const float* in, size_t count, float* out) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Vec::Store(out + i, Vec::Max(Vec::Load(out + i), Vec::Load(in + i)));
  for (; i < count; ++i) out[i] = in[i] > out[i] ? in[i] : out[i];
}

void Scale(float* x, size_t count, float factor) {
  const Vec f = Vec::Set(factor);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Vec::Store(x + i, Vec::Mul(Vec::Load(x + i), f));
  for (; i < count; ++i) x[i] *= factor;
}

float SquareSum(const float* x, size_t count) {
  Vec sum = Vec::Set(0.0f);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) sum = Vec::Fma(Vec::Load(x + i), Vec::Load(x + i), sum);
  float total = Vec::ReduceAdd(sum);
  for (; i < count; ++i) total += x[i] * x[i];
  return total;
}

constexpr CpuKernels MakeTable(const char* name) {
  return {name, &Linear, &Attention, &AddLayerNorm, &Add, &Maximum, &Scale, &SquareSum};
}
