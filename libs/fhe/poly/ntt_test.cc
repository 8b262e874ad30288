#include "libs/fhe/poly/ntt.h"

#include <random>

#include <gtest/gtest.h>

namespace alcove::fhe {
namespace {

struct Variant {
  const char* name;
  const Kernels* kernels;
};

// Every table this CPU can run; the emulated integer-FMA one always.
std::vector<Variant> Variants(const Modulus& q) {
  std::vector<Variant> out = {{"scalar", &kScalarKernels}};
  if (q.bits() <= 50) out.push_back({"emulated ifma", &kEmulatedIfmaKernels});
  if (BestIsa() >= Isa::kAvx2) out.push_back({"avx2", &kAvx2Kernels});
  if (BestIsa() >= Isa::kAvx512) out.push_back({"avx512", &kAvx512Kernels});
  if (BestIsa() >= Isa::kAvx2 && q.bits() <= 50) out.push_back({"avx2 double", &kAvx2DoubleKernels});
  if (BestIsa() >= Isa::kAvx512 && q.bits() <= 50) out.push_back({"avx512 double", &kAvx512DoubleKernels});
  if (BestIsa() >= Isa::kAvx512Ifma && q.bits() <= 50) out.push_back({"ifma", &kAvx512IfmaKernels});
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

const uint64_t kPrimes[] = {12289, 417793, 0xffffee001, 0x3ffffffffc001, 0x7ffffffffffe001, 0xffffffffffe8001};

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
    for (size_t n : {32, 64, 1024, 2048, 4096, 8192}) {
      if ((prime - 1) % (2 * n) != 0) continue;
      const Ntt oracle(q, n, kScalarKernels);
      for (const Variant& v : Variants(q)) {
        const Ntt ntt(q, n, *v.kernels);
        for (const Words& input : Inputs(n, prime)) {
          Words want = input;
          Words got = input;
          oracle.Forward(want.data());
          ntt.Forward(got.data());
          ASSERT_EQ(want, got) << v.name << " forward, n " << n << ", q " << prime;
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
    const Modulus p(0x7ffffffffffe001);
    for (const Variant& v : Variants(q)) {
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
        v.kernels->multiply_add(acc.data(), x.data(), y.data(), yq.data(), prime, n);
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
      }
    }
  }
}

}  // namespace
}  // namespace alcove::fhe
