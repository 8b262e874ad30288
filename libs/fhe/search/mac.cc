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
  static type Set1(uint64_t x) {
    return Each([&](int) { return x; });
  }
  static type Madd52Low(type acc, type a, type b) {
    return Each([&](int i) { return acc.lane[i] + (static_cast<uint64_t>(Product(a.lane[i], b.lane[i])) & kMask); });
  }
  static type Madd52High(type acc, type a, type b) {
    return Each([&](int i) { return acc.lane[i] + static_cast<uint64_t>(Product(a.lane[i], b.lane[i]) >> 52); });
  }
};

}  // namespace

void MacEmulatedIfma(const uint64_t* database, const uint64_t* query, size_t dimensions, uint64_t* low,
                     uint64_t* high) {
  Mac52<Emulated>(database, query, dimensions, low, high);
}

void MacScalar(const uint64_t* database, const uint64_t* query, size_t dimensions, uint64_t* low, uint64_t* high) {
  for (size_t p = 0; p < 2; ++p) {
    unsigned __int128 sum[kTile] = {};
    for (size_t d = 0; d < dimensions; ++d) {
      for (size_t i = 0; i < kTile; ++i) {
        sum[i] += static_cast<unsigned __int128>(database[d * kTile + i]) * query[(d * 2 + p) * kTile + i];
      }
    }
    for (size_t i = 0; i < kTile; ++i) {
      low[p * kTile + i] = static_cast<uint64_t>(sum[i]);
      high[p * kTile + i] = static_cast<uint64_t>(sum[i] >> 64);
    }
  }
}

MacFn BestMac() {
  switch (BestIsa()) {
    case Isa::kAvx512Ifma: return MacAvx512Ifma;
    case Isa::kAvx512: return MacAvx512;
    case Isa::kAvx2: return MacAvx2;
    case Isa::kScalar: break;
  }
  return MacScalar;
}

}  // namespace alcove::fhe
