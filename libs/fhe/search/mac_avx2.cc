#include <immintrin.h>

#include "libs/fhe/search/mac_impl.h"

namespace alcove::fhe {
namespace {

struct Lanes {
  using type = __m256i;
  static constexpr size_t kLanes = 4;
  static constexpr size_t kVectors = 1;
  static type Load(const uint64_t* p) { return _mm256_load_si256(reinterpret_cast<const type*>(p)); }
  static void Store(uint64_t* p, type x) { _mm256_store_si256(reinterpret_cast<type*>(p), x); }
  static type Set1(uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
  static type And(type a, type b) { return _mm256_and_si256(a, b); }
  static type Sub(type a, type b) { return _mm256_sub_epi64(a, b); }
  template <int kBits>
  static type Right(type a) {
    return _mm256_srli_epi64(a, kBits);
  }
  template <int kBits>
  static type Left(type a) {
    return _mm256_slli_epi64(a, kBits);
  }
  static void Prefetch(const uint64_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }
  static type Add(type a, type b) { return _mm256_add_epi64(a, b); }
  static type Mul32(type a, type b) { return _mm256_mul_epu32(a, b); }
};

}  // namespace

const MacKernels kMacAvx2 = {&MacSplit<Lanes>::Accumulate, &MacReduceScalar};

}  // namespace alcove::fhe
