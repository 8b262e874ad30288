#include "libs/fhe/client/noise_poly.h"

#include <algorithm>

namespace alcove::fhe {
namespace {

CoeffPoly Lifted(const Context& context, size_t rows, std::vector<int8_t> values) {
  CoeffPoly out(rows, context.degree());
  for (size_t j = 0; j < rows; ++j) {
    context.ntt(j).kernels().lift(out.Row(j), values.data(), context.modulus(j).value(), context.degree());
  }
  Wipe(values.data(), values.size());
  return out;
}

}  // namespace

CoeffPoly ErrorPoly(const Context& context, size_t rows) {
  std::vector<int8_t> values(context.degree());
  SampleError(absl::MakeSpan(values));
  return Lifted(context, rows, std::move(values));
}

CoeffPoly TernaryPoly(const Context& context, size_t rows) {
  return Lifted(context, rows, SampleTernary(context.degree()));
}

std::vector<Modulus> Primes(const Context& context, size_t rows) {
  std::vector<Modulus> out;
  for (size_t j = 0; j < rows; ++j) out.push_back(context.modulus(j));
  return out;
}

Ciphertext EncryptZeroEval(const Context& context, const SecretKey& secret, size_t rows) {
  const size_t n = context.degree();
  Ciphertext c;
  c.parms_id = context.parameters().IdAt(rows);
  c.ntt_form = true;
  c.polynomials = 2;
  c.degree = n;
  c.primes = rows;
  c.words.resize(rows * n);
  c.seed = RandomSeed();
  EvalPoly a(rows, n);
  ExpandUniform(*c.seed, Primes(context, rows), n, a.words());
  EvalPoly e = context.ToEval(ErrorPoly(context, rows));
  const Words zero(n);
  for (size_t j = 0; j < rows; ++j) {
    const Kernels& k = context.ntt(j).kernels();
    const uint64_t q = context.modulus(j).value();
    k.multiply_add(e.Row(j), e.Row(j), a.Row(j), secret.eval().Row(j), secret.quotients().Row(j), q, n);
    k.subtract(a.Row(j), zero.data(), e.Row(j), q, n);
    std::copy_n(a.Row(j), n, c.Row(0, j).begin());
  }
  WipePoly(e);
  return c;
}

KeySwitchKey MakeSwitchKey(const Context& context, const SecretKey& secret, size_t index, const EvalPoly& target) {
  const size_t rows = context.key_rows();
  const uint64_t special = context.modulus(rows - 1).value();
  KeySwitchKey key;
  key.index = index;
  for (size_t digit = 0; digit < context.data_rows(); ++digit) {
    Ciphertext c = EncryptZeroEval(context, secret, rows);
    const Modulus& q = context.modulus(digit);
    const ShoupWord factor = q.Shoup(q.Reduce(special));
    const auto row = c.Row(0, digit);
    for (size_t i = 0; i < row.size(); ++i) row[i] = q.Add(row[i], q.Mul(target.Row(digit)[i], factor));
    key.digits.push_back(PublicKey{std::move(c)});
  }
  return key;
}

EvalPair EncryptZeroPublic(const Context& context, const PublicKey& key, size_t rows) {
  const size_t n = context.degree();
  Ciphertext pk = key.value;
  ExpandSeed(pk, context.parameters());
  EvalPoly u = context.ToEval(TernaryPoly(context, rows));
  EvalPair out{context.ToEval(ErrorPoly(context, rows)), context.ToEval(ErrorPoly(context, rows))};
  Words aligned(n), product(n);
  for (size_t j = 0; j < rows; ++j) {
    const Kernels& k = context.ntt(j).kernels();
    const uint64_t q = context.modulus(j).value();
    for (auto [p, to] : {std::pair(0, &out.c0), std::pair(1, &out.c1)}) {
      const auto from = pk.Row(static_cast<size_t>(p), j);
      std::copy(from.begin(), from.end(), aligned.begin());
      k.multiply_values(product.data(), aligned.data(), u.Row(j), q, n);
      k.add(to->Row(j), to->Row(j), product.data(), q, n);
    }
  }
  WipePoly(u);
  Wipe(product.data(), product.size() * sizeof(uint64_t));
  return out;
}

}  // namespace alcove::fhe
