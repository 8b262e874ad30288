#include "libs/fhe/bfv/evaluator.h"

#include <algorithm>

#include "libs/fhe/fault.h"
#include "libs/fhe/random/uniform.h"

namespace alcove::fhe {

absl::StatusOr<CoeffCiphertext> FromWire(const Context& context, const Ciphertext& wire) {
  if (wire.parms_id != context.data_id()) return FaultError(Fault::kWrongLevel, "not at the data level");
  if (wire.ntt_form) return FaultError(Fault::kWrongForm, "in NTT form");
  if (wire.polynomials != 2) return FaultError(Fault::kWrongPolynomialCount, "two polynomials are needed");
  CoeffCiphertext out{{context.data_rows(), context.degree()}, {context.data_rows(), context.degree()}};
  const size_t half = context.data_rows() * context.degree();
  std::copy_n(wire.words.begin(), half, out.c0.words().begin());
  if (wire.seed) {
    std::vector<Modulus> primes;
    for (size_t j = 0; j < context.data_rows(); ++j) primes.push_back(context.modulus(j));
    ExpandUniform(*wire.seed, primes, context.degree(), out.c1.words());
  } else {
    std::copy_n(wire.words.begin() + static_cast<std::ptrdiff_t>(half), half, out.c1.words().begin());
  }
  return out;
}

Ciphertext ToWire(const Context& context, const CoeffCiphertext& c) {
  Ciphertext wire;
  wire.parms_id = context.parameters().IdAt(c.c0.rows());
  wire.polynomials = 2;
  wire.degree = context.degree();
  wire.primes = c.c0.rows();
  wire.words.assign(c.c0.words().begin(), c.c0.words().end());
  wire.words.insert(wire.words.end(), c.c1.words().begin(), c.c1.words().end());
  return wire;
}

SwitchKey::SwitchKey(const Context& context, const KeySwitchKey& key) : digits_(key.digits.size()), start_(1) {
  const size_t n = context.degree();
  for (size_t row = 0; row < context.key_rows(); ++row) {
    start_.push_back(start_.back() + 2 * digits_ * n * OperandWords(context.ntt(row).kernels()));
  }
  words_.resize(start_.back());
  for (size_t d = 0; d < digits_; ++d) {
    Ciphertext digit = key.digits[d].value;
    ExpandSeed(digit, context.parameters());
    for (size_t p = 0; p < 2; ++p) {
      for (size_t row = 0; row < context.key_rows(); ++row) {
        PrepareOperand(context.ntt(row).kernels(), context.modulus(row), digit.Row(p, row).data(), n, 2 * digits_,
                       2 * d + p, words_.data() + start_[row]);
      }
    }
  }
}

namespace {

// in modulo a prime of another row; both as integers, not centred.
void CopyReduced(const Context& context, size_t from, size_t to, const uint64_t* in, uint64_t* out) {
  const size_t n = context.degree();
  const Modulus& q = context.modulus(to);
  std::copy_n(in, n, out);
  if (context.modulus(from).value() > q.value()) {
    uniform::Best(q.bits()).reduce(
        out, n,
        {q.value(), q.bits(), static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / q.value()),
         static_cast<uint64_t>((static_cast<unsigned __int128>(1) << (51 + q.bits())) / q.value())});
  }
}

// Coefficients of row `from`, taken centred, modulo the prime of row `to`.
void CentredReduce(const Context& context, size_t from, size_t to, const uint64_t* in, uint64_t* out) {
  const uint64_t p = context.modulus(from).value();
  const uint64_t q = context.modulus(to).value();
  // The table of the larger prime suits both.
  const Kernels& k = context.ntt(context.modulus(from).bits() > context.modulus(to).bits() ? from : to).kernels();
  k.centred_reduce(out, in, p, p / 2, q, static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / q),
                   p / 2 % q, context.degree());
}

}  // namespace

void AccumulateKeySwitch(const Context& context, const CoeffPoly& d, const SwitchKey& key, KeySwitchScratch& s,
                         const EvalPoly* known) {
  const size_t n = context.degree();
  const size_t special = context.key_rows() - 1;
  std::vector<const uint64_t*> values(d.rows());
  for (size_t at = 0; at <= d.rows(); ++at) {
    const size_t row = at == d.rows() ? special : at;
    const Ntt& ntt = context.ntt(row);
    const uint64_t q = ntt.modulus().value();
    for (size_t digit = 0; digit < d.rows(); ++digit) {
      uint64_t* const out = s.digits.Row(digit);
      values[digit] = out;
      if (known != nullptr && digit == row) {
        values[digit] = known->Row(row);
      } else if (context.modulus(digit).value() < 2 * q) {
        ntt.Forward(d.Row(digit), out);
      } else {
        CopyReduced(context, digit, row, d.Row(digit), out);
        ntt.Forward(out);
      }
    }
    ntt.kernels().sum_products(s.acc0.Row(row), s.acc1.Row(row), values.data(), d.rows(), key.Row(row), key.digits(), q,
                               n);
  }
}

void DivideBySpecial(const Context& context, EvalPoly& acc, KeySwitchScratch& s, const CoeffPoly& base,
                     CoeffPoly& out) {
  const size_t n = context.degree();
  const size_t special = context.key_rows() - 1;
  context.ntt(special).Inverse(acc.Row(special));
  for (size_t j = 0; j < out.rows(); ++j) {
    const Ntt& ntt = context.ntt(j);
    const Kernels& k = ntt.kernels();
    const DivideView& by = context.special(j);
    ntt.Inverse(acc.Row(j));
    if (context.DividesInOne(j)) {
      k.divide(out.Row(j), base.Row(j), acc.Row(j), acc.Row(special), by, n);
      continue;
    }
    CentredReduce(context, special, j, acc.Row(special), s.reduced.data());
    k.subtract_scale(s.reduced.data(), acc.Row(j), s.reduced.data(), by.inverse, by.inverse_quotient, by.q, n);
    k.add(out.Row(j), base.Row(j), s.reduced.data(), by.q, n);
  }
}

void DivideBySpecialEval(const Context& context, EvalPoly& acc, size_t rows, KeySwitchScratch& s) {
  const size_t special = context.key_rows() - 1;
  context.ntt(special).Inverse(acc.Row(special));
  for (size_t j = 0; j < rows; ++j) {
    const Ntt& ntt = context.ntt(j);
    const DivideView& c = context.special(j);
    CentredReduce(context, special, j, acc.Row(special), s.reduced.data());
    ntt.Forward(s.reduced.data());
    ntt.kernels().subtract_scale(acc.Row(j), acc.Row(j), s.reduced.data(), c.inverse, c.inverse_quotient,
                                 ntt.modulus().value(), context.degree());
  }
}

namespace {

template <Form F>
Poly<F> Drop(const Context& context, const Poly<F>& in) {
  const size_t n = context.degree();
  const size_t last = in.rows() - 1;
  Words dropped(in.Row(last), in.Row(last) + n);
  if constexpr (F == Form::kEval) context.ntt(last).Inverse(dropped.data());
  Words reduced(n);
  Poly<F> out(last, n);
  for (size_t j = 0; j < last; ++j) {
    const Ntt& ntt = context.ntt(j);
    const Modulus& q = ntt.modulus();
    CentredReduce(context, last, j, dropped.data(), reduced.data());
    if constexpr (F == Form::kEval) ntt.Forward(reduced.data());
    const uint64_t inverse = q.Inverse(q.Reduce(context.modulus(last).value()));
    ntt.kernels().subtract_scale(out.Row(j), in.Row(j), reduced.data(), inverse, ntt.Quotient(inverse), q.value(), n);
  }
  return out;
}

}  // namespace

CoeffPoly DropLastPrime(const Context& context, const CoeffPoly& in) { return Drop(context, in); }
EvalPoly DropLastPrimeEval(const Context& context, const EvalPoly& in) { return Drop(context, in); }

CoeffCiphertext ApplyGalois(const Context& context, const CoeffCiphertext& in, const GaloisKey& key,
                            KeySwitchScratch& s) {
  CoeffCiphertext out;
  ApplyGalois(context, in, key, s, out);
  return out;
}

void ApplyGalois(const Context& context, const CoeffCiphertext& in, const GaloisKey& key, KeySwitchScratch& s,
                 CoeffCiphertext& out) {
  const size_t n = context.degree();
  const size_t rows = in.c0.rows();
  if (out.c0.rows() != rows || out.c1.rows() != rows) out = {{rows, n}, {rows, n}};
  for (size_t j = 0; j < rows; ++j) {
    key.automorphism().ApplyCoeff(in.c0.Row(j), out.c0.Row(j), context.modulus(j));
    key.automorphism().ApplyCoeff(in.c1.Row(j), out.c1.Row(j), context.modulus(j));
  }
  AccumulateKeySwitch(context, out.c1, key, s);
  DivideBySpecial(context, s.acc0, s, out.c0, out.c0);
  DivideBySpecial(context, s.acc1, s, s.zero, out.c1);
}

CoeffCiphertext Add(const Context& context, const CoeffCiphertext& a, const CoeffCiphertext& b) {
  CoeffCiphertext out = a;
  for (size_t j = 0; j < a.c0.rows(); ++j) {
    const Ntt& ntt = context.ntt(j);
    ntt.kernels().add(out.c0.Row(j), a.c0.Row(j), b.c0.Row(j), ntt.modulus().value(), context.degree());
    ntt.kernels().add(out.c1.Row(j), a.c1.Row(j), b.c1.Row(j), ntt.modulus().value(), context.degree());
  }
  return out;
}

EvalCiphertext MultiplyPlain(const Context& context, const EvalCiphertext& c, const EvalPoly& plain) {
  EvalCiphertext out = c;
  for (size_t j = 0; j < c.c0.rows(); ++j) {
    const Kernels& k = context.ntt(j).kernels();
    const uint64_t q = context.modulus(j).value();
    k.multiply_values(out.c0.Row(j), c.c0.Row(j), plain.Row(j), q, context.degree());
    k.multiply_values(out.c1.Row(j), c.c1.Row(j), plain.Row(j), q, context.degree());
  }
  return out;
}

PlainOperand::PlainOperand(const Context& context, EvalPoly plain)
    : values_(std::move(plain)), quotients_(values_.rows(), values_.degree()) {
  for (size_t j = 0; j < values_.rows(); ++j) {
    for (size_t i = 0; i < values_.degree(); ++i) quotients_.Row(j)[i] = context.ntt(j).Quotient(values_.Row(j)[i]);
  }
}

void MultiplyPlainInPlace(const Context& context, EvalCiphertext& c, const PlainOperand& plain) {
  for (size_t j = 0; j < context.data_rows(); ++j) {
    const Ntt& ntt = context.ntt(j);
    for (EvalPoly* part : {&c.c0, &c.c1}) {
      ntt.kernels().multiply(part->Row(j), part->Row(j), plain.values().Row(j), plain.quotients().Row(j),
                             ntt.modulus().value(), context.degree());
    }
  }
}

EvalCiphertext ToEval(const Context& context, CoeffCiphertext c) {
  return {context.ToEval(std::move(c.c0)), context.ToEval(std::move(c.c1))};
}

CoeffCiphertext ToCoeff(const Context& context, EvalCiphertext c) {
  return {context.ToCoeff(std::move(c.c0)), context.ToCoeff(std::move(c.c1))};
}

}  // namespace alcove::fhe
