#include "libs/fhe/client/client.h"

#include <algorithm>
#include <cmath>

#include "libs/fhe/bfv/evaluator.h"
#include "libs/fhe/client/noise_poly.h"
#include "libs/fhe/client/sampler.h"
#include "libs/fhe/fault.h"
#include "libs/fhe/poly/automorphism.h"

namespace alcove::fhe {
namespace {

using u128 = unsigned __int128;

// What an encryption works in: a and then a s, the message, the error.
struct Scratch {
  Words a, message;  // the message only if it is shorter than a plaintext
  std::vector<int8_t> error;
};

// The scaled message of at most N coefficients plus nothing else, row by row.
CoeffPoly ScaledMessage(const Context& context, absl::Span<const uint64_t> coefficients) {
  const size_t n = context.degree();
  Words message(n);
  std::copy_n(coefficients.begin(), std::min(n, coefficients.size()), message.begin());
  CoeffPoly out(context.data_rows(), n);
  for (size_t j = 0; j < out.rows(); ++j) {
    context.ntt(j).kernels().scale_message(out.Row(j), message.data(), context.message_scale(j), n);
  }
  Wipe(message.data(), message.size() * sizeof(uint64_t));
  return out;
}

}  // namespace

GaloisKeys MakeGaloisKeys(const Context& context, const SecretKey& secret, absl::Span<const uint32_t> elements) {
  std::vector<uint32_t> sorted(elements.begin(), elements.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  GaloisKeys out;
  EvalPoly target(context.data_rows(), context.degree());
  for (uint32_t element : sorted) {
    const Automorphism automorphism(element, context.degree());
    for (size_t j = 0; j < target.rows(); ++j) automorphism.ApplyEval(secret.eval().Row(j), target.Row(j));
    out.keys.push_back(MakeSwitchKey(context, secret, (element - 1) / 2, target));
  }
  WipePoly(target);
  return out;
}

PublicKey MakePublicKey(const Context& context, const SecretKey& secret) {
  return {EncryptZeroEval(context, secret, context.key_rows())};
}

RelinKeys MakeRelinKeys(const Context& context, const SecretKey& secret) {
  EvalPoly square(context.data_rows(), context.degree());
  for (size_t j = 0; j < square.rows(); ++j) {
    const uint64_t* s = secret.eval().Row(j);
    context.ntt(j).kernels().multiply_values(square.Row(j), s, s, context.modulus(j).value(), context.degree());
  }
  RelinKeys out;
  out.keys.push_back(MakeSwitchKey(context, secret, 0, square));
  WipePoly(square);
  return out;
}

Ciphertext EncryptPublic(const Context& context, const PublicKey& key, absl::Span<const uint64_t> coefficients) {
  EvalPair zero = EncryptZeroPublic(context, key, context.data_rows());
  CoeffCiphertext c{context.ToCoeff(std::move(zero.c0)), context.ToCoeff(std::move(zero.c1))};
  CoeffPoly message = ScaledMessage(context, coefficients);
  for (size_t j = 0; j < c.c0.rows(); ++j) {
    context.ntt(j).kernels().add(c.c0.Row(j), c.c0.Row(j), message.Row(j), context.modulus(j).value(),
                                 context.degree());
  }
  WipePoly(message);
  return ToWire(context, c);
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
  // Kept from call to call: memory that every call takes and frees goes back to the system and returns page by page.
  static thread_local Scratch scratch;
  scratch.a.resize(rows * n);
  scratch.error.resize(n);
  ExpandUniform(*c.seed, Primes(context, rows), n, absl::MakeSpan(scratch.a));
  SampleError(absl::MakeSpan(scratch.error));
  const uint64_t* message = coefficients.data();
  if (coefficients.size() < n) {
    scratch.message.assign(n, 0);
    std::copy(coefficients.begin(), coefficients.end(), scratch.message.begin());
    message = scratch.message.data();
  }
  for (size_t j = 0; j < rows; ++j) {
    const Ntt& ntt = context.ntt(j);
    uint64_t* as = scratch.a.data() + j * n;
    ntt.Forward(as);
    ntt.kernels().multiply(as, as, secret.eval().Row(j), secret.quotients().Row(j), ntt.modulus().value(), n);
    ntt.Inverse(as);
    ntt.kernels().mask_message(c.Row(0, j).data(), message, as, scratch.error.data(), context.message_scale(j), n);
  }
  Wipe(scratch.a.data(), scratch.a.size() * sizeof(uint64_t));
  Wipe(scratch.message.data(), scratch.message.size() * sizeof(uint64_t));
  Wipe(scratch.error.data(), scratch.error.size());
  return c;
}

absl::StatusOr<Decrypted> Decrypt(const Context& context, const SecretKey& secret, const Ciphertext& ciphertext) {
  const size_t rows = context.parameters().PrimesAt(ciphertext.parms_id);
  if (context.parameters().scheme != Scheme::kBfv) return FaultError(Fault::kUnknownScheme, "not a BFV context");
  if (rows == 0) return FaultError(Fault::kParmsIdMismatch, "not a level of these parameters");
  if (rows > context.data_rows()) return FaultError(Fault::kWrongLevel, "at the key level");
  if (ciphertext.ntt_form) return FaultError(Fault::kWrongForm, "in NTT form");
  if (ciphertext.polynomials < 2 || ciphertext.polynomials > 3) {
    return FaultError(Fault::kWrongPolynomialCount, "two or three polynomials are needed");
  }
  const size_t n = context.degree();
  Ciphertext c = ciphertext;
  ExpandSeed(c, context.parameters());
  if (c.words.size() != c.polynomials * rows * n) return FaultError(Fault::kCountMismatch, "wrong number of words");
  // c0 + s (c1 + s c2) as coefficients.
  CoeffPoly x(rows, n);
  Words term(n);
  std::vector<uint64_t> inverse;  // (Q / q_j)^-1 mod q_j at this level
  for (size_t j = 0; j < rows; ++j) {
    const Kernels& k = context.ntt(j).kernels();
    const Modulus& q = context.modulus(j);
    uint64_t* sum = x.Row(j);
    for (size_t p = c.polynomials; p-- > 1;) {
      const auto row = c.Row(p, j);
      std::copy(row.begin(), row.end(), term.begin());
      context.ntt(j).Forward(term.data());
      k.add(sum, sum, term.data(), q.value(), n);
      k.multiply(sum, sum, secret.eval().Row(j), secret.quotients().Row(j), q.value(), n);
    }
    context.ntt(j).Inverse(sum);
    const auto first = c.Row(0, j);
    std::copy(first.begin(), first.end(), term.begin());
    k.add(sum, sum, term.data(), q.value(), n);
    uint64_t others = 1;
    for (size_t i = 0; i < rows; ++i) {
      if (i != j) others = q.Mul(others, q.Reduce(context.modulus(i).value()));
    }
    inverse.push_back(q.Inverse(others));
  }
  // x / Q modulo 1 as a 128-bit fraction: the sum over the primes of (x_j (Q/q_j)^-1 mod q_j) / q_j, each with an error
  // below 2^-67. Multiplied by t it is the message plus the noise.
  std::vector<u128> reciprocal;
  for (size_t j = 0; j < rows; ++j) reciprocal.push_back(~static_cast<u128>(0) / context.modulus(j).value());
  const uint64_t t = context.plain_modulus().value();
  Decrypted out;
  out.coefficients.resize(n);
  double worst = 0;
  for (size_t i = 0; i < n; ++i) {
    u128 fraction = 0;
    for (size_t j = 0; j < rows; ++j) {
      const uint64_t v = context.modulus(j).Mul(x.Row(j)[i], inverse[j]);
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
