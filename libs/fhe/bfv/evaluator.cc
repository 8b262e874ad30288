#include "libs/fhe/bfv/evaluator.h"

#include <algorithm>

#include "libs/fhe/fault.h"

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
  wire.parms_id = context.data_id();
  wire.polynomials = 2;
  wire.degree = context.degree();
  wire.primes = context.data_rows();
  wire.words.assign(c.c0.words().begin(), c.c0.words().end());
  wire.words.insert(wire.words.end(), c.c1.words().begin(), c.c1.words().end());
  return wire;
}

GaloisKey::GaloisKey(const Context& context, const KeySwitchKey& key)
    : rows_(context.key_rows()),
      degree_(context.degree()),
      automorphism_(2 * key.index + 1, context.degree()),
      words_(key.digits.size() * 2 * context.key_rows() * 2 * context.degree()) {
  for (size_t d = 0; d < key.digits.size(); ++d) {
    Ciphertext digit = key.digits[d].value;
    ExpandSeed(digit, context.parameters());
    for (size_t p = 0; p < 2; ++p) {
      for (size_t row = 0; row < rows_; ++row) {
        uint64_t* to = words_.data() + ((d * 2 + p) * rows_ + row) * 2 * degree_;
        const auto from = digit.Row(p, row);
        for (size_t i = 0; i < degree_; ++i) {
          to[i] = from[i];
          to[degree_ + i] = context.ntt(row).Quotient(from[i]);
        }
      }
    }
  }
}

void AccumulateKeySwitch(const Context& context, const CoeffPoly& d, const GaloisKey& key, KeySwitchScratch& s,
                         const EvalPoly* known) {
  const size_t n = context.degree();
  for (size_t row = 0; row < context.key_rows(); ++row) {
    const Ntt& ntt = context.ntt(row);
    const uint64_t q = ntt.modulus().value();
    for (size_t digit = 0; digit < d.rows(); ++digit) {
      const uint64_t* values = s.digit.data();
      if (known != nullptr && digit == row) {
        values = known->Row(row);
      } else {
        // Digits are taken as integers in [0, q_digit), not centred.
        if (context.modulus(digit).value() > q) {
          for (size_t i = 0; i < n; ++i) s.digit[i] = ntt.modulus().Reduce(d.Row(digit)[i]);
        } else {
          std::copy_n(d.Row(digit), n, s.digit.data());
        }
        ntt.Forward(s.digit.data());
      }
      const auto accumulate = digit == 0 ? ntt.kernels().multiply : ntt.kernels().multiply_add;
      accumulate(s.acc0.Row(row), values, key.Value(digit, 0, row), key.Quotient(digit, 0, row), q, n);
      accumulate(s.acc1.Row(row), values, key.Value(digit, 1, row), key.Quotient(digit, 1, row), q, n);
    }
  }
}

void ReduceSpecialRow(const Context& context, const EvalPoly& acc, size_t j, KeySwitchScratch& s) {
  const Context::SpecialConstants& c = context.special(j);
  const uint64_t p = context.modulus(context.key_rows() - 1).value();
  context.WideKernels(j).centred_reduce(s.reduced.data(), acc.Row(context.key_rows() - 1), p, p / 2,
                                        context.modulus(j).value(), c.ratio, c.half_mod_q, context.degree());
}

CoeffCiphertext ApplyGalois(const Context& context, const CoeffCiphertext& in, const GaloisKey& key,
                            KeySwitchScratch& s) {
  const size_t n = context.degree();
  const size_t rows = context.data_rows();
  CoeffCiphertext out{{rows, n}, {rows, n}};
  for (size_t j = 0; j < rows; ++j) {
    key.automorphism().ApplyCoeff(in.c0.Row(j), out.c0.Row(j), context.modulus(j));
    key.automorphism().ApplyCoeff(in.c1.Row(j), out.c1.Row(j), context.modulus(j));
  }
  AccumulateKeySwitch(context, out.c1, key, s);
  const size_t special = context.key_rows() - 1;
  for (EvalPoly* acc : {&s.acc0, &s.acc1}) {
    context.ntt(special).Inverse(acc->Row(special));
    for (size_t j = 0; j < rows; ++j) {
      const Ntt& ntt = context.ntt(j);
      ReduceSpecialRow(context, *acc, j, s);
      ntt.Inverse(acc->Row(j));
      const Context::SpecialConstants& c = context.special(j);
      const uint64_t q = ntt.modulus().value();
      if (acc == &s.acc0) {
        ntt.kernels().subtract_scale(acc->Row(j), acc->Row(j), s.reduced.data(), c.inverse, c.inverse_quotient, q, n);
        ntt.kernels().add(out.c0.Row(j), out.c0.Row(j), acc->Row(j), q, n);
      } else {
        ntt.kernels().subtract_scale(out.c1.Row(j), acc->Row(j), s.reduced.data(), c.inverse, c.inverse_quotient, q, n);
      }
    }
  }
  return out;
}

CoeffCiphertext Add(const Context& context, const CoeffCiphertext& a, const CoeffCiphertext& b) {
  CoeffCiphertext out = a;
  for (size_t j = 0; j < context.data_rows(); ++j) {
    const Ntt& ntt = context.ntt(j);
    ntt.kernels().add(out.c0.Row(j), a.c0.Row(j), b.c0.Row(j), ntt.modulus().value(), context.degree());
    ntt.kernels().add(out.c1.Row(j), a.c1.Row(j), b.c1.Row(j), ntt.modulus().value(), context.degree());
  }
  return out;
}

EvalCiphertext MultiplyPlain(const Context& context, const EvalCiphertext& c, const EvalPoly& plain) {
  EvalCiphertext out = c;
  for (size_t j = 0; j < context.data_rows(); ++j) {
    const Modulus& q = context.modulus(j);
    for (size_t i = 0; i < context.degree(); ++i) {
      out.c0.Row(j)[i] = q.Mul(c.c0.Row(j)[i], plain.Row(j)[i]);
      out.c1.Row(j)[i] = q.Mul(c.c1.Row(j)[i], plain.Row(j)[i]);
    }
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
