#include "libs/fhe/client/ckks_client.h"

#include <algorithm>

#include "libs/fhe/client/noise_poly.h"
#include "libs/fhe/fault.h"

namespace alcove::fhe {

Ciphertext EncryptSymmetric(const Context& context, const SecretKey& secret, const CkksPlaintext& plain) {
  Ciphertext c = EncryptZeroEval(context, secret, plain.poly.rows());
  c.scale = plain.scale;
  for (size_t j = 0; j < c.primes; ++j) {
    const Modulus& q = context.modulus(j);
    const auto row = c.Row(0, j);
    for (size_t i = 0; i < row.size(); ++i) row[i] = q.Add(row[i], plain.poly.Row(j)[i]);
  }
  return c;
}

Ciphertext EncryptPublic(const Context& context, const PublicKey& key, const CkksPlaintext& plain) {
  const size_t n = context.degree();
  EvalPair zero = EncryptZeroPublic(context, key, plain.poly.rows());
  Ciphertext c;
  c.parms_id = context.parameters().IdAt(plain.poly.rows());
  c.ntt_form = true;
  c.polynomials = 2;
  c.degree = n;
  c.primes = plain.poly.rows();
  c.scale = plain.scale;
  for (size_t j = 0; j < c.primes; ++j) {
    context.ntt(j).kernels().add(zero.c0.Row(j), zero.c0.Row(j), plain.poly.Row(j), context.modulus(j).value(), n);
  }
  c.words.assign(zero.c0.words().begin(), zero.c0.words().end());
  c.words.insert(c.words.end(), zero.c1.words().begin(), zero.c1.words().end());
  return c;
}

absl::StatusOr<CkksPlaintext> DecryptCkks(const Context& context, const SecretKey& secret, const Ciphertext& wire) {
  if (context.parameters().scheme != Scheme::kCkks) return FaultError(Fault::kUnknownScheme, "not a CKKS context");
  const size_t rows = context.parameters().PrimesAt(wire.parms_id);
  if (rows == 0) return FaultError(Fault::kParmsIdMismatch, "not a level of these parameters");
  if (rows > context.data_rows()) return FaultError(Fault::kWrongLevel, "at the key level");
  if (!wire.ntt_form) return FaultError(Fault::kWrongForm, "not in NTT form");
  if (wire.polynomials < 2 || wire.polynomials > 3) return FaultError(Fault::kWrongPolynomialCount, "two or three");
  Ciphertext c = wire;
  ExpandSeed(c, context.parameters());
  const size_t n = context.degree();
  if (c.words.size() != c.polynomials * rows * n) return FaultError(Fault::kCountMismatch, "wrong number of words");
  CkksPlaintext out{EvalPoly(rows, n), c.scale};
  Words term(n);
  for (size_t j = 0; j < rows; ++j) {
    const Kernels& k = context.ntt(j).kernels();
    const uint64_t q = context.modulus(j).value();
    // Horner's rule in s.
    uint64_t* sum = out.poly.Row(j);
    for (size_t p = c.polynomials; p-- > 0;) {
      const auto row = c.Row(p, j);
      std::copy(row.begin(), row.end(), term.begin());
      k.multiply(sum, sum, secret.eval().Row(j), secret.quotients().Row(j), q, n);
      k.add(sum, sum, term.data(), q, n);
    }
  }
  return out;
}

}  // namespace alcove::fhe
