// Emulated vectors: forced inlining would take minutes to compile.
#define KERNEL_INLINE
#define KERNEL_LAMBDA
#include <bit>
#include <cmath>

#include "libs/fhe/poly/ntt52_impl.h"
#include "libs/fhe/poly/products52_impl.h"
#include "libs/fhe/poly/products_double_impl.h"

namespace alcove::fhe {
namespace {

using u128 = unsigned __int128;

// Eight lanes of the two AVX-512 IFMA multiplications, in portable code.
struct EmulatedIfma {
  struct type {
    uint64_t lane[8];
  };
  static constexpr size_t kLanes = 8;
  static constexpr bool kGathers = false;
  static constexpr Quotient kQuotient = Quotient::kShoup52;
  static constexpr uint64_t kMask = (uint64_t{1} << 52) - 1;

  template <class F>
  [[gnu::always_inline]] static type Each(F f) {
    type out;
#pragma GCC unroll 1
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
    return Each([&](int i) { return x.lane[i] >= m.lane[i] ? x.lane[i] - m.lane[i] : x.lane[i]; });
  }
  static type MulHigh64(type a, type b) {
    return Each([&](int i) { return static_cast<uint64_t>((static_cast<u128>(a.lane[i]) * b.lane[i]) >> 64); });
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

  // A small, an odd and the usual degree: every path, and a bearable compile time.
  static constexpr bool HasLog(int log) { return log == 5 || log == 6 || log == 11 || log == 12; }
  static type And(type a, type b) {
    return Each([&](int i) { return a.lane[i] & b.lane[i]; });
  }
  static type Min(type a, type b) {
    return Each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static type Right52(type a) {
    return Each([&](int i) { return a.lane[i] >> 52; });
  }
  static type MaddLo(type acc, type a, type b) {
    return Each([&](int i) { return Low52(acc.lane[i], a.lane[i], b.lane[i]); });
  }
  static type MaddHi(type acc, type a, type b) {
    return Each([&](int i) { return High52(acc.lane[i], a.lane[i], b.lane[i]); });
  }
  static void LoadFours(const uint64_t* p, type& x, type& y) { Split<4>(Load(p), Load(p + 8), x, y); }
  static void StoreFours(uint64_t* p, type x, type y) {
    type a, b;
    Join<4>(x, y, a, b);
    Store(p, a);
    Store(p + 8, b);
  }
  static void FoursToTwos(type& x, type& y) {
    type a, b;
    Join<4>(x, y, a, b);
    Split<2>(a, b, x, y);
  }
  static void TwosToFours(type& x, type& y) {
    type a, b;
    Join<2>(x, y, a, b);
    Split<4>(a, b, x, y);
  }
  static void TwosToOnes(type& x, type& y) {
    type a, b;
    Join<2>(x, y, a, b);
    Split<1>(a, b, x, y);
  }
  static void OnesToTwos(type& x, type& y) {
    type a, b;
    Join<1>(x, y, a, b);
    Split<2>(a, b, x, y);
  }
  static void LoadOnes(const uint64_t* p, type& x, type& y) { Split<1>(Load(p), Load(p + 8), x, y); }
  static void StoreOnes(uint64_t* p, type x, type y) {
    type a, b;
    Join<1>(x, y, a, b);
    Store(p, a);
    Store(p + 8, b);
  }
  static type Spread4(const uint64_t* p) { return LoadGroups<4>(p); }
  static type Spread2(const uint64_t* p) { return LoadGroups<2>(p); }
};

// Eight lanes of double-precision fused multiply-add, in portable code. Words are the bits of doubles where the policy
// of the transform is concerned.
struct EmulatedDouble : EmulatedIfma {
  static constexpr Quotient kQuotient = Quotient::kDouble;
  static double AsDouble(uint64_t bits) { return std::bit_cast<double>(bits); }
  static uint64_t AsBits(double x) { return std::bit_cast<uint64_t>(x); }
  static type MulLazy(type x, type w, type wq, type q) {
    return Each([&](int i) {
      const uint64_t estimate =
          static_cast<uint64_t>(std::nearbyint(static_cast<double>(x.lane[i]) * AsDouble(wq.lane[i])));
      const uint64_t r = x.lane[i] * w.lane[i] - estimate * q.lane[i];
      return r + (q.lane[i] & -(r >> 63));
    });
  }
};
struct EmulatedDoubles {
  using Words = EmulatedDouble;
  using type = Words::type;
  static constexpr size_t kLanes = 8;
  template <class F>
  static type Doubles(F f) {
    return Words::Each([&](int i) { return Words::AsBits(f(i)); });
  }
  static double Lane(const type& x, int i) { return Words::AsDouble(x.lane[i]); }
  static type Load(const uint64_t* p) { return Words::Load(p); }
  static void Store(uint64_t* p, type x) { Words::Store(p, x); }
  static type Broadcast(const uint64_t* p) { return Words::Set1(*p); }
  static type Set1(double x) { return Words::Set1(Words::AsBits(x)); }
  static type FromWords(const uint64_t* p) {
    return Doubles([&](int i) { return static_cast<double>(p[i]); });
  }
  static type FromWordsAny(const uint64_t* p) { return FromWords(p); }
  static type FromBytes(const int8_t* p) {
    return Doubles([&](int i) { return static_cast<double>(p[i]); });
  }
  static type Step(type x, type bound) {
    return Doubles([&](int i) { return Lane(x, i) >= Lane(bound, i) ? 1.0 : 0.0; });
  }
  static void StoreResidue(uint64_t* p, type r, type q) {
    for (int i = 0; i < 8; ++i) {
      p[i] = static_cast<uint64_t>(static_cast<int64_t>(Lane(r, i) + (Lane(r, i) < 0 ? Lane(q, i) : 0.0)));
    }
  }
  static void StoreResidueAny(uint64_t* p, type r, type q) { StoreResidue(p, r, q); }
  static type Add(type a, type b) {
    return Doubles([&](int i) { return Lane(a, i) + Lane(b, i); });
  }
  static type Sub(type a, type b) {
    return Doubles([&](int i) { return Lane(a, i) - Lane(b, i); });
  }
  static type Mul(type a, type b) {
    return Doubles([&](int i) { return Lane(a, i) * Lane(b, i); });
  }
  static type Fma(type a, type b, type c) {
    return Doubles([&](int i) { return std::fma(Lane(a, i), Lane(b, i), Lane(c, i)); });
  }
  static type Fms(type a, type b, type c) {
    return Doubles([&](int i) { return std::fma(Lane(a, i), Lane(b, i), -Lane(c, i)); });
  }
  static type Fnma(type a, type b, type c) {
    return Doubles([&](int i) { return std::fma(-Lane(a, i), Lane(b, i), Lane(c, i)); });
  }
  static void Enter(type& x, type& y) {
    const type a = x, b = y;
    Words::Split<4>(a, b, x, y);
  }
  static void Exit(type& x, type& y) {
    const type a = x, b = y;
    Words::Join<4>(a, b, x, y);
  }
  template <size_t kT>
  static void Next(type& x, type& y) {
    if constexpr (kT == 4) Words::FoursToTwos(x, y);
    if constexpr (kT == 2) Words::TwosToOnes(x, y);
  }
  template <size_t kT>
  static void Back(type& x, type& y) {
    if constexpr (kT == 1) Words::OnesToTwos(x, y);
    if constexpr (kT == 2) Words::TwosToFours(x, y);
  }
  static void Leave(type& x, type& y) {
    const type a = x, b = y;
    Words::Join<1>(a, b, x, y);
  }
  static void Start(type& x, type& y) {
    const type a = x, b = y;
    Words::Split<1>(a, b, x, y);
  }
  template <size_t kT>
  static type Spread(const uint64_t* p) {
    return Words::LoadGroups<kT>(p);
  }
};

constexpr Kernels EmulatedDoubleTable() {
  Kernels k = KernelTable<EmulatedDouble>::value;
  ProductsDouble<EmulatedDoubles>::AddTo(k);
  return k;
}

template <Slack52 kSlack>
constexpr Kernels EmulatedTable() {
  Kernels k = KernelTable<EmulatedIfma>::value;
  k.forward = &Ntt52<EmulatedIfma, kSlack>::Forward;
  k.inverse = &Ntt52<EmulatedIfma, kSlack>::Inverse;
  Products52<EmulatedIfma>::AddTo(k);
  return k;
}

}  // namespace

void ConvertDoubleEmulated(const ConversionView& conversion, const uint64_t* const* in, uint64_t* const* out,
                           size_t n) {
  ProductsDouble<EmulatedDoubles>::Convert(conversion, in, out, n);
}

const Kernels kEmulatedIfmaTightKernels = EmulatedTable<kTight>();
const Kernels kEmulatedIfmaRoomyKernels = EmulatedTable<kRoomy>();
const Kernels kEmulatedIfmaAmpleKernels = EmulatedTable<kAmple>();
const Kernels kEmulatedDoubleKernels = EmulatedDoubleTable();

}  // namespace alcove::fhe
