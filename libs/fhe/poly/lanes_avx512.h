// Eight 64-bit lanes of AVX-512 (F, DQ): what the two AVX-512 kernel files share. Each includes it in its own anonymous
// namespace through a template parameter, so nothing is shared between their objects.
#pragma once

#include <immintrin.h>

#include "libs/fhe/poly/kernels_impl.h"

namespace alcove::fhe {

// Tag makes the instantiation private to one file.
template <class Tag>
struct Lanes512 {
  using type = __m512i;
  static constexpr size_t kLanes = 8;
  static constexpr bool kGathers = true;
  [[gnu::always_inline]] static type Load(const uint64_t* p) { return _mm512_load_si512(p); }
  [[gnu::always_inline]] static void Store(uint64_t* p, type x) { _mm512_store_si512(p, x); }
  [[gnu::always_inline]] static type Set1(uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  [[gnu::always_inline]] static type Add(type a, type b) { return _mm512_add_epi64(a, b); }
  [[gnu::always_inline]] static type Sub(type a, type b) { return _mm512_sub_epi64(a, b); }
  // When x < m the difference wraps above x.
  [[gnu::always_inline]] static type ReduceOnce(type x, type m) { return _mm512_min_epu64(x, _mm512_sub_epi64(x, m)); }
  [[gnu::always_inline]] static type MulHigh64(type a, type b) {
    const type mask = _mm512_set1_epi64(0xffffffff);
    const type ah = _mm512_srli_epi64(a, 32);
    const type bh = _mm512_srli_epi64(b, 32);
    const type ll = _mm512_mul_epu32(a, b);
    const type lh = _mm512_mul_epu32(a, bh);
    const type hl = _mm512_mul_epu32(ah, b);
    const type hh = _mm512_mul_epu32(ah, bh);
    const type mid = _mm512_add_epi64(hl, _mm512_srli_epi64(ll, 32));
    const type mid2 = _mm512_add_epi64(lh, _mm512_and_si512(mid, mask));
    return _mm512_add_epi64(_mm512_add_epi64(hh, _mm512_srli_epi64(mid, 32)), _mm512_srli_epi64(mid2, 32));
  }
  [[gnu::always_inline]] static type MulLow64(type a, type b) { return _mm512_mullo_epi64(a, b); }

  [[gnu::always_inline]] static type LoadAny(const uint64_t* p) { return _mm512_loadu_si512(p); }
  [[gnu::always_inline]] static void StoreAny(uint64_t* p, type x) { _mm512_storeu_si512(p, x); }
  [[gnu::always_inline]] static type Reorder(type x, type order) { return _mm512_permutexvar_epi64(order, x); }
  [[gnu::always_inline]] static type GatherSigned(const uint64_t* in, const uint32_t* source, type q) {
    const __m256i entry = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
    const __m256i index = _mm256_and_si256(entry, _mm256_set1_epi32(0x7fffffff));
    const type value = _mm512_i32gather_epi64(index, in, 8);
    const __mmask8 negate = _mm256_movepi32_mask(entry) & _mm512_test_epi64_mask(value, value);
    return _mm512_mask_sub_epi64(value, negate, q, value);
  }

  [[gnu::always_inline]] static type LoadSigned(const int8_t* p, type q) {
    const type v = _mm512_cvtepi8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm512_mask_add_epi64(v, _mm512_movepi64_mask(v), v, q);
  }

  template <size_t kT>
  [[gnu::always_inline]] static type FirstIndex() {
    if constexpr (kT == 4) return _mm512_set_epi64(11, 10, 9, 8, 3, 2, 1, 0);
    if constexpr (kT == 2) return _mm512_set_epi64(13, 12, 9, 8, 5, 4, 1, 0);
    return _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
  }
  template <size_t kT>
  [[gnu::always_inline]] static void Split(type a, type b, type& x, type& y) {
    const type first = FirstIndex<kT>();
    x = _mm512_permutex2var_epi64(a, first, b);
    y = _mm512_permutex2var_epi64(a, _mm512_add_epi64(first, _mm512_set1_epi64(kT)), b);
  }
  template <size_t kT>
  [[gnu::always_inline]] static void Join(type x, type y, type& a, type& b) {
    type index;
    if constexpr (kT == 4) index = _mm512_set_epi64(11, 10, 9, 8, 3, 2, 1, 0);
    if constexpr (kT == 2) index = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    if constexpr (kT == 1) index = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
    a = _mm512_permutex2var_epi64(x, index, y);
    b = _mm512_permutex2var_epi64(x, _mm512_add_epi64(index, _mm512_set1_epi64(4)), y);
  }
  // Of the levels inside 16 words (poly/ntt52_impl.h).
  [[gnu::always_inline]] static void FoursToTwos(type& x, type& y) {
    const type a = _mm512_permutex2var_epi64(x, _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0), y);
    y = _mm512_permutex2var_epi64(x, _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2), y);
    x = a;
  }
  [[gnu::always_inline]] static void TwosToFours(type& x, type& y) { FoursToTwos(x, y); }
  [[gnu::always_inline]] static void TwosToOnes(type& x, type& y) {
    const type a = _mm512_unpacklo_epi64(x, y);
    y = _mm512_unpackhi_epi64(x, y);
    x = a;
  }
  [[gnu::always_inline]] static void OnesToTwos(type& x, type& y) { TwosToOnes(x, y); }
  template <size_t kT>
  [[gnu::always_inline]] static type LoadGroups(const uint64_t* p) {
    if constexpr (kT == 4) {
      const type two = _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
      return _mm512_permutexvar_epi64(_mm512_set_epi64(1, 1, 1, 1, 0, 0, 0, 0), two);
    } else if constexpr (kT == 2) {
      const type four = _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
      return _mm512_permutexvar_epi64(_mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0), four);
    } else {
      return _mm512_loadu_si512(p);
    }
  }
};

}  // namespace alcove::fhe
