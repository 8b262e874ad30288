#include "libs/fhe/poly/kernels_impl.h"

namespace alcove::fhe {
namespace {

using u128 = unsigned __int128;

// One lane of plain 64-bit arithmetic: the oracle every other table is compared with.
struct Scalar {
  using type = uint64_t;
  static constexpr size_t kLanes = 1;
  static constexpr bool kGathers = false;
  static constexpr Quotient kQuotient = Quotient::kShoup64;
  static type Load(const uint64_t* p) { return *p; }
  static void Store(uint64_t* p, type x) { *p = x; }
  static type Set1(uint64_t x) { return x; }
  static type Add(type a, type b) { return a + b; }
  static type Sub(type a, type b) { return a - b; }
  static type ReduceOnce(type x, type m) {
    const type d = x - m;
    return d + (m & -(d >> 63));
  }
  static type MulHigh64(type a, type b) { return static_cast<uint64_t>((static_cast<u128>(a) * b) >> 64); }
  static type MulLow64(type a, type b) { return a * b; }
  static type MulLazy(type x, type w, type wq, type q) { return x * w - MulHigh64(x, wq) * q; }
};

}  // namespace

const Kernels kScalarKernels = KernelTable<Scalar>::value;

}  // namespace alcove::fhe
