#include <immintrin.h>

#include "libs/fhe/search/mac_impl.h"

namespace alcove::fhe {
namespace {

// Chosen by cpuid only; MacEmulatedIfma tests the logic everywhere.
struct Lanes {
  using type = __m512i;
  static constexpr size_t kLanes = 8;
  static type Load(const uint64_t* p) { return _mm512_load_si512(p); }
  static void Store(uint64_t* p, type x) { _mm512_store_si512(p, x); }
  static type Set1(uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static type Madd52Low(type acc, type a, type b) { return _mm512_madd52lo_epu64(acc, a, b); }
  static type Madd52High(type acc, type a, type b) { return _mm512_madd52hi_epu64(acc, a, b); }
};

}  // namespace

void MacAvx512Ifma(const uint64_t* database, const uint64_t* query, size_t dimensions, uint64_t* low, uint64_t* high) {
  Mac52<Lanes>(database, query, dimensions, low, high);
}

}  // namespace alcove::fhe
