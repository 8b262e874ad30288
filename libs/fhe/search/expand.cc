#include "libs/fhe/search/expand.h"

#include <algorithm>
#include <bit>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"

namespace alcove::fhe {
namespace {

constexpr size_t kData = 0;     // the data prime's row
constexpr size_t kSpecial = 1;  // the special prime's

// Between doublings c0 is kept as transform values of P c0 at both rows: it is only permuted, added and multiplied by
// monomials, so the division by the special prime P that ends each key switch can wait until the last one. c1 is kept
// both as coefficients, from which key switching takes its digit, and as transform values, which are that digit's at
// the data prime. The digit is c1 itself, not sigma(c1): the keys have been prepared for that.
struct Node {
  EvalPoly c0;             // two rows
  CoeffPoly coefficients;  // c1, one row
  EvalPoly values;         // c1, one row
};

class Expander {
 public:
  Expander(const Context& context, const ExpansionKeys& keys)
      : context_(context),
        keys_(keys),
        n_(context.degree()),
        data_(context.ntt(kData)),
        special_(context.ntt(kSpecial)),
        q_(context.modulus(kData).value()),
        p_(context.modulus(kSpecial).value()),
        half_mod_p_(q_ / 2 % p_),
        ratio_p_(static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / p_)),
        digit_(n_),
        a_(n_),
        b_(n_),
        sub_(2, n_),
        odd_c0_(2, n_),
        results_(4, n_) {}

  Node NewNode() const { return {{2, n_}, {1, n_}, {1, n_}}; }

  // `even` becomes node + sigma(node), `odd` (node - sigma(node)) X^(-2^j).
  void Double(int j, Node& even, Node& odd) {
    const ExpansionKeys::Level& level = keys_.level(j);
    Switch(level, even);
    ForkFirst(level, even.c0, &odd.c0);
    // b_ holds sigma's part of c1 as transform values; both children need coefficients too.
    std::copy_n(b_.data(), n_, a_.data());
    data_.Inverse(a_.data());
    const Kernels& k = data_.kernels();
    k.fork(even.values.Row(0), odd.values.Row(0), even.values.Row(0), b_.data(), level.shift.Row(0), level.shift.Row(1),
           q_, n_);
    k.subtract(b_.data(), even.coefficients.Row(0), a_.data(), q_, n_);
    ShiftDown(b_.data(), odd.coefficients.Row(0), size_t{1} << j);
    k.add(even.coefficients.Row(0), even.coefficients.Row(0), a_.data(), q_, n_);
  }

  // The last doubling: results are wanted as transform values only, in result(). The node is used up.
  void DoubleLast(int j, Node& node, bool with_odd) {
    const ExpansionKeys::Level& level = keys_.level(j);
    Switch(level, node);
    ForkFirst(level, node.c0, with_odd ? &odd_c0_ : nullptr);
    const Kernels& k = data_.kernels();
    if (with_odd) {
      k.fork(results_.Row(1), results_.Row(3), node.values.Row(0), b_.data(), level.shift.Row(0), level.shift.Row(1),
             q_, n_);
      DivideBySpecial(odd_c0_, results_.Row(2));
    } else {
      k.add(results_.Row(1), node.values.Row(0), b_.data(), q_, n_);
    }
    DivideBySpecial(node.c0, results_.Row(0));
  }
  // c0 and c1 of the even result, then of the odd one.
  const uint64_t* result(size_t row) const { return results_.Row(row); }

 private:
  // Key switching of c1: P times the result's c0 is added to sub_ under sigma, its c1 goes to b_ as transform values.
  void Switch(const ExpansionKeys::Level& level, const Node& node) {
    // The digit is taken centred (at the data prime that is the same residue): with a mean of q / 2 every switch of a
    // doubling would add the same multiple of the key's error, and rows of one sign would add them all up.
    context_.WideKernels(kData).centred_reduce(digit_.data(), node.coefficients.Row(0), q_, q_ / 2, p_, ratio_p_,
                                               half_mod_p_, n_);
    special_.Forward(digit_.data());
    const uint64_t* digits[2] = {node.values.Row(0), digit_.data()};
    for (size_t r : {kData, kSpecial}) {
      const Kernels& k = context_.ntt(r).kernels();
      k.multiply_add(a_.data(), node.c0.Row(r), digits[r], level.key0.Row(2 * r), level.key0.Row(2 * r + 1),
                     context_.modulus(r).value(), n_);
      level.automorphism.ApplyEval(a_.data(), sub_.Row(r));
    }
    special_.kernels().multiply(a_.data(), digit_.data(), level.key1.Row(2), level.key1.Row(3), p_, n_);
    special_.Inverse(a_.data());
    ReduceSpecial(a_.data());
    data_.Forward(a_.data());
    data_.kernels().multiply(digit_.data(), node.values.Row(0), level.key1.Row(0), level.key1.Row(1), q_, n_);
    const DivideView& c = context_.special(kData);
    data_.kernels().subtract_scale(a_.data(), digit_.data(), a_.data(), c.inverse, c.inverse_quotient, q_, n_);
    level.automorphism.ApplyEval(a_.data(), b_.data());
  }

  // c0 = c0 + sub_, odd = (c0 - sub_) X^(-2^j), at both rows.
  void ForkFirst(const ExpansionKeys::Level& level, EvalPoly& c0, EvalPoly* odd) {
    for (size_t r : {kData, kSpecial}) {
      const Kernels& k = context_.ntt(r).kernels();
      const uint64_t modulus = context_.modulus(r).value();
      if (odd != nullptr) {
        k.fork(c0.Row(r), odd->Row(r), c0.Row(r), sub_.Row(r), level.shift.Row(2 * r), level.shift.Row(2 * r + 1),
               modulus, n_);
      } else {
        k.add(c0.Row(r), c0.Row(r), sub_.Row(r), modulus, n_);
      }
    }
  }

  // Coefficients modulo P, taken centred, modulo q.
  void ReduceSpecial(uint64_t* words) const {
    const DivideView& c = context_.special(kData);
    context_.WideKernels(kData).centred_reduce(words, words, p_, p_ / 2, q_, c.q_ratio, c.half_mod_q, n_);
  }

  // out = round(c0 / P) at the data row; uses c0 up.
  void DivideBySpecial(EvalPoly& extended, uint64_t* out) const {
    special_.Inverse(extended.Row(kSpecial));
    ReduceSpecial(extended.Row(kSpecial));
    data_.Forward(extended.Row(kSpecial));
    const DivideView& c = context_.special(kData);
    data_.kernels().subtract_scale(out, extended.Row(kData), extended.Row(kSpecial), c.inverse, c.inverse_quotient, q_,
                                   n_);
  }

  // out = in * X^(-shift) for coefficients.
  void ShiftDown(const uint64_t* in, uint64_t* out, size_t shift) const {
    std::copy(in + shift, in + n_, out);
    for (size_t i = 0; i < shift; ++i) out[n_ - shift + i] = data_.modulus().Neg(in[i]);
  }

  const Context& context_;
  const ExpansionKeys& keys_;
  const size_t n_;
  const Ntt& data_;
  const Ntt& special_;
  const uint64_t q_, p_;
  const uint64_t half_mod_p_, ratio_p_;  // floor(q / 2) mod P, floor(2^64 / P)
  Words digit_, a_, b_;
  EvalPoly sub_, odd_c0_, results_;
};

// Rows of values under sigma^-1 alternating with their quotients.
EvalPoly WithQuotients(const Context& context, const Automorphism& inverse, const Ciphertext& digit,
                       size_t polynomial) {
  const size_t n = context.degree();
  EvalPoly out(2 * context.key_rows(), n);
  Words aligned(n);
  for (size_t r = 0; r < context.key_rows(); ++r) {
    const auto row = digit.Row(polynomial, r);
    std::copy(row.begin(), row.end(), aligned.begin());
    inverse.ApplyEval(aligned.data(), out.Row(2 * r));
    for (size_t i = 0; i < n; ++i) out.Row(2 * r + 1)[i] = context.ntt(r).Quotient(out.Row(2 * r)[i]);
  }
  return out;
}

}  // namespace

int ExpansionLevels(size_t count) { return count <= 1 ? 0 : static_cast<int>(std::bit_width(count - 1)); }

uint32_t ExpansionElement(size_t degree, int j) { return static_cast<uint32_t>(degree >> j) + 1; }

absl::StatusOr<ExpansionKeys> ExpansionKeys::Prepare(const Context& context, const GaloisKeys& keys, int levels) {
  if (context.data_rows() != 1 || context.key_rows() != 2) {
    return FaultError(Fault::kPrimeCountOutOfRange, "expansion needs one data prime and a special prime");
  }
  const size_t n = context.degree();
  ExpansionKeys out;
  for (int j = 0; j < levels; ++j) {
    const uint32_t element = ExpansionElement(n, j);
    const KeySwitchKey* key = keys.Find(element);
    if (key == nullptr) {
      return FaultError(Fault::kMissingKey, absl::StrCat("no key for Galois element ", element));
    }
    // Odd numbers below 2N form a group of exponent N/2 (or less), so the inverse is a power.
    uint64_t inverse = 1;
    for (size_t i = 1; i < n; ++i) inverse = inverse * element % (2 * n);
    const Automorphism back(inverse, n);
    Ciphertext digit = key->digits[0].value;
    ExpandSeed(digit, context.parameters());
    Level level{Automorphism(element, n), WithQuotients(context, back, digit, 0),
                WithQuotients(context, back, digit, 1), EvalPoly(2 * context.key_rows(), n)};
    // X^(-2^j) = -X^(N - 2^j).
    CoeffPoly shift(context.key_rows(), n);
    for (size_t r = 0; r < context.key_rows(); ++r) shift.Row(r)[n - (size_t{1} << j)] = context.modulus(r).value() - 1;
    const EvalPoly values = context.ToEval(std::move(shift));
    for (size_t r = 0; r < context.key_rows(); ++r) {
      for (size_t i = 0; i < n; ++i) {
        level.shift.Row(2 * r)[i] = values.Row(r)[i];
        level.shift.Row(2 * r + 1)[i] = context.ntt(r).Quotient(values.Row(r)[i]);
      }
    }
    out.levels_.push_back(std::move(level));
  }
  return out;
}

size_t ExpansionKeys::MemoryBytes() const {
  size_t bytes = 0;
  for (const Level& level : levels_) {
    for (const EvalPoly* poly : {&level.key0, &level.key1, &level.shift}) {
      bytes += poly->words().size() * sizeof(uint64_t);
    }
  }
  return bytes;
}

void ExpandTo(const Context& context, const CoeffCiphertext& query, const ExpansionKeys& keys, size_t count,
              absl::FunctionRef<void(size_t, const uint64_t*, const uint64_t*)> sink) {
  const size_t n = context.degree();
  const int levels = ExpansionLevels(count);
  const EvalPoly c0 = context.ToEval(query.c0);
  EvalPoly c1 = context.ToEval(query.c1);
  if (levels == 0) return sink(0, c0.Row(kData), c1.Row(kData));
  Expander expander(context, keys);
  Node root{{2, n}, query.c1, std::move(c1)};
  const Modulus& q = context.modulus(kData);
  const ShoupWord special = q.Shoup(q.Reduce(context.modulus(kSpecial).value()));
  for (size_t i = 0; i < n; ++i) root.c0.Row(kData)[i] = q.Mul(c0.Row(kData)[i], special);
  // Depth first: one node a level is alive, which the second-level cache holds.
  std::vector<Node> odd;
  for (int j = 0; j + 1 < levels; ++j) odd.push_back(expander.NewNode());
  const auto visit = [&](const auto& self, int j, size_t index, Node& node) -> void {
    const size_t other = index + (size_t{1} << j);
    if (j + 1 == levels) {
      expander.DoubleLast(j, node, other < count);
      sink(index, expander.result(0), expander.result(1));
      if (other < count) sink(other, expander.result(2), expander.result(3));
      return;
    }
    // Every node before the last level has at least its even descendant among the results.
    expander.Double(j, node, odd[static_cast<size_t>(j)]);
    self(self, j + 1, index, node);
    self(self, j + 1, other, odd[static_cast<size_t>(j)]);
  };
  visit(visit, 0, 0, root);
}

std::vector<EvalCiphertext> Expand(const Context& context, const CoeffCiphertext& query, const ExpansionKeys& keys,
                                   size_t count) {
  const size_t n = context.degree();
  std::vector<EvalCiphertext> out(count);
  ExpandTo(context, query, keys, count, [&](size_t index, const uint64_t* c0, const uint64_t* c1) {
    out[index] = {{1, n}, {1, n}};
    std::copy_n(c0, n, out[index].c0.Row(0));
    std::copy_n(c1, n, out[index].c1.Row(0));
  });
  return out;
}

}  // namespace alcove::fhe
