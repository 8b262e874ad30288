#include "libs/fhe/poly/lanes_avx512.h"

namespace alcove::fhe {
namespace {

struct Tag {};

// 64-bit Shoup products from 32-bit multiplications and vpmullq.
struct Avx512 : Lanes512<Tag> {
  static constexpr int kQuotientBits = 64;
  [[gnu::always_inline]] static type MulLazy(type x, type w, type wq, type q) {
    return Sub(MulLow64(x, w), MulLow64(MulHigh64(x, wq), q));
  }
};

}  // namespace

const Kernels kAvx512Kernels = KernelTable<Avx512>::value;

}  // namespace alcove::fhe
