#include "libs/fhe/search/expand.h"

#include <algorithm>
#include <bit>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"

namespace alcove::fhe {
namespace {

// Between doublings c0 is kept as transform values (it is only permuted and added) and c1 as coefficients (key
// switching takes its digits from there): six transforms a key switch instead of nine.
struct Node {
  EvalPoly c0;
  CoeffPoly c1;
};

// out = in * X^(-shift) for coefficients.
void ShiftDown(const uint64_t* in, uint64_t* out, size_t shift, size_t n, const Modulus& q) {
  std::copy(in + shift, in + n, out);
  for (size_t i = 0; i < shift; ++i) out[n - shift + i] = q.Neg(in[i]);
}

// One doubling: `even` becomes node + sigma(node); `odd`, when wanted, (node - sigma(node)) X^(-2^j).
void Double(const Context& context, const ExpansionKeys& keys, int j, Node& even, Node* odd, KeySwitchScratch& s,
            Node& t) {
  const size_t n = context.degree();
  const size_t special = context.key_rows() - 1;
  const GaloisKey& key = keys.key(j);
  for (size_t r = 0; r < context.data_rows(); ++r) {
    key.automorphism().ApplyCoeff(even.c1.Row(r), t.c1.Row(r), context.modulus(r));
    key.automorphism().ApplyEval(even.c0.Row(r), t.c0.Row(r));
  }
  AccumulateKeySwitch(context, t.c1, key, s);
  context.ntt(special).Inverse(s.acc0.Row(special));
  context.ntt(special).Inverse(s.acc1.Row(special));
  for (size_t r = 0; r < context.data_rows(); ++r) {
    const Ntt& ntt = context.ntt(r);
    const Kernels& k = ntt.kernels();
    const uint64_t q = ntt.modulus().value();
    const Context::SpecialConstants& c = context.special(r);

    ReduceSpecialRow(context, s.acc0, r, s);
    ntt.Forward(s.reduced.data());
    k.subtract_scale(s.acc0.Row(r), s.acc0.Row(r), s.reduced.data(), c.inverse, c.inverse_quotient, q, n);
    k.add(t.c0.Row(r), t.c0.Row(r), s.acc0.Row(r), q, n);

    ReduceSpecialRow(context, s.acc1, r, s);
    ntt.Inverse(s.acc1.Row(r));
    k.subtract_scale(t.c1.Row(r), s.acc1.Row(r), s.reduced.data(), c.inverse, c.inverse_quotient, q, n);

    if (odd != nullptr) {
      k.subtract(s.digit.data(), even.c0.Row(r), t.c0.Row(r), q, n);
      k.multiply(odd->c0.Row(r), s.digit.data(), keys.Shift(j, r), keys.ShiftQuotient(j, r), q, n);
      k.subtract(s.digit.data(), even.c1.Row(r), t.c1.Row(r), q, n);
      ShiftDown(s.digit.data(), odd->c1.Row(r), size_t{1} << j, n, ntt.modulus());
    }
    k.add(even.c0.Row(r), even.c0.Row(r), t.c0.Row(r), q, n);
    k.add(even.c1.Row(r), even.c1.Row(r), t.c1.Row(r), q, n);
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
    CoeffPoly shift(context.data_rows(), context.degree());
    for (size_t r = 0; r < context.data_rows(); ++r) {
      shift.Row(r)[context.degree() - (size_t{1} << j)] = context.modulus(r).value() - 1;
    }
    const EvalPoly values = context.ToEval(std::move(shift));
    EvalPoly both(2 * context.data_rows(), context.degree());
    for (size_t r = 0; r < context.data_rows(); ++r) {
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
  const int levels = ExpansionLevels(count);
  std::vector<Node> nodes(count);
  nodes[0] = {context.ToEval(query.c0), query.c1};
  KeySwitchScratch scratch(context);
  Node temporary{{rows, n}, {rows, n}};
  for (int j = 0; j < levels; ++j) {
    const size_t width = size_t{1} << j;
    for (size_t a = 0; a < width; ++a) {
      Node* odd = nullptr;
      if (a + width < count) {
        odd = &nodes[a + width];
        *odd = {{rows, n}, {rows, n}};
      }
      Double(context, keys, j, nodes[a], odd, scratch, temporary);
    }
  }
  std::vector<EvalCiphertext> out(count);
  for (size_t i = 0; i < count; ++i) {
    out[i] = {std::move(nodes[i].c0), context.ToEval(std::move(nodes[i].c1))};
  }
  return out;
}

}  // namespace alcove::fhe
