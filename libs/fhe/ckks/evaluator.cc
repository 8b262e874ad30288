#include "libs/fhe/ckks/evaluator.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"

namespace alcove::fhe {
namespace {

absl::Status SameLevel(size_t a, size_t b) {
  if (a == b) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("operands at levels of ", a, " and ", b, " primes"));
}

absl::Status SameScale(double a, double b) {
  if (std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b))) return absl::OkStatus();
  return FaultError(Fault::kBadScale, absl::StrCat("scales ", a, " and ", b, " differ"));
}

void AddRows(const Context& context, EvalPoly& to, const EvalPoly& other) {
  for (size_t j = 0; j < to.rows(); ++j) {
    context.ntt(j).kernels().add(to.Row(j), to.Row(j), other.Row(j), context.modulus(j).value(), context.degree());
  }
}

EvalPoly Product(const Context& context, const EvalPoly& a, const EvalPoly& b) {
  EvalPoly out(a.rows(), a.degree());
  for (size_t j = 0; j < a.rows(); ++j) {
    context.ntt(j).kernels().multiply_values(out.Row(j), a.Row(j), b.Row(j), context.modulus(j).value(),
                                             context.degree());
  }
  return out;
}

EvalPoly FirstRows(const EvalPoly& in, size_t rows) {
  EvalPoly out(rows, in.degree());
  std::copy_n(in.Row(0), rows * in.degree(), out.Row(0));
  return out;
}

// acc0 and acc1 divided by the special prime and added, as transform values.
void AddSwitched(const Context& context, KeySwitchScratch& scratch, EvalPoly& c0, EvalPoly& c1) {
  for (auto [acc, to] : {std::pair(&scratch.acc0, &c0), std::pair(&scratch.acc1, &c1)}) {
    DivideBySpecialEval(context, *acc, to->rows(), scratch);
    for (size_t j = 0; j < to->rows(); ++j) {
      context.ntt(j).kernels().add(to->Row(j), to->Row(j), acc->Row(j), context.modulus(j).value(), context.degree());
    }
  }
}

Ciphertext Wire(const Context& context, absl::Span<const EvalPoly* const> polynomials, double scale) {
  Ciphertext out;
  out.parms_id = context.parameters().IdAt(polynomials[0]->rows());
  out.ntt_form = true;
  out.polynomials = polynomials.size();
  out.degree = context.degree();
  out.primes = polynomials[0]->rows();
  out.scale = scale;
  for (const EvalPoly* p : polynomials) out.words.insert(out.words.end(), p->words().begin(), p->words().end());
  return out;
}

}  // namespace

absl::StatusOr<CkksCiphertext> CkksFromWire(const Context& context, const Ciphertext& wire) {
  if (context.parameters().scheme != Scheme::kCkks) return FaultError(Fault::kUnknownScheme, "not a CKKS context");
  const size_t rows = context.parameters().PrimesAt(wire.parms_id);
  if (rows == 0) return FaultError(Fault::kParmsIdMismatch, "not a level of these parameters");
  if (rows > context.data_rows()) return FaultError(Fault::kWrongLevel, "at the key level");
  if (!wire.ntt_form) return FaultError(Fault::kWrongForm, "not in NTT form");
  if (wire.polynomials != 2) return FaultError(Fault::kWrongPolynomialCount, "two polynomials are needed");
  Ciphertext expanded = wire;
  ExpandSeed(expanded, context.parameters());
  const size_t half = rows * context.degree();
  if (expanded.words.size() != 2 * half) return FaultError(Fault::kCountMismatch, "wrong number of words");
  CkksCiphertext out{EvalPoly(rows, context.degree()), EvalPoly(rows, context.degree()), wire.scale};
  std::copy_n(expanded.words.begin(), half, out.c0.words().begin());
  std::copy_n(expanded.words.begin() + static_cast<std::ptrdiff_t>(half), half, out.c1.words().begin());
  return out;
}

Ciphertext ToWire(const Context& context, const CkksCiphertext& c) { return Wire(context, {&c.c0, &c.c1}, c.scale); }
Ciphertext ToWire(const Context& context, const CkksProduct& c) {
  return Wire(context, {&c.c0, &c.c1, &c.c2}, c.scale);
}

absl::StatusOr<CkksCiphertext> Add(const Context& context, const CkksCiphertext& a, const CkksCiphertext& b) {
  if (absl::Status s = SameLevel(a.rows(), b.rows()); !s.ok()) return s;
  if (absl::Status s = SameScale(a.scale, b.scale); !s.ok()) return s;
  CkksCiphertext out = a;
  AddRows(context, out.c0, b.c0);
  AddRows(context, out.c1, b.c1);
  return out;
}

absl::StatusOr<CkksCiphertext> AddPlain(const Context& context, const CkksCiphertext& a, const CkksPlaintext& b) {
  if (absl::Status s = SameLevel(a.rows(), b.poly.rows()); !s.ok()) return s;
  if (absl::Status s = SameScale(a.scale, b.scale); !s.ok()) return s;
  CkksCiphertext out = a;
  AddRows(context, out.c0, b.poly);
  return out;
}

absl::StatusOr<CkksCiphertext> MultiplyPlain(const Context& context, const CkksCiphertext& a, const CkksPlaintext& b) {
  if (absl::Status s = SameLevel(a.rows(), b.poly.rows()); !s.ok()) return s;
  return CkksCiphertext{Product(context, a.c0, b.poly), Product(context, a.c1, b.poly), a.scale * b.scale};
}

absl::StatusOr<CkksProduct> Multiply(const Context& context, const CkksCiphertext& a, const CkksCiphertext& b) {
  if (absl::Status s = SameLevel(a.rows(), b.rows()); !s.ok()) return s;
  CkksProduct out{Product(context, a.c0, b.c0), Product(context, a.c0, b.c1), Product(context, a.c1, b.c1),
                  a.scale * b.scale};
  AddRows(context, out.c1, Product(context, a.c1, b.c0));
  return out;
}

CkksCiphertext Relinearise(const Context& context, CkksProduct product, const SwitchKey& key,
                           KeySwitchScratch& scratch) {
  const CoeffPoly digits = context.ToCoeff(product.c2);
  AccumulateKeySwitch(context, digits, key, scratch, &product.c2);
  CkksCiphertext out{std::move(product.c0), std::move(product.c1), product.scale};
  AddSwitched(context, scratch, out.c0, out.c1);
  return out;
}

CkksCiphertext ApplyGalois(const Context& context, const CkksCiphertext& in, const GaloisKey& key,
                           KeySwitchScratch& scratch) {
  CkksCiphertext out{EvalPoly(in.rows(), context.degree()), EvalPoly(in.rows(), context.degree()), in.scale};
  EvalPoly turned(in.rows(), context.degree());
  for (size_t j = 0; j < in.rows(); ++j) {
    key.automorphism().ApplyEval(in.c0.Row(j), out.c0.Row(j));
    key.automorphism().ApplyEval(in.c1.Row(j), turned.Row(j));
  }
  const CoeffPoly digits = context.ToCoeff(turned);
  AccumulateKeySwitch(context, digits, key, scratch, &turned);
  AddSwitched(context, scratch, out.c0, out.c1);
  return out;
}

absl::StatusOr<CkksCiphertext> Rescale(const Context& context, const CkksCiphertext& in) {
  if (in.rows() < 2) return FaultError(Fault::kWrongLevel, "no prime left to rescale by");
  const double dropped = static_cast<double>(context.modulus(in.rows() - 1).value());
  return CkksCiphertext{DropLastPrimeEval(context, in.c0), DropLastPrimeEval(context, in.c1), in.scale / dropped};
}

absl::StatusOr<CkksCiphertext> ModSwitchDown(const Context& context, const CkksCiphertext& in) {
  if (in.rows() < 2) return FaultError(Fault::kWrongLevel, "no prime left to drop");
  return CkksCiphertext{FirstRows(in.c0, in.rows() - 1), FirstRows(in.c1, in.rows() - 1), in.scale};
}

}  // namespace alcove::fhe
