#include "libs/fhe/poly/lanes_avx512.h"

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

}  // namespace

const Kernels kAvx512Kernels = KernelTable<Avx512>::value;
const Kernels kAvx512DoubleKernels = KernelTable<Avx512Double>::value;

}  // namespace alcove::fhe
