#include "libs/fhe/poly/lanes_avx512.h"
#include "libs/fhe/poly/products_double_impl.h"

namespace alcove::fhe {
namespace {

struct Tag {};

// 64-bit Shoup products from 32-bit multiplications and vpmullq.
struct Avx512 : Lanes512<Tag> {
  static constexpr Quotient kQuotient = Quotient::kShoup64;
  [[gnu::always_inline]] static type MulLazy(type x, type w, type wq, type q) {
    return Sub(MulLow64(x, w), MulLow64(MulHigh64(x, wq), q));
  }
};

// The product through doubles, exact for q < 2^50: see kernels_avx2.cc. Ten instructions instead of twenty.
struct Avx512Double : Lanes512<Tag> {
  static constexpr Quotient kQuotient = Quotient::kDouble;
  [[gnu::always_inline]] static type MulLazy(type x, type w, type wq, type q) {
    const __m512d magic = _mm512_set1_pd(0x1.8p52);
    const __m512d xd = _mm512_cvtepi64_pd(x);
    const __m512d wd = _mm512_cvtepi64_pd(w);
    const __m512d e = _mm512_sub_pd(_mm512_fmadd_pd(xd, _mm512_castsi512_pd(wq), magic), magic);
    const __m512d h = _mm512_mul_pd(xd, wd);
    const __m512d l = _mm512_fmsub_pd(xd, wd, h);
    const __m512d r = _mm512_add_pd(_mm512_fnmadd_pd(e, _mm512_cvtepi64_pd(q), h), l);
    const type integer = _mm512_cvtpd_epi64(r);
    // A negative number is huge without its sign, and 2q more brings it into [0, 2q).
    return _mm512_min_epu64(integer, Add(integer, Add(q, q)));
  }
};

// Doubles for the transform.
struct Doubles8 {
  using type = __m512d;
  using Words = Lanes512<Tag>;
  static constexpr size_t kLanes = 8;
  static const double* At(const uint64_t* p) { return reinterpret_cast<const double*>(p); }
  static type Load(const uint64_t* p) { return _mm512_load_pd(At(p)); }
  static void Store(uint64_t* p, type x) { _mm512_store_pd(reinterpret_cast<double*>(p), x); }
  static type Set1(double x) { return _mm512_set1_pd(x); }
  static type Broadcast(const uint64_t* p) { return Set1(*At(p)); }
  static type FromWords(const uint64_t* p) { return _mm512_cvtepi64_pd(Words::Load(p)); }
  static type FromWordsAny(const uint64_t* p) { return _mm512_cvtepi64_pd(Words::LoadAny(p)); }
  static type FromBytes(const int8_t* p) {
    return _mm512_cvtepi32_pd(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static type Step(type x, type bound) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(x, bound, _CMP_GE_OQ), _mm512_set1_pd(1));
  }
  static __m512i Residue(type r, type q) {
    return _mm512_cvtpd_epi64(_mm512_mask_add_pd(r, _mm512_movepi64_mask(_mm512_castpd_si512(r)), r, q));
  }
  static void StoreResidue(uint64_t* p, type r, type q) { Words::Store(p, Residue(r, q)); }
  static void StoreResidueAny(uint64_t* p, type r, type q) { Words::StoreAny(p, Residue(r, q)); }
  static type Add(type a, type b) { return _mm512_add_pd(a, b); }
  static type Sub(type a, type b) { return _mm512_sub_pd(a, b); }
  static type Mul(type a, type b) { return _mm512_mul_pd(a, b); }
  static type Fma(type a, type b, type c) { return _mm512_fmadd_pd(a, b, c); }
  static type Fms(type a, type b, type c) { return _mm512_fmsub_pd(a, b, c); }
  static type Fnma(type a, type b, type c) { return _mm512_fnmadd_pd(a, b, c); }

  template <class F>
  static void AsWords(type& x, type& y, F f) {
    __m512i a = _mm512_castpd_si512(x), b = _mm512_castpd_si512(y);
    f(a, b);
    x = _mm512_castsi512_pd(a);
    y = _mm512_castsi512_pd(b);
  }
  static void Enter(type& x, type& y) {
    const type low = _mm512_shuffle_f64x2(x, y, 0x44);
    y = _mm512_shuffle_f64x2(x, y, 0xEE);
    x = low;
  }
  static void Exit(type& x, type& y) { Enter(x, y); }
  template <size_t kT>
  static void Next(type& x, type& y) {
    if constexpr (kT == 4) AsWords(x, y, [](__m512i& a, __m512i& b) { Words::FoursToTwos(a, b); });
    if constexpr (kT == 2) AsWords(x, y, [](__m512i& a, __m512i& b) { Words::TwosToOnes(a, b); });
  }
  template <size_t kT>
  static void Back(type& x, type& y) {
    Next<2 * kT>(x, y);
  }
  static void Leave(type& x, type& y) {
    AsWords(x, y, [](__m512i& a, __m512i& b) {
      const __m512i even = a, odd = b;
      Words::Join<1>(even, odd, a, b);
    });
  }
  static void Start(type& x, type& y) {
    AsWords(x, y, [](__m512i& a, __m512i& b) {
      const __m512i first = a, second = b;
      Words::Split<1>(first, second, a, b);
    });
  }
  template <size_t kT>
  static type Spread(const uint64_t* p) {
    return _mm512_castsi512_pd(Words::LoadGroups<kT>(p));
  }
};

constexpr Kernels DoubleTable() {
  Kernels k = KernelTable<Avx512Double>::value;
  ProductsDouble<Doubles8>::AddTo(k);
  return k;
}

}  // namespace

void ConvertDoubleAvx512(const ConversionView& conversion, const uint64_t* const* in, uint64_t* const* out, size_t n) {
  ProductsDouble<Doubles8>::Convert(conversion, in, out, n);
}

const Kernels kAvx512Kernels = KernelTable<Avx512>::value;
const Kernels kAvx512DoubleKernels = DoubleTable();

}  // namespace alcove::fhe
