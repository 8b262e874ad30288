#include "libs/fhe/poly/ntt.h"

#include <random>
#include <string_view>

#include <gtest/gtest.h>

#include "libs/fhe/poly/automorphism.h"

namespace alcove::fhe {
namespace {

struct Variant {
  const char* name;
  const Kernels* kernels;
};

// Every table this CPU can run; the emulated integer-FMA one always.
std::vector<Variant> Variants(const Modulus& q) {
  std::vector<Variant> out = {{"scalar", &kScalarKernels}};
  if (q.bits() <= 50) out.push_back({"portable double", &kEmulatedDoubleKernels});
  if (q.bits() <= 50) out.push_back({"emulated ifma, tight", &kEmulatedIfmaTightKernels});
  if (q.bits() <= 49) out.push_back({"emulated ifma, roomy", &kEmulatedIfmaRoomyKernels});
  if (q.bits() <= 46) out.push_back({"emulated ifma, ample", &kEmulatedIfmaAmpleKernels});
  if (BestIsa() >= Isa::kAvx2) out.push_back({"avx2", &kAvx2Kernels});
  if (BestIsa() >= Isa::kAvx512) out.push_back({"avx512", &kAvx512Kernels});
  if (BestIsa() >= Isa::kAvx2 && q.bits() <= 50) out.push_back({"avx2 double", &kAvx2DoubleKernels});
  if (BestIsa() >= Isa::kAvx512 && q.bits() <= 50) out.push_back({"avx512 double", &kAvx512DoubleKernels});
  if (BestIsa() >= Isa::kAvx512Ifma && q.bits() <= 50) out.push_back({"ifma, tight", &kAvx512IfmaTightKernels});
  if (BestIsa() >= Isa::kAvx512Ifma && q.bits() <= 49) out.push_back({"ifma, roomy", &kAvx512IfmaRoomyKernels});
  if (BestIsa() >= Isa::kAvx512Ifma && q.bits() <= 46) out.push_back({"ifma, ample", &kAvx512IfmaAmpleKernels});
  return out;
}

Words RandomWords(size_t n, uint64_t bound, uint64_t seed) {
  std::mt19937_64 rng(seed);
  Words out(n);
  for (uint64_t& w : out) w = rng() % bound;
  return out;
}

// Extremes are where lazy reduction would overflow.
std::vector<Words> Inputs(size_t n, uint64_t q) {
  Words mixed(n);
  for (size_t i = 0; i < n; ++i) mixed[i] = i % 2 ? q - 1 : 0;
  return {RandomWords(n, q, 1), RandomWords(n, q, 2), Words(n, 0), Words(n, q - 1), mixed};
}

// The last two below 2^46 and 2^49 are where the faster schedules have the least room.
const uint64_t kPrimes[] = {12289,           417793,          0xffffee001,       0x3ffffff70001,
                            0x1fffffff50001, 0x3ffffffffc001, 0x7ffffffffffe001, 0xffffffffffe8001};

TEST(NttTest, ValuesAreThePolynomialAtSealsPoints) {
  const Modulus q(0xffffee001);
  const size_t n = 4096;
  const Ntt ntt(q, n);
  Words a(n);
  a[0] = 3;
  a[1] = 5;
  a[7] = q.value() - 2;
  ntt.Forward(a.data());
  for (size_t i = 0; i < n; i += 97) {
    const uint64_t x = q.Pow(0x1720701, 2 * ReverseBits(i, 12) + 1);
    const uint64_t want = q.Sub(q.Add(3, q.Mul(5, x)), q.Mul(2, q.Pow(x, 7)));
    EXPECT_EQ(a[i], want);
  }
}

TEST(NttTest, EveryKernelEqualsTheScalarOneBitForBit) {
  for (uint64_t prime : kPrimes) {
    const Modulus q(prime);
    for (size_t n : {32, 64, 128, 256, 1024, 2048, 4096, 8192, 16384, 32768}) {
      if ((prime - 1) % (2 * n) != 0) continue;
      const Ntt oracle(q, n, kScalarKernels);
      for (const Variant& v : Variants(q)) {
        // The emulated tables are instantiated for some degrees only.
        const bool emulated = std::string_view(v.name).starts_with("emulated");
        if (emulated && n != 32 && n != 64 && n != 2048 && n != 4096) continue;
        const Ntt ntt(q, n, *v.kernels);
        for (const Words& input : Inputs(n, prime)) {
          Words want = input;
          Words got = input;
          oracle.Forward(want.data());
          ntt.Forward(got.data());
          ASSERT_EQ(want, got) << v.name << " forward, n " << n << ", q " << prime;
          // From elsewhere, and from values that are not canonical.
          Words above = input;
          for (size_t i = 0; i < n; ++i) above[i] += i % 3 == 0 ? 0 : prime;
          Words elsewhere(n);
          ntt.Forward(above.data(), elsewhere.data());
          ASSERT_EQ(want, elsewhere) << v.name << " from below 2q, n " << n << ", q " << prime;
          oracle.Inverse(want.data());
          ntt.Inverse(got.data());
          ASSERT_EQ(got, input) << v.name << " inverse, n " << n << ", q " << prime;
          ASSERT_EQ(want, input);
        }
      }
    }
  }
}

TEST(KernelTest, ElementWiseOperationsEqualWideArithmetic) {
  const size_t n = 64;
  for (uint64_t prime : kPrimes) {
    const Modulus q(prime);
    for (const Variant& v : Variants(q)) {
      // Tables for narrow primes take narrow special primes only.
      const Modulus p(v.kernels->quotient == Quotient::kShoup64 ? 0x7ffffffffffe001 : 0x3fffffffcc001);
      const auto quotient = [&](uint64_t w) { return QuotientOf(*v.kernels, q, w); };
      for (uint64_t seed : {3, 4}) {
        Words x = RandomWords(n, prime, seed);
        Words y = RandomWords(n, prime, seed + 10);
        x[0] = x[1] = prime - 1;
        y[0] = prime - 1;
        y[1] = 0;
        Words yq(n), out(n), acc = x;
        for (size_t i = 0; i < n; ++i) yq[i] = quotient(y[i]);
        v.kernels->multiply(out.data(), x.data(), y.data(), yq.data(), prime, n);
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], q.Mul(x[i], y[i])) << v.name;
        v.kernels->multiply_add(acc.data(), acc.data(), x.data(), y.data(), yq.data(), prime, n);
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(acc[i], q.Add(x[i], q.Mul(x[i], y[i]))) << v.name;
        v.kernels->subtract_scale(out.data(), x.data(), y.data(), y[5], yq[5], prime, n);
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], q.Mul(q.Sub(x[i], y[i]), y[5])) << v.name;
        v.kernels->add(out.data(), x.data(), y.data(), prime, n);
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], q.Add(x[i], y[i])) << v.name;
        v.kernels->subtract(out.data(), x.data(), y.data(), prime, n);
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], q.Sub(x[i], y[i])) << v.name;
        Words wide = RandomWords(n, p.value(), seed + 20);
        wide[0] = p.value() - 1;
        wide[1] = 0;
        wide[2] = p.value() / 2;
        wide[3] = p.value() / 2 + 1;
        const uint64_t half = p.value() / 2;
        const uint64_t ratio = static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / prime);
        v.kernels->centred_reduce(out.data(), wide.data(), p.value(), half, prime, ratio, half % prime, n);
        for (size_t i = 0; i < n; ++i) {
          const int64_t centred = wide[i] > half ? static_cast<int64_t>(wide[i]) - static_cast<int64_t>(p.value())
                                                 : static_cast<int64_t>(wide[i]);
          ASSERT_EQ(out[i], q.FromSigned(centred)) << v.name << " at " << i;
        }
        Words odd(n);
        v.kernels->fork(out.data(), odd.data(), x.data(), y.data(), y.data(), yq.data(), prime, n);
        for (size_t i = 0; i < n; ++i) {
          ASSERT_EQ(out[i], q.Add(x[i], y[i])) << v.name;
          ASSERT_EQ(odd[i], q.Mul(q.Sub(x[i], y[i]), y[i])) << v.name;
        }
        std::vector<int8_t> small(n);
        for (size_t i = 0; i < n; ++i) small[i] = static_cast<int8_t>(wide[i]);
        v.kernels->lift(out.data(), small.data(), prime, n);
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], q.FromSigned(small[i])) << v.name;
      }
    }
  }
}

TEST(KernelTest, SumsOfProductsEqualWideArithmetic) {
  const size_t n = 64, digits = 8;
  for (uint64_t prime : kPrimes) {
    const Modulus q(prime);
    for (const Variant& v : Variants(q)) {
      std::vector<Words> x, w;
      for (size_t d = 0; d < digits; ++d) x.push_back(RandomWords(n, prime, d));
      for (size_t d = 0; d < 2 * digits; ++d) w.push_back(RandomWords(n, prime, 20 + d));
      for (Words& a : x) a[0] = a[1] = prime - 1;
      for (Words& a : w) a[0] = a[2] = prime - 1;
      Words operands(2 * digits * n * OperandWords(*v.kernels));
      std::vector<const uint64_t*> pointers;
      for (size_t d = 0; d < 2 * digits; ++d) {
        PrepareOperand(*v.kernels, q, w[d].data(), n, 2 * digits, d, operands.data());
      }
      for (const Words& a : x) pointers.push_back(a.data());
      for (size_t terms = 1; terms <= digits; ++terms) {
        Words out0(n), out1(n);
        v.kernels->sum_products(out0.data(), out1.data(), pointers.data(), terms, operands.data(), digits, prime, n);
        for (size_t i = 0; i < n; ++i) {
          uint64_t want0 = 0, want1 = 0;
          for (size_t d = 0; d < terms; ++d) {
            want0 = q.Add(want0, q.Mul(x[d][i], w[2 * d][i]));
            want1 = q.Add(want1, q.Mul(x[d][i], w[2 * d + 1][i]));
          }
          ASSERT_EQ(out0[i], want0) << v.name << ", q " << prime << ", terms " << terms << " at " << i;
          ASSERT_EQ(out1[i], want1) << v.name << ", q " << prime << ", terms " << terms << " at " << i;
        }
      }
    }
  }
}

TEST(KernelTest, DivisionByAPrimeRoundsToNearest) {
  const size_t n = 64;
  for (uint64_t prime : kPrimes) {
    const Modulus q(prime);
    for (const Variant& v : Variants(q)) {
      const bool narrow = v.kernels->quotient != Quotient::kShoup64;
      for (uint64_t special : {uint64_t{0x1ffffe0001}, uint64_t{0x3fffffffcc001}, uint64_t{0x7ffffffffffe001}}) {
        if (special == prime || (narrow && special >= uint64_t{1} << 50)) continue;
        const Modulus p(special);
        const uint64_t inverse = q.Inverse(q.Reduce(special));
        const DivideView by = {prime,
                               special,
                               special / 2,
                               q.Reduce(special / 2),
                               static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / prime),
                               inverse,
                               QuotientOf(*v.kernels, q, inverse)};
        Words x = RandomWords(n, special, 6), y = RandomWords(n, prime, 7), base = RandomWords(n, prime, 8), out(n);
        const uint64_t half = special / 2;
        const uint64_t edges[] = {0, 1, half - 1, half, half + 1, special - 1};
        for (size_t i = 0; i < 36; ++i) {
          x[i] = edges[i % 6];
          y[i] = i / 6 % 3 == 0 ? 0 : i / 6 % 3 == 1 ? prime - 1 : y[i];
          base[i] = i < 18 ? prime - 1 : 0;
        }
        v.kernels->divide(out.data(), base.data(), y.data(), x.data(), by, n);
        for (size_t i = 0; i < n; ++i) {
          const int64_t centred =
              x[i] > half ? static_cast<int64_t>(x[i]) - static_cast<int64_t>(special) : static_cast<int64_t>(x[i]);
          const uint64_t want = q.Add(base[i], q.Mul(q.Sub(y[i], q.FromSigned(centred)), inverse));
          ASSERT_EQ(out[i], want) << v.name << ", q " << prime << ", p " << special << " at " << i;
        }
      }
    }
  }
}

TEST(KernelTest, ResiduesMoveBetweenPrimes) {
  using i128 = __int128;
  const size_t n = 64;
  std::vector<std::pair<const char*, ConvertFn>> variants = {{"portable double", &ConvertDoubleEmulated}};
  if (BestIsa() >= Isa::kAvx2) variants.push_back({"avx2", &ConvertDoubleAvx2});
  if (BestIsa() >= Isa::kAvx512) variants.push_back({"avx512", &ConvertDoubleAvx512});
  if (BestIsa() >= Isa::kAvx512Ifma) variants.push_back({"ifma", &Convert52});
  const std::vector<uint64_t> to = {12289, 0xffffee001, 0x3fffffffcc001, 0x1fffffff50001};
  // From one prime, two and seven.
  const std::vector<uint64_t> all = {0x3ffffffffc001, 0x3fffffffcc001, 0xffffee001,    0xffffc4001,
                                     0x1ffffe0001,    0x3ffffff70001,  0x1fffffff50001};
  for (size_t count : {size_t{1}, size_t{2}, all.size()}) {
    std::vector<Modulus> from;
    for (size_t k = 0; k < count; ++k) from.emplace_back(all[k]);
    const auto product = [&](size_t without, const Modulus& m) {
      uint64_t out = m.Reduce(1);
      for (size_t k = 0; k < count; ++k) out = k == without ? out : m.Mul(out, m.Reduce(all[k]));
      return out;
    };
    std::vector<uint64_t> inverse, quotient, factor, minus;
    std::vector<double> reciprocal;
    for (size_t k = 0; k < count; ++k) {
      inverse.push_back(from[k].Inverse(product(k, from[k])));
      quotient.push_back(from[k].ShoupQuotient(inverse[k], 52));
      reciprocal.push_back(1.0 / static_cast<double>(all[k]));
    }
    for (uint64_t p : to) {
      const Modulus m(p);
      for (size_t k = 0; k < count; ++k) factor.push_back(product(k, m));
      minus.push_back(m.Neg(product(count, m)));
    }
    const ConversionView view = {count,          to.size(),       all.data(),
                                 inverse.data(), quotient.data(), reciprocal.data(),
                                 to.data(),      factor.data(),   minus.data()};
    // Centred values; of one prime up to 2^48, of more up to 2^98.
    std::mt19937_64 rng(12);
    std::vector<i128> values(n);
    for (i128& v : values) {
      v = (static_cast<i128>(rng() >> 16) << (count == 1 ? 0 : 50)) + (count == 1 ? 0 : static_cast<i128>(rng() >> 14));
      if (rng() % 2 == 0) v = -v;
    }
    values[0] = 0;
    values[1] = 1;
    values[2] = -1;
    const auto residue = [](i128 v, uint64_t p) {
      const i128 r = v % static_cast<i128>(p);
      return static_cast<uint64_t>(r < 0 ? r + static_cast<i128>(p) : r);
    };
    std::vector<Words> in(count, Words(n)), out(to.size(), Words(n));
    std::vector<const uint64_t*> sources;
    std::vector<uint64_t*> targets;
    for (size_t k = 0; k < count; ++k) {
      for (size_t i = 0; i < n; ++i) in[k][i] = residue(values[i], all[k]);
      sources.push_back(in[k].data());
    }
    for (Words& row : out) targets.push_back(row.data());
    for (const auto& [name, convert] : variants) {
      convert(view, sources.data(), targets.data(), n);
      for (size_t j = 0; j < to.size(); ++j) {
        for (size_t i = 0; i < n; ++i) {
          ASSERT_EQ(out[j][i], residue(values[i], to[j]))
              << name << ", " << count << " primes to " << to[j] << " at " << i;
        }
      }
    }
  }
}

TEST(KernelTest, MessagesScaleExactlyAtEveryRemainder) {
  const size_t n = 256;
  for (uint64_t prime : kPrimes) {
    const Modulus q(prime);
    // A plain modulus below the prime and one above it.
    for (uint64_t t : {uint64_t{2}, uint64_t{257}, uint64_t{417793}, (uint64_t{1} << 31) - 1}) {
      const Modulus plain(t);
      for (uint64_t rest : {uint64_t{0}, uint64_t{1}, t / 2, t - 1}) {
        const uint64_t delta = q.Mul(q.Neg(q.Reduce(rest)), q.Inverse(q.Reduce(t)));
        const MessageScale scale = {prime,
                                    t,
                                    delta,
                                    q.ShoupQuotient(delta, 64),
                                    q.bits() <= 50 ? q.ShoupQuotient(delta, 52) : 0,
                                    rest,
                                    plain.ShoupQuotient(rest, 52),
                                    static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / t),
                                    static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / prime)};
        Words message = RandomWords(n, t, 9);
        message[0] = 0;
        message[1] = t - 1;
        message[2] = t / 2;
        for (const Variant& v : Variants(q)) {
          Words out(n);
          v.kernels->scale_message(out.data(), message.data(), scale, n);
          for (size_t i = 0; i < n; ++i) {
            const unsigned __int128 rounding = (static_cast<unsigned __int128>(rest) * message[i] + (t + 1) / 2) / t;
            const uint64_t want = q.Add(q.Mul(q.Reduce(message[i]), delta), q.Reduce128(rounding));
            ASSERT_EQ(out[i], want) << v.name << ", q " << prime << ", t " << t << ", rest " << rest;
          }
          // The same less a mask and an error; from and to odd addresses.
          Words mask = RandomWords(n, prime, 11), masked(n + 1);
          mask[0] = prime - 1;
          mask[1] = 0;
          std::vector<int8_t> error(n);
          for (size_t i = 0; i < n; ++i) error[i] = static_cast<int8_t>(i % 43) - 21;
          Words shifted(n + 1);
          std::copy(message.begin(), message.end(), shifted.begin() + 1);
          v.kernels->mask_message(masked.data() + 1, shifted.data() + 1, mask.data(), error.data(), scale, n);
          for (size_t i = 0; i < n; ++i) {
            ASSERT_EQ(masked[i + 1], q.Sub(q.Sub(out[i], mask[i]), q.FromSigned(error[i])))
                << v.name << ", q " << prime;
          }
        }
      }
    }
  }
}

TEST(AutomorphismTest, MovesCoefficientsAndTheirTransformTheSameWay) {
  const Modulus q(0x3ffffffffc001);
  for (size_t n : {32, 1024, 4096}) {
    const Ntt ntt(q, n);
    const Words input = RandomWords(n, q.value(), 5);
    for (uint64_t element : {uint64_t{3}, uint64_t{5}, n / 2 + 1, n + 1, 2 * n - 1}) {
      const Automorphism sigma(element, n);
      Words coefficients(n), values = input, moved(n);
      sigma.ApplyCoeff(input.data(), coefficients.data(), q);
      for (size_t i = 0; i < n; ++i) {
        const size_t to = i * element % (2 * n);
        ASSERT_EQ(coefficients[to % n], to < n ? input[i] : q.Neg(input[i]));
      }
      ntt.Forward(values.data());
      sigma.ApplyEval(values.data(), moved.data());
      ntt.Forward(coefficients.data());
      ASSERT_EQ(moved, coefficients) << element;
    }
  }
}

TEST(AutomorphismTest, EveryKernelPermutesAlike) {
  const size_t n = 64;
  std::vector<uint32_t> source(n), blocks(n / 8);
  std::vector<uint8_t> kinds(n / 8);
  Words order(16);
  for (size_t i = 0; i < n; ++i) source[i] = static_cast<uint32_t>(i * 11 % n) | (i % 3 == 0 ? 1u << 31 : 0);
  for (size_t b = 0; b < n / 8; ++b) {
    blocks[b] = static_cast<uint32_t>(b * 3 % 8);
    kinds[b] = static_cast<uint8_t>(b % 2);
  }
  for (size_t l = 0; l < 16; ++l) order[l] = l * 5 % 8;
  const Modulus q(0x3ffffffffc001);
  Words in = RandomWords(n, q.value(), 5);
  in[0] = 0;
  for (const Variant& v : Variants(q)) {
    Words out(n);
    v.kernels->permute_signed(out.data(), in.data(), source.data(), q.value(), n);
    for (size_t i = 0; i < n; ++i) {
      const uint64_t value = in[i * 11 % n];
      ASSERT_EQ(out[i], i % 3 == 0 ? q.Neg(value) : value) << v.name;
    }
    v.kernels->permute(out.data(), in.data(), {n, blocks.data(), kinds.data(), order.data()});
    for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], in[8 * blocks[i / 8] + order[8 * kinds[i / 8] + i % 8]]) << v.name;
  }
}

}  // namespace
}  // namespace alcove::fhe
