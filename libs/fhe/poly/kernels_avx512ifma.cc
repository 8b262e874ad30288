#include "libs/fhe/poly/lanes_avx512.h"
#include "libs/fhe/poly/ntt52_impl.h"
#include "libs/fhe/poly/products52_impl.h"

namespace alcove::fhe {
namespace {

struct Tag {};

// 52-bit Shoup products from the integer fused multiply-add; q < 2^50 keeps 4q below 2^52.
struct Avx512Ifma : Lanes512<Tag> {
  static constexpr Quotient kQuotient = Quotient::kShoup52;
  [[gnu::always_inline]] static type MulLazy(type x, type w, type wq, type q) {
    const type zero = _mm512_setzero_si512();
    const type estimate = _mm512_madd52hi_epu64(zero, x, wq);
    const type difference = Sub(_mm512_madd52lo_epu64(zero, x, w), _mm512_madd52lo_epu64(zero, estimate, q));
    return _mm512_and_si512(difference, _mm512_set1_epi64((1LL << 52) - 1));
  }

  static constexpr bool HasLog(int) { return true; }
  [[gnu::always_inline]] static type And(type a, type b) { return _mm512_and_si512(a, b); }
  [[gnu::always_inline]] static type Right52(type a) { return _mm512_srli_epi64(a, 52); }
  [[gnu::always_inline]] static type Min(type a, type b) { return _mm512_min_epu64(a, b); }
  [[gnu::always_inline]] static type MaddLo(type acc, type a, type b) { return _mm512_madd52lo_epu64(acc, a, b); }
  [[gnu::always_inline]] static type MaddHi(type acc, type a, type b) { return _mm512_madd52hi_epu64(acc, a, b); }

  [[gnu::always_inline]] static __m256i Half(const uint64_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  [[gnu::always_inline]] static void LoadFours(const uint64_t* p, type& x, type& y) {
    x = _mm512_inserti64x4(_mm512_castsi256_si512(Half(p)), Half(p + 8), 1);
    y = _mm512_inserti64x4(_mm512_castsi256_si512(Half(p + 4)), Half(p + 12), 1);
  }
  [[gnu::always_inline]] static void StoreFours(uint64_t* p, type x, type y) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(p), _mm512_castsi512_si256(x));
    _mm256_store_si256(reinterpret_cast<__m256i*>(p + 4), _mm512_castsi512_si256(y));
    _mm256_store_si256(reinterpret_cast<__m256i*>(p + 8), _mm512_extracti64x4_epi64(x, 1));
    _mm256_store_si256(reinterpret_cast<__m256i*>(p + 12), _mm512_extracti64x4_epi64(y, 1));
  }
  [[gnu::always_inline]] static void LoadOnes(const uint64_t* p, type& x, type& y) {
    Split<1>(Load(p), Load(p + 8), x, y);
  }
  [[gnu::always_inline]] static void StoreOnes(uint64_t* p, type x, type y) {
    type a, b;
    Join<1>(x, y, a, b);
    Store(p, a);
    Store(p + 8, b);
  }
  [[gnu::always_inline]] static type Spread4(const uint64_t* p) {
    return _mm512_mask_broadcastq_epi64(Set1(p[0]), 0xf0, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 1)));
  }
  [[gnu::always_inline]] static type Spread2(const uint64_t* p) { return LoadGroups<2>(p); }
};

// With the table's p and q below 2^50 a 52-bit quotient does: floor(c M / 2^52) is at most one short of c / q.
void CentredReduce52(uint64_t* out, const uint64_t* x, uint64_t p, uint64_t half, uint64_t q, uint64_t q_ratio,
                     uint64_t half_mod_q, size_t n) {
  using V = Avx512Ifma;
  const __m512i from = V::Set1(p), h = V::Set1(half), modulus = V::Set1(q), back = V::Set1(q - half_mod_q);
  const __m512i barrett = V::Set1(q_ratio >> 12), minus_q = V::Set1((uint64_t{1} << 52) - q), zero = V::Set1(0);
  const __m512i mask = V::Set1((uint64_t{1} << 52) - 1);
  for (size_t i = 0; i < n; i += V::kLanes) {
    const __m512i c = V::ReduceOnce(V::Add(V::Load(x + i), h), from);
    const __m512i rest = V::And(V::MaddLo(c, V::MaddHi(zero, c, barrett), minus_q), mask);
    V::Store(out + i, V::ReduceOnce(V::Add(V::ReduceOnce(rest, modulus), back), modulus));
  }
}

// The scaled message of eight coefficients m < t < q (kernels.h), canonical.
struct Scale52 {
  using V = Avx512Ifma;
  __m512i q, t, delta, delta_quotient, rest, rest_quotient, half, minus_t, mask, zero, one;
  explicit Scale52(const MessageScale& s)
      : q(V::Set1(s.q)),
        t(V::Set1(s.t)),
        delta(V::Set1(s.delta)),
        delta_quotient(V::Set1(s.delta_quotient52)),
        rest(V::Set1(s.rest)),
        rest_quotient(V::Set1(s.rest_quotient52)),
        half(V::Set1((s.t + 1) / 2)),
        minus_t(V::Set1((uint64_t{1} << 52) - s.t)),
        mask(V::Set1((uint64_t{1} << 52) - 1)),
        zero(V::Set1(0)),
        one(V::Set1(1)) {}
  [[gnu::always_inline]] __m512i operator()(__m512i m) const {
    // rest m = estimate t + r with r in [0, 2t).
    __m512i rounding = V::MaddHi(zero, m, rest_quotient);
    __m512i r = V::And(V::MaddLo(V::MaddLo(zero, m, rest), rounding, minus_t), mask);
    rounding = _mm512_mask_add_epi64(rounding, _mm512_cmpge_epu64_mask(r, t), rounding, one);
    r = V::Add(V::ReduceOnce(r, t), half);
    rounding = _mm512_mask_add_epi64(rounding, _mm512_cmpge_epu64_mask(r, t), rounding, one);
    const __m512i product = V::ReduceOnce(V::MulLazy(m, delta, delta_quotient, q), q);
    // rounding <= t < q
    return V::ReduceOnce(V::Add(product, rounding), q);
  }
};

// t below q; others take the portable way.
void ScaleMessage52(uint64_t* out, const uint64_t* message, const MessageScale& s, size_t n) {
  using V = Avx512Ifma;
  if (s.t >= s.q) return KernelTable<V>::ScaleMessage(out, message, s, n);
  const Scale52 scale(s);
  for (size_t i = 0; i < n; i += V::kLanes) V::Store(out + i, scale(V::Load(message + i)));
}

void MaskMessage52(uint64_t* out, const uint64_t* message, const uint64_t* mask, const int8_t* error,
                   const MessageScale& s, size_t n) {
  using V = Avx512Ifma;
  if (s.t >= s.q) return KernelTable<V>::MaskMessage(out, message, mask, error, s, n);
  const Scale52 scale(s);
  for (size_t i = 0; i < n; i += V::kLanes) {
    // A negative difference is huge without its sign, and adding q makes it small.
    const __m512i d = V::Sub(scale(V::LoadAny(message + i)), V::Load(mask + i));
    const __m512i e = V::Sub(V::Min(d, V::Add(d, scale.q)), V::LoadSigned(error + i, scale.q));
    V::StoreAny(out + i, V::Min(e, V::Add(e, scale.q)));
  }
}

// x y = high 2^52 + low, high times 2^52 mod q by its Shoup quotient; both parts below 2q.
void MultiplyValues52(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t q, size_t n) {
  using V = Avx512Ifma;
  constexpr uint64_t kTop = uint64_t{1} << 52;
  const uint64_t rest = kTop % q;
  const __m512i modulus = V::Set1(q), minus_q = V::Set1(kTop - q), mask = V::Set1(kTop - 1), zero = V::Set1(0);
  const __m512i barrett = V::Set1(kTop / q), w = V::Set1(rest);
  const __m512i wq = V::Set1(static_cast<uint64_t>((static_cast<unsigned __int128>(rest) << 52) / q));
  for (size_t i = 0; i < n; i += V::kLanes) {
    const __m512i a = V::Load(x + i);
    const __m512i b = V::Load(y + i);
    const __m512i high = V::MaddHi(zero, a, b);
    const __m512i low = V::MaddLo(zero, a, b);
    const __m512i l = V::And(V::MaddLo(low, V::MaddHi(zero, low, barrett), minus_q), mask);
    const __m512i h = V::And(V::MaddLo(V::MaddLo(zero, high, w), V::MaddHi(zero, high, wq), minus_q), mask);
    V::Store(out + i, V::ReduceOnce(V::Add(V::ReduceOnce(l, modulus), V::ReduceOnce(h, modulus)), modulus));
  }
}

template <Slack52 kSlack>
constexpr Kernels Table() {
  Kernels k = KernelTable<Avx512Ifma>::value;
  k.forward = &Ntt52<Avx512Ifma, kSlack>::Forward;
  k.inverse = &Ntt52<Avx512Ifma, kSlack>::Inverse;
  Products52<Avx512Ifma>::AddTo(k);
  k.centred_reduce = &CentredReduce52;
  k.multiply_values = &MultiplyValues52;
  k.scale_message = &ScaleMessage52;
  k.mask_message = &MaskMessage52;
  return k;
}

}  // namespace

void Convert52(const ConversionView& c, const uint64_t* const* in, uint64_t* const* out, size_t n) {
  using V = Avx512Ifma;
  constexpr uint64_t kTop = uint64_t{1} << 52;
  const __m512i mask = V::Set1(kTop - 1), zero = V::Set1(0);
  struct Target {
    __m512i q, minus_q, barrett, r52, r52_quotient;
  } targets[16];
  for (size_t j = 0; j < c.to_count; ++j) {
    const uint64_t q = c.to[j];
    const uint64_t rest = kTop % q;
    targets[j] = {V::Set1(q), V::Set1(kTop - q), V::Set1(kTop / q), V::Set1(rest),
                  V::Set1(static_cast<uint64_t>((static_cast<unsigned __int128>(rest) << 52) / q))};
  }
  for (size_t i = 0; i < n; i += V::kLanes) {
    __m512i digits[16];
    __m512d overflow = _mm512_set1_pd(0.5);
    for (size_t k = 0; k < c.from_count; ++k) {
      const __m512i q = V::Set1(c.from[k]);
      digits[k] =
          V::ReduceOnce(V::MulLazy(V::Load(in[k] + i), V::Set1(c.inverse[k]), V::Set1(c.inverse_quotient[k]), q), q);
      overflow = _mm512_add_pd(_mm512_mul_pd(_mm512_cvtepi64_pd(digits[k]), _mm512_set1_pd(c.reciprocal[k])), overflow);
    }
    const __m512i multiple = _mm512_cvttpd_epi64(overflow);
    for (size_t j = 0; j < c.to_count; ++j) {
      const Target& t = targets[j];
      // At most 15 products below 2^100 and a small one: the lower sum stays below 2^56.
      const __m512i minus = V::Set1(c.minus_product[j]);
      __m512i low = V::MaddLo(zero, multiple, minus);
      __m512i high = V::MaddHi(zero, multiple, minus);
      for (size_t k = 0; k < c.from_count; ++k) {
        const __m512i factor = V::Set1(c.factor[j * c.from_count + k]);
        low = V::MaddLo(low, digits[k], factor);
        high = V::MaddHi(high, digits[k], factor);
      }
      // Below 2^52: 15 times 2^48 and a carry.
      high = V::Add(high, _mm512_srli_epi64(low, 52));
      low = V::And(low, mask);
      const __m512i l = V::And(V::MaddLo(low, V::MaddHi(zero, low, t.barrett), t.minus_q), mask);
      const __m512i h =
          V::And(V::MaddLo(V::MaddLo(zero, high, t.r52), V::MaddHi(zero, high, t.r52_quotient), t.minus_q), mask);
      V::Store(out[j] + i, V::ReduceOnce(V::Add(V::ReduceOnce(l, t.q), V::ReduceOnce(h, t.q)), t.q));
    }
  }
}

const Kernels kAvx512IfmaTightKernels = Table<kTight>();
const Kernels kAvx512IfmaRoomyKernels = Table<kRoomy>();
const Kernels kAvx512IfmaAmpleKernels = Table<kAmple>();

}  // namespace alcove::fhe
