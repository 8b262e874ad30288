#include "libs/fhe/search/expand.h"

#include <algorithm>
#include <bit>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"

namespace alcove::fhe {
namespace {

// Between doublings c0 is kept as transform values of P c0 at every key row: it is only permuted, added and multiplied
// by monomials, so the division by the special prime P that ends each key switch can wait until the last one. c1 is
// kept as coefficients, from which key switching takes its digits.
struct Node {
  EvalPoly c0;
  CoeffPoly c1;
};

// out = in * X^(-shift) for coefficients.
void ShiftDown(const uint64_t* in, uint64_t* out, size_t shift, size_t n, const Modulus& q) {
  std::copy(in + shift, in + n, out);
  for (size_t i = 0; i < shift; ++i) out[n - shift + i] = q.Neg(in[i]);
}

// sub = sigma(c0) + acc0; `odd`, when wanted, becomes (c0 - sub) X^(-2^j) and c0 becomes c0 + sub, at every key row.
void DoubleFirst(const Context& context, const ExpansionKeys& keys, int j, EvalPoly& c0, EvalPoly* odd, EvalPoly& sub,
                 KeySwitchScratch& s) {
  const size_t n = context.degree();
  for (size_t r = 0; r < context.key_rows(); ++r) {
    const Kernels& k = context.ntt(r).kernels();
    const uint64_t q = context.modulus(r).value();
    keys.key(j).automorphism().ApplyEval(c0.Row(r), sub.Row(r));
    k.add(sub.Row(r), sub.Row(r), s.acc0.Row(r), q, n);
    if (odd != nullptr) {
      k.subtract(s.digit.data(), c0.Row(r), sub.Row(r), q, n);
      k.multiply(odd->Row(r), s.digit.data(), keys.Shift(j, r), keys.ShiftQuotient(j, r), q, n);
    }
    k.add(c0.Row(r), c0.Row(r), sub.Row(r), q, n);
  }
}

// A doubling that others follow: `even` becomes node + sigma(node), `odd` (node - sigma(node)) X^(-2^j).
void Double(const Context& context, const ExpansionKeys& keys, int j, Node& even, Node& odd, KeySwitchScratch& s,
            Node& t) {
  const size_t n = context.degree();
  const size_t special = context.key_rows() - 1;
  for (size_t r = 0; r < context.data_rows(); ++r) {
    keys.key(j).automorphism().ApplyCoeff(even.c1.Row(r), t.c1.Row(r), context.modulus(r));
  }
  AccumulateKeySwitch(context, t.c1, keys.key(j), s);
  DoubleFirst(context, keys, j, even.c0, &odd.c0, t.c0, s);
  context.ntt(special).Inverse(s.acc1.Row(special));
  for (size_t r = 0; r < context.data_rows(); ++r) {
    const Ntt& ntt = context.ntt(r);
    const Kernels& k = ntt.kernels();
    const uint64_t q = ntt.modulus().value();
    const Context::SpecialConstants& c = context.special(r);
    ReduceSpecialRow(context, s.acc1, r, s);
    ntt.Inverse(s.acc1.Row(r));
    k.subtract_scale(t.c1.Row(r), s.acc1.Row(r), s.reduced.data(), c.inverse, c.inverse_quotient, q, n);
    k.subtract(s.digit.data(), even.c1.Row(r), t.c1.Row(r), q, n);
    ShiftDown(s.digit.data(), odd.c1.Row(r), size_t{1} << j, n, ntt.modulus());
    k.add(even.c1.Row(r), even.c1.Row(r), t.c1.Row(r), q, n);
  }
}

// c0 = round(P c0 / P) at the data rows.
EvalPoly DivideBySpecial(const Context& context, EvalPoly extended, KeySwitchScratch& s) {
  const size_t n = context.degree();
  const size_t special = context.key_rows() - 1;
  context.ntt(special).Inverse(extended.Row(special));
  EvalPoly out(context.data_rows(), n);
  for (size_t r = 0; r < context.data_rows(); ++r) {
    const Context::SpecialConstants& c = context.special(r);
    ReduceSpecialRow(context, extended, r, s);
    context.ntt(r).Forward(s.reduced.data());
    context.ntt(r).kernels().subtract_scale(out.Row(r), extended.Row(r), s.reduced.data(), c.inverse,
                                            c.inverse_quotient, context.modulus(r).value(), n);
  }
  return out;
}

// The last doubling: results are wanted as transform values, so c1 is transformed first, and its automorphism, whose
// values are the same in another order, needs no transform of its own.
void DoubleLast(const Context& context, const ExpansionKeys& keys, int j, Node node, EvalCiphertext& even,
                EvalCiphertext* odd, KeySwitchScratch& s, Node& t) {
  const size_t n = context.degree();
  const size_t rows = context.data_rows();
  const size_t special = context.key_rows() - 1;
  for (size_t r = 0; r < rows; ++r) {
    keys.key(j).automorphism().ApplyCoeff(node.c1.Row(r), t.c1.Row(r), context.modulus(r));
  }
  even.c1 = context.ToEval(std::move(node.c1));
  EvalPoly known(rows, n);
  for (size_t r = 0; r < rows; ++r) keys.key(j).automorphism().ApplyEval(even.c1.Row(r), known.Row(r));
  AccumulateKeySwitch(context, t.c1, keys.key(j), s, &known);

  EvalPoly odd_c0;
  if (odd != nullptr) odd_c0 = EvalPoly(context.key_rows(), n);
  DoubleFirst(context, keys, j, node.c0, odd == nullptr ? nullptr : &odd_c0, t.c0, s);
  even.c0 = DivideBySpecial(context, std::move(node.c0), s);
  if (odd != nullptr) {
    odd->c0 = DivideBySpecial(context, std::move(odd_c0), s);
    odd->c1 = EvalPoly(rows, n);
  }

  context.ntt(special).Inverse(s.acc1.Row(special));
  for (size_t r = 0; r < rows; ++r) {
    const Kernels& k = context.ntt(r).kernels();
    const uint64_t q = context.modulus(r).value();
    const Context::SpecialConstants& c = context.special(r);
    ReduceSpecialRow(context, s.acc1, r, s);
    context.ntt(r).Forward(s.reduced.data());
    k.subtract_scale(s.acc1.Row(r), s.acc1.Row(r), s.reduced.data(), c.inverse, c.inverse_quotient, q, n);
    if (odd != nullptr) {
      k.subtract(s.digit.data(), even.c1.Row(r), s.acc1.Row(r), q, n);
      k.multiply(odd->c1.Row(r), s.digit.data(), keys.Shift(j, r), keys.ShiftQuotient(j, r), q, n);
    }
    k.add(even.c1.Row(r), even.c1.Row(r), s.acc1.Row(r), q, n);
  }
}

}  // namespace

int ExpansionLevels(size_t count) { return count <= 1 ? 0 : static_cast<int>(std::bit_width(count - 1)); }

uint32_t ExpansionElement(size_t degree, int j) { return static_cast<uint32_t>(degree >> j) + 1; }

absl::StatusOr<ExpansionKeys> ExpansionKeys::Prepare(const Context& context, const GaloisKeys& keys, int levels) {
  ExpansionKeys out;
  for (int j = 0; j < levels; ++j) {
    const uint32_t element = ExpansionElement(context.degree(), j);
    const KeySwitchKey* key = keys.Find(element);
    if (key == nullptr) {
      return FaultError(Fault::kMissingKey, absl::StrCat("no key for Galois element ", element));
    }
    out.keys_.emplace_back(context, *key);
    // X^(-2^j) = -X^(N - 2^j); rows alternate between values and quotients.
    CoeffPoly shift(context.key_rows(), context.degree());
    for (size_t r = 0; r < context.key_rows(); ++r) {
      shift.Row(r)[context.degree() - (size_t{1} << j)] = context.modulus(r).value() - 1;
    }
    const EvalPoly values = context.ToEval(std::move(shift));
    EvalPoly both(2 * context.key_rows(), context.degree());
    for (size_t r = 0; r < context.key_rows(); ++r) {
      for (size_t i = 0; i < context.degree(); ++i) {
        both.Row(2 * r)[i] = values.Row(r)[i];
        both.Row(2 * r + 1)[i] = context.ntt(r).Quotient(values.Row(r)[i]);
      }
    }
    out.shifts_.push_back(std::move(both));
  }
  return out;
}

size_t ExpansionKeys::MemoryBytes() const {
  size_t bytes = 0;
  for (const GaloisKey& key : keys_) bytes += key.MemoryBytes();
  for (const EvalPoly& shift : shifts_) bytes += shift.words().size() * sizeof(uint64_t);
  return bytes;
}

std::vector<EvalCiphertext> Expand(const Context& context, const CoeffCiphertext& query, const ExpansionKeys& keys,
                                   size_t count) {
  const size_t n = context.degree();
  const size_t rows = context.data_rows();
  const size_t all_rows = context.key_rows();
  const int levels = ExpansionLevels(count);
  std::vector<EvalCiphertext> out(count);
  if (levels == 0) {
    out[0] = ToEval(context, query);
    return out;
  }
  std::vector<Node> nodes(size_t{1} << (levels - 1));
  const EvalPoly c0 = context.ToEval(query.c0);
  nodes[0] = {{all_rows, n}, query.c1};
  for (size_t r = 0; r < rows; ++r) {
    const Modulus& q = context.modulus(r);
    const ShoupWord special = q.Shoup(q.Reduce(context.modulus(all_rows - 1).value()));
    for (size_t i = 0; i < n; ++i) nodes[0].c0.Row(r)[i] = q.Mul(c0.Row(r)[i], special);
  }
  KeySwitchScratch scratch(context);
  Node temporary{{all_rows, n}, {rows, n}};
  for (int j = 0; j + 1 < levels; ++j) {
    const size_t width = size_t{1} << j;
    // Every node below 2^(levels-1) has at least its even descendant among the results.
    for (size_t a = 0; a < width; ++a) {
      nodes[a + width] = {{all_rows, n}, {rows, n}};
      Double(context, keys, j, nodes[a], nodes[a + width], scratch, temporary);
    }
  }
  for (size_t a = 0; a < nodes.size(); ++a) {
    EvalCiphertext* odd = a + nodes.size() < count ? &out[a + nodes.size()] : nullptr;
    DoubleLast(context, keys, levels - 1, std::move(nodes[a]), out[a], odd, scratch, temporary);
  }
  return out;
}

}  // namespace alcove::fhe
