#include "libs/fhe/client/client.h"

#include <algorithm>
#include <cmath>

#include "libs/fhe/bfv/evaluator.h"
#include "libs/fhe/client/sampler.h"
#include "libs/fhe/poly/automorphism.h"

namespace alcove::fhe {
namespace {

using u128 = unsigned __int128;

// Errors as residues of `rows` primes; the samples themselves are wiped.
CoeffPoly ErrorPoly(const Context& context, size_t rows) {
  std::vector<int8_t> e = SampleError(context.degree());
  CoeffPoly out(rows, context.degree());
  for (size_t j = 0; j < rows; ++j) {
    context.ntt(j).kernels().lift(out.Row(j), e.data(), context.modulus(j).value(), context.degree());
  }
  Wipe(e.data(), e.size());
  return out;
}

// -(a s + e) for transform values a.
void MaskRow(const Context& context, size_t row, const uint64_t* a, const uint64_t* s, const uint64_t* e,
             uint64_t* out) {
  const Modulus& q = context.modulus(row);
  for (size_t i = 0; i < context.degree(); ++i) out[i] = q.Neg(q.Add(q.Mul(a[i], s[i]), e[i]));
}

std::vector<Modulus> Primes(const Context& context, size_t rows) {
  std::vector<Modulus> out;
  for (size_t j = 0; j < rows; ++j) out.push_back(context.modulus(j));
  return out;
}

template <Form F>
void WipePoly(Poly<F>& poly) {
  Wipe(poly.words().data(), poly.words().size() * sizeof(uint64_t));
}

}  // namespace

GaloisKeys MakeGaloisKeys(const Context& context, const SecretKey& secret, absl::Span<const uint32_t> elements) {
  const size_t n = context.degree();
  const size_t rows = context.key_rows();
  const uint64_t special = context.modulus(rows - 1).value();
  std::vector<uint32_t> sorted(elements.begin(), elements.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  GaloisKeys out;
  for (uint32_t element : sorted) {
    const Automorphism automorphism(element, n);
    Words target(n);
    KeySwitchKey key;
    key.index = (element - 1) / 2;
    for (size_t digit = 0; digit < context.data_rows(); ++digit) {
      Ciphertext c;
      c.parms_id = context.key_id();
      c.ntt_form = true;
      c.polynomials = 2;
      c.degree = n;
      c.primes = rows;
      c.words.resize(rows * n);
      c.seed = RandomSeed();
      EvalPoly a(rows, n);
      ExpandUniform(*c.seed, Primes(context, rows), n, a.words());
      EvalPoly e = context.ToEval(ErrorPoly(context, rows));
      for (size_t j = 0; j < rows; ++j) {
        MaskRow(context, j, a.Row(j), secret.eval().Row(j), e.Row(j), c.Row(0, j).data());
      }
      const Modulus& q = context.modulus(digit);
      const uint64_t factor = q.Reduce(special);
      automorphism.ApplyEval(secret.eval().Row(digit), target.data());
      uint64_t* row = c.Row(0, digit).data();
      for (size_t i = 0; i < n; ++i) row[i] = q.Add(row[i], q.Mul(factor, target[i]));
      WipePoly(e);
      key.digits.push_back(PublicKey{std::move(c)});
    }
    Wipe(target.data(), target.size() * sizeof(uint64_t));
    out.keys.push_back(std::move(key));
  }
  return out;
}

Ciphertext EncryptSymmetric(const Context& context, const SecretKey& secret, absl::Span<const uint64_t> coefficients) {
  const size_t n = context.degree();
  const size_t rows = context.data_rows();
  Ciphertext c;
  c.parms_id = context.data_id();
  c.polynomials = 2;
  c.degree = n;
  c.primes = rows;
  c.words.resize(rows * n);
  c.seed = RandomSeed();
  CoeffPoly a(rows, n);
  ExpandUniform(*c.seed, Primes(context, rows), n, a.words());
  EvalPoly product = context.ToEval(std::move(a));
  for (size_t j = 0; j < rows; ++j) {
    context.ntt(j).kernels().multiply(product.Row(j), product.Row(j), secret.eval().Row(j), secret.quotients().Row(j),
                                      context.modulus(j).value(), n);
  }
  CoeffPoly as = context.ToCoeff(std::move(product));
  CoeffPoly e = ErrorPoly(context, rows);
  Words message(n);
  std::copy_n(coefficients.begin(), std::min(n, coefficients.size()), message.begin());
  Words scaled(n);
  for (size_t j = 0; j < rows; ++j) {
    const Kernels& k = context.ntt(j).kernels();
    const uint64_t q = context.modulus(j).value();
    k.scale_message(scaled.data(), message.data(), context.message_scale(j), n);
    k.subtract(scaled.data(), scaled.data(), as.Row(j), q, n);
    k.subtract(scaled.data(), scaled.data(), e.Row(j), q, n);
    std::copy(scaled.begin(), scaled.end(), c.Row(0, j).begin());
  }
  Wipe(message.data(), message.size() * sizeof(uint64_t));
  WipePoly(as);
  WipePoly(e);
  return c;
}

absl::StatusOr<Decrypted> Decrypt(const Context& context, const SecretKey& secret, const Ciphertext& ciphertext) {
  auto c = FromWire(context, ciphertext);
  if (!c.ok()) return c.status();
  const size_t n = context.degree();
  EvalPoly c1 = context.ToEval(std::move(c->c1));
  for (size_t j = 0; j < context.data_rows(); ++j) {
    const Modulus& q = context.modulus(j);
    for (size_t i = 0; i < n; ++i) c1.Row(j)[i] = q.Mul(c1.Row(j)[i], secret.eval().Row(j)[i]);
  }
  CoeffPoly x = context.ToCoeff(std::move(c1));
  // x / Q modulo 1 as a 128-bit fraction: the sum over the primes of (x_j (Q/q_j)^-1 mod q_j) / q_j, each with an error
  // below 2^-67. Multiplied by t it is the message plus the noise.
  std::vector<u128> reciprocal;
  for (size_t j = 0; j < context.data_rows(); ++j)
    reciprocal.push_back(~static_cast<u128>(0) / context.modulus(j).value());
  const uint64_t t = context.plain_modulus().value();
  Decrypted out;
  out.coefficients.resize(n);
  double worst = 0;
  for (size_t i = 0; i < n; ++i) {
    u128 fraction = 0;
    for (size_t j = 0; j < context.data_rows(); ++j) {
      const Modulus& q = context.modulus(j);
      const uint64_t v = q.Mul(q.Add(x.Row(j)[i], c->c0.Row(j)[i]), context.crt_inverse(j));
      fraction += v * reciprocal[j];
    }
    // t * fraction as whole part and the top 64 bits of the rest, rounded to nearest.
    const u128 low = static_cast<u128>(static_cast<uint64_t>(fraction)) * t;
    const u128 high = static_cast<u128>(static_cast<uint64_t>(fraction >> 64)) * t + static_cast<uint64_t>(low >> 64);
    const uint64_t rest = static_cast<uint64_t>(high);
    const uint64_t whole = static_cast<uint64_t>(high >> 64) + (rest >> 63);
    out.coefficients[i] = whole - (t & -static_cast<uint64_t>(whole >= t));
    const double distance = std::abs(static_cast<double>(static_cast<int64_t>(rest))) * 0x1p-64;
    worst = std::max(worst, distance);
  }
  out.noise_budget_bits = -std::log2(std::max(worst, 0x1p-64) * 2);
  WipePoly(x);
  return out;
}

}  // namespace alcove::fhe
