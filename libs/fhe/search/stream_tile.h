// Writes of whole cache lines past the caches: for arrays of many megabytes filled a line here and a line there, where
// an ordinary store would first read the line.
#pragma once

#include <cstdint>

#include <emmintrin.h>

#include "libs/fhe/search/mac.h"

namespace alcove::fhe {

// Copies kTile words to a 64-byte aligned place. Others may read it after FinishStreaming().
inline void StreamTile(const uint64_t* from, uint64_t* to) {
  for (size_t i = 0; i < kTile; i += 2) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  }
}

inline void FinishStreaming() { _mm_sfence(); }

}  // namespace alcove::fhe
