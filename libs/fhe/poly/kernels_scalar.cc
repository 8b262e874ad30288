#include "libs/fhe/poly/kernels_impl.h"

namespace alcove::fhe {
namespace {

using u128 = unsigned __int128;

// One lane of plain 64-bit arithmetic: the oracle every other table is compared with.
struct Scalar {
  using type = uint64_t;
  static constexpr size_t kLanes = 1;
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

// Eight lanes of the two AVX-512 IFMA multiplications, in portable code.
struct EmulatedIfma {
  struct type {
    uint64_t lane[8];
  };
  static constexpr size_t kLanes = 8;
  static constexpr Quotient kQuotient = Quotient::kShoup52;
  static constexpr uint64_t kMask = (uint64_t{1} << 52) - 1;

  template <class F>
  static type Each(F f) {
    type out;
    for (int i = 0; i < 8; ++i) out.lane[i] = f(i);
    return out;
  }
  static type Load(const uint64_t* p) {
    return Each([&](int i) { return p[i]; });
  }
  static void Store(uint64_t* p, type x) {
    for (int i = 0; i < 8; ++i) p[i] = x.lane[i];
  }
  static type Set1(uint64_t x) {
    return Each([&](int) { return x; });
  }
  static type Add(type a, type b) {
    return Each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static type Sub(type a, type b) {
    return Each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static type ReduceOnce(type x, type m) {
    return Each([&](int i) { return Scalar::ReduceOnce(x.lane[i], m.lane[i]); });
  }
  static type MulHigh64(type a, type b) {
    return Each([&](int i) { return Scalar::MulHigh64(a.lane[i], b.lane[i]); });
  }
  static type MulLow64(type a, type b) {
    return Each([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  // vpmadd52luq and vpmadd52huq: the low and high 52 bits of the 104-bit product of the operands' low 52 bits, added.
  static uint64_t Low52(uint64_t acc, uint64_t a, uint64_t b) {
    return acc + static_cast<uint64_t>(static_cast<u128>(a & kMask) * (b & kMask) & kMask);
  }
  static uint64_t High52(uint64_t acc, uint64_t a, uint64_t b) {
    return acc + static_cast<uint64_t>(static_cast<u128>(a & kMask) * (b & kMask) >> 52);
  }
  static type MulLazy(type x, type w, type wq, type q) {
    return Each([&](int i) {
      const uint64_t estimate = High52(0, x.lane[i], wq.lane[i]);
      return (Low52(0, x.lane[i], w.lane[i]) - Low52(0, estimate, q.lane[i])) & kMask;
    });
  }
  template <size_t kT>
  static void Split(type a, type b, type& x, type& y) {
    uint64_t all[16];
    Store(all, a);
    Store(all + 8, b);
    for (size_t i = 0; i < 8; ++i) {
      const size_t at = (i / kT) * 2 * kT + i % kT;
      x.lane[i] = all[at];
      y.lane[i] = all[at + kT];
    }
  }
  template <size_t kT>
  static void Join(type x, type y, type& a, type& b) {
    uint64_t all[16];
    for (size_t i = 0; i < 8; ++i) {
      const size_t at = (i / kT) * 2 * kT + i % kT;
      all[at] = x.lane[i];
      all[at + kT] = y.lane[i];
    }
    a = Load(all);
    b = Load(all + 8);
  }
  template <size_t kT>
  static type LoadGroups(const uint64_t* p) {
    return Each([&](int i) { return p[static_cast<size_t>(i) / kT]; });
  }
};

}  // namespace

const Kernels kScalarKernels = KernelTable<Scalar>::value;
const Kernels kEmulatedIfmaKernels = KernelTable<EmulatedIfma>::value;

}  // namespace alcove::fhe
