#include "libs/fhe/poly/lanes_avx512.h"

namespace alcove::fhe {
namespace {

struct Tag {};

// 52-bit Shoup products from the integer fused multiply-add; q < 2^50 keeps 4q below 2^52. Chosen by cpuid only; its
// logic is tested everywhere through kEmulatedIfmaKernels.
struct Avx512Ifma : Lanes512<Tag> {
  static constexpr Quotient kQuotient = Quotient::kShoup52;
  [[gnu::always_inline]] static type MulLazy(type x, type w, type wq, type q) {
    const type zero = _mm512_setzero_si512();
    const type estimate = _mm512_madd52hi_epu64(zero, x, wq);
    const type difference = Sub(_mm512_madd52lo_epu64(zero, x, w), _mm512_madd52lo_epu64(zero, estimate, q));
    return _mm512_and_si512(difference, _mm512_set1_epi64((1LL << 52) - 1));
  }
};

}  // namespace

const Kernels kAvx512IfmaKernels = KernelTable<Avx512Ifma>::value;

}  // namespace alcove::fhe
