#include <immintrin.h>

#include "libs/fhe/poly/kernels_impl.h"

namespace alcove::fhe {
namespace {

struct Avx2 {
  using type = __m256i;
  static constexpr size_t kLanes = 4;
  static constexpr int kQuotientBits = 64;
  static type Load(const uint64_t* p) { return _mm256_load_si256(reinterpret_cast<const type*>(p)); }
  static void Store(uint64_t* p, type x) { _mm256_store_si256(reinterpret_cast<type*>(p), x); }
  static type Set1(uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
  static type Add(type a, type b) { return _mm256_add_epi64(a, b); }
  static type Sub(type a, type b) { return _mm256_sub_epi64(a, b); }
  static type ReduceOnce(type x, type m) {
    const type d = _mm256_sub_epi64(x, m);
    // The sign bit of d selects, lane by lane.
    return _mm256_castpd_si256(
        _mm256_blendv_pd(_mm256_castsi256_pd(d), _mm256_castsi256_pd(x), _mm256_castsi256_pd(d)));
  }
  static type MulHigh64(type a, type b) {
    const type mask = _mm256_set1_epi64x(0xffffffff);
    const type ah = _mm256_srli_epi64(a, 32);
    const type bh = _mm256_srli_epi64(b, 32);
    const type ll = _mm256_mul_epu32(a, b);
    const type lh = _mm256_mul_epu32(a, bh);
    const type hl = _mm256_mul_epu32(ah, b);
    const type hh = _mm256_mul_epu32(ah, bh);
    const type mid = _mm256_add_epi64(hl, _mm256_srli_epi64(ll, 32));
    const type mid2 = _mm256_add_epi64(lh, _mm256_and_si256(mid, mask));
    return _mm256_add_epi64(_mm256_add_epi64(hh, _mm256_srli_epi64(mid, 32)), _mm256_srli_epi64(mid2, 32));
  }
  static type MulLow64(type a, type b) {
    const type cross =
        _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), b), _mm256_mul_epu32(a, _mm256_srli_epi64(b, 32)));
    return _mm256_add_epi64(_mm256_mul_epu32(a, b), _mm256_slli_epi64(cross, 32));
  }
  static type MulLazy(type x, type w, type wq, type q) {
    return _mm256_sub_epi64(MulLow64(x, w), MulLow64(MulHigh64(x, wq), q));
  }
  template <size_t kT>
  static void Split(type a, type b, type& x, type& y) {
    if constexpr (kT == 2) {
      x = _mm256_permute2x128_si256(a, b, 0x20);
      y = _mm256_permute2x128_si256(a, b, 0x31);
    } else {
      x = _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(a, b), 0xD8);
      y = _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(a, b), 0xD8);
    }
  }
  template <size_t kT>
  static void Join(type x, type y, type& a, type& b) {
    if constexpr (kT == 2) {
      a = _mm256_permute2x128_si256(x, y, 0x20);
      b = _mm256_permute2x128_si256(x, y, 0x31);
    } else {
      const type p = _mm256_permute4x64_epi64(x, 0xD8);
      const type r = _mm256_permute4x64_epi64(y, 0xD8);
      a = _mm256_unpacklo_epi64(p, r);
      b = _mm256_unpackhi_epi64(p, r);
    }
  }
  template <size_t kT>
  static type LoadGroups(const uint64_t* p) {
    if constexpr (kT == 2) {
      return _mm256_permute4x64_epi64(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
                                      0x50);
    } else {
      return _mm256_loadu_si256(reinterpret_cast<const type*>(p));
    }
  }
};

}  // namespace

const Kernels kAvx2Kernels = KernelTable<Avx2>::value;

}  // namespace alcove::fhe
