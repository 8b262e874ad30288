#include "libs/fhe/search/mac.h"

#include "libs/fhe/poly/isa.h"
#include "libs/fhe/search/mac_impl.h"

namespace alcove::fhe {
namespace {

struct Emulated {
  struct type {
    uint64_t lane[8];
  };
  static constexpr size_t kLanes = 8;
  static constexpr uint64_t kMask = (uint64_t{1} << 52) - 1;
  template <class F>
  static type Each(F f) {
    type out;
    for (int i = 0; i < 8; ++i) out.lane[i] = f(i);
    return out;
  }
  static unsigned __int128 Product(uint64_t a, uint64_t b) {
    return static_cast<unsigned __int128>(a & kMask) * (b & kMask);
  }
  static type Load(const uint64_t* p) {
    return Each([&](int i) { return p[i]; });
  }
  static void Store(uint64_t* p, type x) {
    for (int i = 0; i < 8; ++i) p[i] = x.lane[i];
  }
  static void Stream(uint64_t* p, type x) { Store(p, x); }
  static type Set1(uint64_t x) {
    return Each([&](int) { return x; });
  }
  static type Add(type a, type b) {
    return Each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static type Sub(type a, type b) {
    return Each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static type And(type a, type b) {
    return Each([&](int i) { return a.lane[i] & b.lane[i]; });
  }
  static type Min(type a, type b) {
    return Each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static type Right52(type a) {
    return Each([&](int i) { return a.lane[i] >> 52; });
  }
  static void Prefetch(const uint64_t*) {}
  static type MaddLo(type acc, type a, type b) {
    return Each([&](int i) { return acc.lane[i] + (static_cast<uint64_t>(Product(a.lane[i], b.lane[i])) & kMask); });
  }
  static type MaddHi(type acc, type a, type b) {
    return Each([&](int i) { return acc.lane[i] + static_cast<uint64_t>(Product(a.lane[i], b.lane[i]) >> 52); });
  }
};

void AccumulateScalar(const uint64_t* const* database, size_t blocks, const uint64_t* query, size_t terms,
                      uint64_t* const* acc, const MacAhead&) {
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t d = 0; d < terms; ++d) {
      for (size_t p = 0; p < 2; ++p) {
        for (size_t i = 0; i < kTile; ++i) {
          const unsigned __int128 product =
              static_cast<unsigned __int128>(database[b][d * kTile + i]) * query[(d * 2 + p) * kTile + i];
          acc[b][2 * p * kTile + i] += static_cast<uint64_t>(product) & Emulated::kMask;
          acc[b][(2 * p + 1) * kTile + i] += static_cast<uint64_t>(product >> 52);
        }
      }
    }
  }
}

}  // namespace

void MacReduceScalar(const uint64_t* acc, const MacModulus& m, uint64_t* out0, uint64_t* out1) {
  // Barrett on each of the three words keeps the time independent of the values.
  const auto shoup = [&](uint64_t x, uint64_t w, uint64_t quotient) {
    const uint64_t estimate = static_cast<uint64_t>((static_cast<unsigned __int128>(x) * quotient) >> 52);
    const uint64_t r = x * w - estimate * m.q;
    return r - (m.q & -static_cast<uint64_t>(r >= m.q));
  };
  for (size_t p = 0; p < 2; ++p) {
    for (size_t i = 0; i < kTile; ++i) {
      const uint64_t lo = acc[2 * p * kTile + i];
      const uint64_t hi = acc[(2 * p + 1) * kTile + i] + (lo >> 52);
      uint64_t sum = shoup(lo & Emulated::kMask, 1, m.barrett) + shoup(hi & Emulated::kMask, m.r52, m.r52_quotient);
      sum -= m.q & -static_cast<uint64_t>(sum >= m.q);
      sum += shoup(hi >> 52, m.r104, m.r104_quotient);
      (p == 0 ? out0 : out1)[i] = sum - (m.q & -static_cast<uint64_t>(sum >= m.q));
    }
  }
}

const MacKernels kMacScalar = {&AccumulateScalar, &MacReduceScalar};
const MacKernels kMacEmulatedIfma = {&Mac52<Emulated>::Accumulate, &Mac52<Emulated>::Reduce};

const MacKernels& BestMac() {
  switch (BestIsa()) {
    case Isa::kAvx512Ifma: return kMacAvx512Ifma;
    case Isa::kAvx512: return kMacAvx512;
    case Isa::kAvx2: return kMacAvx2;
    case Isa::kScalar: break;
  }
  return kMacScalar;
}

}  // namespace alcove::fhe
