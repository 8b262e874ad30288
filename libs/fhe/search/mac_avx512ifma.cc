#include <immintrin.h>

#include "libs/fhe/search/mac_impl.h"

namespace alcove::fhe {
namespace {

struct Lanes {
  using type = __m512i;
  static constexpr size_t kLanes = 8;
  static type Load(const uint64_t* p) { return _mm512_load_si512(p); }
  static void Store(uint64_t* p, type x) { _mm512_store_si512(p, x); }
  static void Stream(uint64_t* p, type x) { _mm512_stream_si512(reinterpret_cast<type*>(p), x); }
  static type Set1(uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static type Add(type a, type b) { return _mm512_add_epi64(a, b); }
  static type Sub(type a, type b) { return _mm512_sub_epi64(a, b); }
  static type And(type a, type b) { return _mm512_and_si512(a, b); }
  static type Min(type a, type b) { return _mm512_min_epu64(a, b); }
  static type Right52(type a) { return _mm512_srli_epi64(a, 52); }
  static type MaddLo(type acc, type a, type b) { return _mm512_madd52lo_epu64(acc, a, b); }
  static type MaddHi(type acc, type a, type b) { return _mm512_madd52hi_epu64(acc, a, b); }
  static void Prefetch(const uint64_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }
};

}  // namespace

const MacKernels kMacAvx512Ifma = {&Mac52<Lanes>::Accumulate, &Mac52<Lanes>::Reduce};

}  // namespace alcove::fhe
