// The bf16 kernels, written once over a block product. Included by one file per instruction set, inside an anonymous
// namespace and after the definition of
//
//   // c[16·row_tiles, 32·Panels] = a · b over depth_blocks blocks of 32 inputs. Panel p of b begins p·panel_stride
//   // entries on, row r of c r·c_stride floats. `between(k)` is called once for each block of inputs and does other
//   // work, for which the product leaves the vector units free. Additions run from the first input to the last,
//   // whatever row_tiles and Panels are.
//   template <Streamed S, size_t Panels, class Between>
//   void MultiplyBlock(const Bf16LeftHand& a, const uint16_t* b, size_t panel_stride, size_t depth_blocks,
//                      size_t row_tiles, float* c, size_t c_stride, Between between);
//   // Lives around a stretch of MultiplyBlock calls.
//   struct BlockSession;
//
// so that nothing here is shared between files compiled with different flags. Needs AVX-512 F, BW, DQ, VL and BF16.

constexpr float kLog2E = 1.44269504088896341f;

inline __mmask16 FirstLanes(size_t count) {
  return count >= 16 ? __mmask16(0xffff) : static_cast<__mmask16>((1u << count) - 1);
}

inline __m512i Pack2(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

// 2^x for -126 ≤ x ≤ 126, relative error below 8e-5 (degree-3 minimax polynomial on [0, 1)).
inline __m512 Exp2(__m512 x) {
  const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  __m512 p = _mm512_set1_ps(0.07802452147006989f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.2260671705007553f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6958335041999817f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.9999251961708069f));
  return _mm512_scalef_ps(p, x);
}

// x·Φ(x) = max(x, 0) − |x|·Φ(−|x|), the tail Φ(−|x|) being 2^q(|x|) with q a degree-4 polynomial on [0, 5.5], fitted to
// the least error of |x|·Φ(−|x|). Absolute error below 2e-5 for |x| ≤ 100.
inline __m512 Gelu(__m512 x) {
  const __m512 u = _mm512_abs_ps(x);
  const __m512 v = _mm512_min_ps(u, _mm512_set1_ps(5.5f));
  __m512 q = _mm512_set1_ps(0.0038662750739604235f);
  q = _mm512_fmadd_ps(q, v, _mm512_set1_ps(-0.044079359620809555f));
  q = _mm512_fmadd_ps(q, v, _mm512_set1_ps(-0.4680146276950836f));
  q = _mm512_fmadd_ps(q, v, _mm512_set1_ps(-1.1473724842071533f));
  q = _mm512_fmadd_ps(q, v, _mm512_set1_ps(-1.0004795789718628f));
  return _mm512_fnmadd_ps(u, Exp2(q), _mm512_max_ps(x, _mm512_setzero_ps()));
}

// x / (1 + exp(−2y)) with y = sqrt(2/π)(x + 0.044715 x³): the "tanh" approximation of GELU.
inline __m512 GeluTanh(__m512 x) {
  const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
  __m512 y = _mm512_mul_ps(_mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), x),
                           _mm512_set1_ps(-2.0f * 0.7978845608028654f * kLog2E));
  y = _mm512_max_ps(_mm512_min_ps(y, _mm512_set1_ps(126.0f)), _mm512_set1_ps(-126.0f));
  return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), Exp2(y)));
}

template <Epilogue E>
inline __m512 Apply(__m512 x) {
  if constexpr (E == Epilogue::kGelu) return Gelu(x);
  if constexpr (E == Epilogue::kGeluTanh) return GeluTanh(x);
  if constexpr (E == Epilogue::kRelu) return _mm512_max_ps(x, _mm512_setzero_ps());
  return x;
}

// A product whose sums wait in `block` for bias, activation and storing.
struct PendingBlock {
  float* block = nullptr;  // row stride 32 · Panels
  size_t row = 0;
  size_t rows = 0;
  size_t column = 0;
};

// Finishes rows begin .. end-1 of 32 columns of a pending block.
template <Epilogue E>
inline void FinishRows(const Bf16LinearArgs& args, const float* block, size_t block_stride, size_t row, size_t column,
                       size_t begin, size_t end) {
  const __m512 bias0 = _mm512_loadu_ps(args.bias + column);
  const __m512 bias1 = _mm512_loadu_ps(args.bias + column + 16);
  const size_t padded = RoundUpToBf16Block(args.columns);
  for (size_t r = begin; r < end; ++r) {
    const __m512 y0 = Apply<E>(_mm512_add_ps(_mm512_load_ps(block + r * block_stride), bias0));
    const __m512 y1 = Apply<E>(_mm512_add_ps(_mm512_load_ps(block + r * block_stride + 16), bias1));
    if (args.out_tiles != nullptr) {
      _mm512_storeu_si512(args.out_tiles + Bf16TileOffset(row + r, column, padded), Pack2(y0, y1));
    } else if (args.out_rows != nullptr) {
      _mm512_storeu_si512(args.out_rows + (row + r) * padded + column, Pack2(y0, y1));
    } else {
      const size_t left = args.columns - column;
      float* const out = args.out_f32 + (row + r) * args.columns + column;
      _mm512_mask_storeu_ps(out, FirstLanes(left), y0);
      _mm512_mask_storeu_ps(out + 16, FirstLanes(left > 16 ? left - 16 : 0), y1);
    }
  }
}

template <Epilogue E, size_t Panels>
inline void FinishRows(const Bf16LinearArgs& args, const PendingBlock& pending, size_t begin, size_t end) {
  if (end > pending.rows) end = pending.rows;
  if (begin >= end) return;
  for (size_t panel = 0; panel < Panels; ++panel) {
    FinishRows<E>(args, pending.block + panel * 32, 32 * Panels, pending.row, pending.column + 32 * panel, begin, end);
  }
}

template <Epilogue E, Streamed S>
void LinearWith(const Bf16LinearArgs& args) {
  const size_t depth_blocks = (args.depth + kBf16Block - 1) / kBf16Block;
  const size_t panel = depth_blocks * 2 * kBf16TileEntries;
  const size_t finished_per_step = (32 + depth_blocks - 1) / depth_blocks;
  // While one block is multiplied, the one before it is finished.
  alignas(64) float blocks[2][32 * 64];
  PendingBlock pending;
  size_t next = 0;
  const uint16_t* tiles = args.tiles;
  size_t column = 0;
  if (args.rows <= 16) {
    // One row of tiles: two panels at once make four independent chains of additions.
    for (; column + kBf16Block < args.columns; column += 2 * kBf16Block, tiles += 2 * panel) {
      MultiplyBlock<S, 2>(
          TiledLeftHand(args.in, depth_blocks), tiles, panel, depth_blocks, 1, blocks[next], 64,
          [&](size_t k) { FinishRows<E, 2>(args, pending, k * finished_per_step, (k + 1) * finished_per_step); });
      pending = {blocks[next], 0, args.rows, column};
      next ^= 1;
    }
    FinishRows<E, 2>(args, pending, 0, 32);
    pending = {};
  }
  // While the rows pass by a panel of weights, the next panel comes from memory, spread evenly over the steps. (With
  // few rows memory is what everything waits for, and asking for more than the processor does by itself slows it down.)
  const size_t row_blocks = (args.rows + 31) / 32;
  const size_t lines_per_step = S == Streamed::kLeft ? (32 + row_blocks - 1) / row_blocks : 0;
  for (; column < args.columns; column += kBf16Block, tiles += panel) {
    const uint16_t* ahead = tiles + panel;
    for (size_t row = 0; row < args.rows; row += 32) {
      const size_t rows = args.rows - row < 32 ? args.rows - row : 32;
      MultiplyBlock<S, 1>(TiledLeftHand(args.in + row * depth_blocks * kBf16Block, depth_blocks), tiles, 0,
                          depth_blocks, rows > 16 ? 2 : 1, blocks[next], 32, [&](size_t k) {
                            for (size_t l = 0; l < lines_per_step; ++l, ahead += 32) {
                              _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T1);
                            }
                            FinishRows<E, 1>(args, pending, k * finished_per_step, (k + 1) * finished_per_step);
                          });
      pending = {blocks[next], row, rows, column};
      next ^= 1;
    }
  }
  FinishRows<E, 1>(args, pending, 0, 32);
}

template <Epilogue E>
void LinearWith(const Bf16LinearArgs& args) {
  // Few rows stay in the first-level cache while the weights pass by; of many rows, each panel of weights stays.
  args.rows <= 32 ? LinearWith<E, Streamed::kRight>(args) : LinearWith<E, Streamed::kLeft>(args);
}

void Linear(const Bf16LinearArgs& args) {
  const BlockSession session;
  switch (args.epilogue) {
    case Epilogue::kGelu: return LinearWith<Epilogue::kGelu>(args);
    case Epilogue::kGeluTanh: return LinearWith<Epilogue::kGeluTanh>(args);
    case Epilogue::kRelu: return LinearWith<Epilogue::kRelu>(args);
    case Epilogue::kNone: return LinearWith<Epilogue::kNone>(args);
  }
}

// Rows r0..r15 of 16 dwords each become columns.
inline void Transpose16(__m512i (&r)[16]) {
  __m512i t[16];
  for (size_t i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (size_t i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // r[4g + j] holds, in each 128-bit lane l, column 4l + j of rows 4g .. 4g+3.
  for (size_t j = 0; j < 4; ++j) {
    const __m512i a = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x44);       // lanes 0, 1 of groups 0 and 1
    const __m512i b = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xee);       // lanes 2, 3
    const __m512i c = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x44);  // groups 2 and 3
    const __m512i d = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xee);
    t[j] = _mm512_shuffle_i32x4(a, c, 0x88);
    t[4 + j] = _mm512_shuffle_i32x4(a, c, 0xdd);
    t[8 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
    t[12 + j] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
  for (size_t i = 0; i < 16; ++i) r[i] = t[i];
}

// Keys of one head as the right-hand side of Q·Kᵀ: panels of 32 tokens, blocks of 32 dimensions. Tokens past the
// sequence are zero.
inline void PackKeys(const uint16_t* keys, size_t stride, size_t tokens, size_t dim, uint16_t* tiles) {
  const size_t padded = RoundUpToBf16Block(tokens);
  for (size_t token = 0; token < padded; token += 32) {
    for (size_t d = 0; d < dim; d += 32) {
      for (size_t half = token; half < token + 32; half += 16, tiles += kBf16TileEntries) {
        __m512i r[16];
        for (size_t t = 0; t < 16; ++t) {
          r[t] = half + t < tokens ? _mm512_loadu_si512(keys + (half + t) * stride + d) : _mm512_setzero_si512();
        }
        if (half < tokens) Transpose16(r);
        for (size_t p = 0; p < 16; ++p) _mm512_store_si512(tiles + p * 32, r[p]);
      }
    }
  }
}

// Values of one head as the right-hand side of P·V: panels of 32 dimensions, blocks of 32 tokens. Inside a panel the
// columns are in the order Interleave leaves them in: quads of dimensions 0, 2, 4, 6 in the first tile, 1, 3, 5, 7 in
// the second. Tokens past the sequence are zero.
inline void PackValues(const uint16_t* values, size_t stride, size_t tokens, size_t dim, uint16_t* tiles) {
  const size_t padded = RoundUpToBf16Block(tokens);
  for (size_t d = 0; d < dim; d += 32) {
    for (size_t token = 0; token < padded; token += 32, tiles += 2 * kBf16TileEntries) {
      for (size_t p = 0; p < 16; ++p) {
        const size_t t = token + 2 * p;
        const __m512i even = t < tokens ? _mm512_loadu_si512(values + t * stride + d) : _mm512_setzero_si512();
        const __m512i odd = t + 1 < tokens ? _mm512_loadu_si512(values + (t + 1) * stride + d) : _mm512_setzero_si512();
        _mm512_store_si512(tiles + p * 32, _mm512_unpacklo_epi16(even, odd));
        _mm512_store_si512(tiles + kBf16TileEntries + p * 32, _mm512_unpackhi_epi16(even, odd));
      }
    }
  }
}

// A row of weights[padded], in tiles, = exp(scale·(score − max)), zero past `tokens`; returns 1 / their sum.
inline float Softmax(const float* scores, size_t tokens, size_t padded, float scale, uint16_t* weights) {
  __m512 top0 = _mm512_set1_ps(-3.0e38f), top1 = top0;
  for (size_t i = 0; i < tokens; i += 32) {
    const size_t left = tokens - i;
    top0 = _mm512_mask_max_ps(top0, FirstLanes(left), top0, _mm512_load_ps(scores + i));
    top1 = _mm512_mask_max_ps(top1, FirstLanes(left > 16 ? left - 16 : 0), top1, _mm512_load_ps(scores + i + 16));
  }
  const float top = _mm512_reduce_max_ps(_mm512_max_ps(top0, top1));
  const __m512 factor = _mm512_set1_ps(scale * kLog2E), offset = _mm512_set1_ps(-top * scale * kLog2E);
  const __m512 least = _mm512_set1_ps(-126.0f);
  __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0;
  for (size_t i = 0; i < padded; i += 32) {
    const size_t left = i < tokens ? tokens - i : 0;
    const __m512 x0 = _mm512_max_ps(_mm512_fmadd_ps(_mm512_load_ps(scores + i), factor, offset), least);
    const __m512 x1 = _mm512_max_ps(_mm512_fmadd_ps(_mm512_load_ps(scores + i + 16), factor, offset), least);
    const __m512 e0 = _mm512_maskz_mov_ps(FirstLanes(left), Exp2(x0));
    const __m512 e1 = _mm512_maskz_mov_ps(FirstLanes(left > 16 ? left - 16 : 0), Exp2(x1));
    sum0 = _mm512_add_ps(sum0, e0);
    sum1 = _mm512_add_ps(sum1, e1);
    _mm512_store_si512(weights + i / kBf16Block * kBf16TileEntries, Pack2(e0, e1));
  }
  return 1.0f / _mm512_reduce_add_ps(_mm512_add_ps(sum0, sum1));
}

void Attention(const uint16_t* qkv, const AttentionShape& shape, uint8_t* scratch, size_t first_row, uint16_t* out) {
  const BlockSession session;
  const Bf16AttentionPlan plan = PlanBf16Attention(shape);
  const size_t tokens = shape.tokens, dim = shape.head_dim, padded = plan.padded;
  const size_t hidden = shape.heads * dim, stride = RoundUpToBf16Block(3 * hidden);
  const size_t score_floats = 32 * padded;
  uint16_t* const keys = reinterpret_cast<uint16_t*>(scratch);
  uint16_t* const values = keys + plan.heads_at_once * plan.key_entries;
  float* const scores = reinterpret_cast<float*>(values + plan.heads_at_once * plan.key_entries);
  uint16_t* const weights = reinterpret_cast<uint16_t*>(scores + plan.heads_at_once * score_floats);
  float* const blocks = reinterpret_cast<float*>(weights + plan.heads_at_once * score_floats);
  float inverse[kBf16MostHeadsAtOnce][32];
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);

  for (size_t first = 0; first < shape.heads; first += plan.heads_at_once) {
    const size_t heads = shape.heads - first < plan.heads_at_once ? shape.heads - first : plan.heads_at_once;
    for (size_t h = 0; h < heads; ++h) {
      const uint16_t* key = qkv + hidden + (first + h) * dim;
      PackKeys(key, stride, tokens, dim, keys + h * plan.key_entries);
      PackValues(key + hidden, stride, tokens, dim, values + h * plan.key_entries);
    }
    for (size_t row = 0; row < tokens; row += 32) {
      const size_t rows = tokens - row < 32 ? tokens - row : 32;
      const size_t row_tiles = rows > 16 ? 2 : 1;
      for (size_t h = 0; h < heads; ++h) {
        const uint16_t* query = qkv + row * stride + (first + h) * dim;
        for (size_t column = 0; column < padded; column += 32) {
          MultiplyBlock<Streamed::kNeither, 1>(Bf16LeftHand{query, query + 16 * stride, stride, kBf16Block},
                                               keys + h * plan.key_entries + column * dim, 0, dim / 32, row_tiles,
                                               scores + h * score_floats + column, padded, [](size_t) {});
        }
      }
      for (size_t h = 0; h < heads; ++h) {
        for (size_t r = 0; r < rows; ++r) {
          inverse[h][r] = Softmax(scores + h * score_floats + r * padded, tokens, padded, scale,
                                  weights + h * score_floats + Bf16TileOffset(r, 0, padded));
        }
      }
      for (size_t h = 0; h < heads; ++h) {
        for (size_t d = 0; d < dim; d += 32) {
          float* const block = blocks + h * 32 * 32;
          MultiplyBlock<Streamed::kNeither, 1>(TiledLeftHand(weights + h * score_floats, padded / 32),
                                               values + h * plan.key_entries + d * padded, 0, padded / 32, row_tiles,
                                               block, 32, [](size_t) {});
          for (size_t r = 0; r < rows; ++r) {
            const __m512 factor = _mm512_set1_ps(inverse[h][r]);
            const __m512i y = Pack2(_mm512_mul_ps(_mm512_load_ps(block + r * 32), factor),
                                    _mm512_mul_ps(_mm512_load_ps(block + r * 32 + 16), factor));
            _mm512_storeu_si512(out + Bf16TileOffset(first_row + row + r, (first + h) * dim + d, hidden),
                                _mm512_permutexvar_epi64(order, y));
          }
        }
      }
    }
  }
}

void AddLayerNorm(float* x, const float* residual, const float* gamma, const float* beta, float eps, size_t rows,
                  size_t columns, uint16_t* copy) {
  const size_t padded = RoundUpToBf16Block(columns);
  for (size_t row = 0; row < rows; ++row, x += columns) {
    __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0;
    for (size_t i = 0; i < columns; i += 32) {
      const __mmask16 first = FirstLanes(columns - i), second = FirstLanes(columns - i > 16 ? columns - i - 16 : 0);
      __m512 v0 = _mm512_maskz_loadu_ps(first, x + i), v1 = _mm512_maskz_loadu_ps(second, x + i + 16);
      if (residual != nullptr) {
        v0 = _mm512_add_ps(v0, _mm512_maskz_loadu_ps(first, residual + i));
        v1 = _mm512_add_ps(v1, _mm512_maskz_loadu_ps(second, residual + i + 16));
        _mm512_mask_storeu_ps(x + i, first, v0);
        _mm512_mask_storeu_ps(x + i + 16, second, v1);
      }
      sum0 = _mm512_add_ps(sum0, v0);
      sum1 = _mm512_add_ps(sum1, v1);
    }
    if (residual != nullptr) residual += columns;
    const float mean = _mm512_reduce_add_ps(_mm512_add_ps(sum0, sum1)) / static_cast<float>(columns);

    const __m512 center = _mm512_set1_ps(mean);
    __m512 squares0 = _mm512_setzero_ps(), squares1 = squares0;
    for (size_t i = 0; i < columns; i += 32) {
      const __mmask16 first = FirstLanes(columns - i), second = FirstLanes(columns - i > 16 ? columns - i - 16 : 0);
      const __m512 d0 = _mm512_maskz_sub_ps(first, _mm512_maskz_loadu_ps(first, x + i), center);
      const __m512 d1 = _mm512_maskz_sub_ps(second, _mm512_maskz_loadu_ps(second, x + i + 16), center);
      squares0 = _mm512_fmadd_ps(d0, d0, squares0);
      squares1 = _mm512_fmadd_ps(d1, d1, squares1);
    }
    const float variance = _mm512_reduce_add_ps(_mm512_add_ps(squares0, squares1)) / static_cast<float>(columns);

    const __m512 factor = _mm512_set1_ps(1.0f / __builtin_sqrtf(variance + eps));
    for (size_t i = 0; i < columns; i += 32) {
      const __mmask16 first = FirstLanes(columns - i), second = FirstLanes(columns - i > 16 ? columns - i - 16 : 0);
      const __m512 d0 = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(first, x + i), center), factor);
      const __m512 d1 = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(second, x + i + 16), center), factor);
      const __m512 y0 = _mm512_maskz_fmadd_ps(first, d0, _mm512_maskz_loadu_ps(first, gamma + i),
                                              _mm512_maskz_loadu_ps(first, beta + i));
      const __m512 y1 = _mm512_maskz_fmadd_ps(second, d1, _mm512_maskz_loadu_ps(second, gamma + i + 16),
                                              _mm512_maskz_loadu_ps(second, beta + i + 16));
      _mm512_mask_storeu_ps(x + i, first, y0);
      _mm512_mask_storeu_ps(x + i + 16, second, y1);
      if (copy != nullptr) _mm512_storeu_si512(copy + Bf16TileOffset(row, i, padded), Pack2(y0, y1));
    }
  }
}

void Convert(const float* in, size_t rows, size_t columns, uint16_t* out) {
  const size_t padded = RoundUpToBf16Block(columns);
  for (size_t row = 0; row < rows; ++row, in += columns) {
    for (size_t i = 0; i < columns; i += 32) {
      const __mmask16 first = FirstLanes(columns - i), second = FirstLanes(columns - i > 16 ? columns - i - 16 : 0);
      const __m512 x0 = _mm512_maskz_loadu_ps(first, in + i);
      const __m512 x1 = _mm512_maskz_loadu_ps(second, in + i + 16);
      _mm512_storeu_si512(out + Bf16TileOffset(row, i, padded), Pack2(x0, x1));
    }
  }
}

constexpr Bf16Kernels MakeTable(const char* name) { return {name, &Linear, &Attention, &AddLayerNorm, &Convert}; }
