#include <immintrin.h>

#include "libs/fhe/poly/kernels_impl.h"
#include "libs/fhe/poly/products_double_impl.h"

namespace alcove::fhe {
namespace {

struct Avx2 {
  using type = __m256i;
  static constexpr size_t kLanes = 4;
  static constexpr bool kGathers = false;
  static constexpr Quotient kQuotient = Quotient::kShoup64;
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

// The product through doubles, exact for q < 2^50 (the technique of FLINT's fft_small, Schultz 2022): with e within 3/2
// of x w / q, the rounded product h and its exact error l, h - e q and its sum with l are integers below 2^53.
struct Avx2Double : Avx2 {
  static constexpr Quotient kQuotient = Quotient::kDouble;
  // Integers below 2^52 to doubles and back (signed), by way of the bits of 2^52 and 1.5 * 2^52.
  static __m256d ToDouble(type x) {
    const type bits = _mm256_set1_epi64x(0x4330000000000000);
    return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(x, bits)), _mm256_castsi256_pd(bits));
  }
  static type MulLazy(type x, type w, type wq, type q) {
    const type magic_bits = _mm256_set1_epi64x(0x4338000000000000);
    const __m256d magic = _mm256_castsi256_pd(magic_bits);
    const __m256d xd = ToDouble(x);
    const __m256d wd = ToDouble(w);
    const __m256d e = _mm256_sub_pd(_mm256_fmadd_pd(xd, _mm256_castsi256_pd(wq), magic), magic);
    const __m256d h = _mm256_mul_pd(xd, wd);
    const __m256d l = _mm256_fmsub_pd(xd, wd, h);
    const __m256d r = _mm256_add_pd(_mm256_fnmadd_pd(e, ToDouble(q), h), l);
    const type integer = _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(r, magic)), magic_bits);
    const type raised = _mm256_add_epi64(integer, _mm256_add_epi64(q, q));
    return _mm256_castpd_si256(
        _mm256_blendv_pd(_mm256_castsi256_pd(integer), _mm256_castsi256_pd(raised), _mm256_castsi256_pd(integer)));
  }
};

// Doubles for the transform.
struct Doubles4 {
  using type = __m256d;
  static constexpr size_t kLanes = 4;
  static const double* At(const uint64_t* p) { return reinterpret_cast<const double*>(p); }
  static type Load(const uint64_t* p) { return _mm256_load_pd(At(p)); }
  static void Store(uint64_t* p, type x) { _mm256_store_pd(reinterpret_cast<double*>(p), x); }
  static type Broadcast(const uint64_t* p) { return _mm256_broadcast_sd(At(p)); }
  static type Set1(double x) { return _mm256_set1_pd(x); }
  static type FromWords(const uint64_t* p) { return Avx2Double::ToDouble(Avx2::Load(p)); }
  static type FromWordsAny(const uint64_t* p) {
    return Avx2Double::ToDouble(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static type FromBytes(const int8_t* p) {
    int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm256_cvtepi32_pd(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four)));
  }
  static type Step(type x, type bound) { return _mm256_and_pd(_mm256_cmp_pd(x, bound, _CMP_GE_OQ), _mm256_set1_pd(1)); }
  static type Residue(type r, type q) {
    // The sign selects, lane by lane.
    const type canonical = _mm256_blendv_pd(r, _mm256_add_pd(r, q), r);
    // A double from 2^52 to 2^53 has the integer above 2^52 in its low bits.
    const type bits = _mm256_set1_pd(0x1p52);
    return _mm256_xor_pd(_mm256_add_pd(canonical, bits), bits);
  }
  static void StoreResidue(uint64_t* p, type r, type q) { Store(p, Residue(r, q)); }
  static void StoreResidueAny(uint64_t* p, type r, type q) {
    _mm256_storeu_pd(reinterpret_cast<double*>(p), Residue(r, q));
  }
  static type Add(type a, type b) { return _mm256_add_pd(a, b); }
  static type Sub(type a, type b) { return _mm256_sub_pd(a, b); }
  static type Mul(type a, type b) { return _mm256_mul_pd(a, b); }
  static type Fma(type a, type b, type c) { return _mm256_fmadd_pd(a, b, c); }
  static type Fms(type a, type b, type c) { return _mm256_fmsub_pd(a, b, c); }
  static type Fnma(type a, type b, type c) { return _mm256_fnmadd_pd(a, b, c); }

  static void Halves(type& x, type& y) {
    const type low = _mm256_permute2f128_pd(x, y, 0x20);
    y = _mm256_permute2f128_pd(x, y, 0x31);
    x = low;
  }
  static void Pairs(type& x, type& y) {
    const type low = _mm256_unpacklo_pd(x, y);
    y = _mm256_unpackhi_pd(x, y);
    x = low;
  }
  static void Enter(type& x, type& y) { Halves(x, y); }
  static void Exit(type& x, type& y) { Halves(x, y); }
  template <size_t kT>
  static void Next(type& x, type& y) {
    Pairs(x, y);
  }
  template <size_t kT>
  static void Back(type& x, type& y) {
    Pairs(x, y);
  }
  static void Leave(type& x, type& y) {
    Pairs(x, y);
    Halves(x, y);
  }
  static void Start(type& x, type& y) {
    Halves(x, y);
    Pairs(x, y);
  }
  template <size_t kT>
  static type Spread(const uint64_t* p) {
    if constexpr (kT == 2) return _mm256_permute4x64_pd(_mm256_castpd128_pd256(_mm_loadu_pd(At(p))), 0x50);
    return _mm256_loadu_pd(At(p));
  }
};

// Words are fetched one by one, which is no slower than a gather, and negated four at a time.
void PermuteSignedAvx2(uint64_t* out, const uint64_t* in, const uint32_t* source, uint64_t q, size_t n) {
  const __m256i modulus = Avx2::Set1(q), zero = _mm256_setzero_si256();
  const auto word = [&](size_t i) { return static_cast<long long>(in[source[i] & 0x7fffffff]); };
  for (size_t i = 0; i < n; i += 4) {
    const __m256i x = _mm256_set_epi64x(word(i + 3), word(i + 2), word(i + 1), word(i));
    const __m256i negated = _mm256_andnot_si256(_mm256_cmpeq_epi64(x, zero), _mm256_sub_epi64(modulus, x));
    // The entries' top bits select, lane by lane.
    const __m256i entry = _mm256_cvtepi32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i)));
    const __m256d chosen =
        _mm256_blendv_pd(_mm256_castsi256_pd(x), _mm256_castsi256_pd(negated), _mm256_castsi256_pd(entry));
    _mm256_storeu_pd(reinterpret_cast<double*>(out + i), chosen);
  }
}

template <class V>
constexpr Kernels Table() {
  Kernels k = KernelTable<V>::value;
  k.permute_signed = &PermuteSignedAvx2;
  return k;
}

constexpr Kernels DoubleTable() {
  Kernels k = Table<Avx2Double>();
  ProductsDouble<Doubles4>::AddTo(k);
  return k;
}

}  // namespace

void ConvertDoubleAvx2(const ConversionView& conversion, const uint64_t* const* in, uint64_t* const* out, size_t n) {
  ProductsDouble<Doubles4>::Convert(conversion, in, out, n);
}

const Kernels kAvx2Kernels = Table<Avx2>();
const Kernels kAvx2DoubleKernels = DoubleTable();

}  // namespace alcove::fhe
