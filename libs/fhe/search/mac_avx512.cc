#include <immintrin.h>

#include "libs/fhe/search/mac_impl.h"

namespace alcove::fhe {
namespace {

struct Lanes {
  using type = __m512i;
  static constexpr size_t kLanes = 8;
  static constexpr size_t kVectors = 1;
  static type Load(const uint64_t* p) { return _mm512_load_si512(p); }
  static void Store(uint64_t* p, type x) { _mm512_store_si512(p, x); }
  static type Set1(uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static type And(type a, type b) { return _mm512_and_si512(a, b); }
  static type Sub(type a, type b) { return _mm512_sub_epi64(a, b); }
  template <int kBits>
  static type Right(type a) {
    return _mm512_srli_epi64(a, kBits);
  }
  template <int kBits>
  static type Left(type a) {
    return _mm512_slli_epi64(a, kBits);
  }
  static void Prefetch(const uint64_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }
  static type Add(type a, type b) { return _mm512_add_epi64(a, b); }
  static type Mul32(type a, type b) { return _mm512_mul_epu32(a, b); }
};

}  // namespace

const MacKernels kMacAvx512 = {&MacSplit<Lanes>::Accumulate, &MacReduceScalar};

}  // namespace alcove::fhe
