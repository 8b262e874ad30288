#include "libs/fhe/client/query.h"

#include <cmath>

#include <absl/strings/str_cat.h>

#include "libs/fhe/search/expand.h"

namespace alcove::fhe {

namespace {

absl::StatusOr<std::vector<uint64_t>> Encode(const Context& context, absl::Span<const int32_t> query, int levels) {
  const Modulus& t = context.plain_modulus();
  if (t.value() % 2 == 0) return absl::InvalidArgumentError("the plain modulus must be odd");
  if (query.empty() || query.size() > context.degree()) {
    return absl::InvalidArgumentError(absl::StrCat("a query of ", query.size(), " dimensions"));
  }
  // (t+1)/2 is the inverse of two.
  const uint64_t factor = t.Pow((t.value() + 1) / 2, static_cast<uint64_t>(levels));
  const auto limit = static_cast<int64_t>(t.value() / 2);
  bool fits = true;
  std::vector<uint64_t> out;
  out.reserve(query.size());
  for (int32_t v : query) {
    // No branch on what is secret.
    fits &= v <= limit && v >= -limit;
    out.push_back(t.Mul(t.FromSigned(v), factor));
  }
  if (!fits) return absl::InvalidArgumentError("a number of the query exceeds t/2");
  return out;
}

int64_t Centred(const Context& context, uint64_t coefficient) {
  const int64_t t = static_cast<int64_t>(context.plain_modulus().value());
  const int64_t v = static_cast<int64_t>(coefficient);
  return v - (t & -static_cast<int64_t>(v > t / 2));
}

}  // namespace

absl::StatusOr<std::vector<uint64_t>> EncodeQuery(const Context& context, absl::Span<const int32_t> query) {
  return Encode(context, query, ExpansionLevels(query.size()));
}

absl::StatusOr<std::vector<std::vector<uint64_t>>> EncodeQuery(const Context& context, const Layout& layout,
                                                               absl::Span<const int32_t> query) {
  if (query.size() != layout.dimensions()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a query of ", query.size(), " numbers against ", layout.dimensions(), " dimensions"));
  }
  std::vector<std::vector<uint64_t>> out;
  for (const QueryPart& part : layout.parts()) {
    auto coefficients = Encode(context, query.subspan(part.first, part.numbers), part.levels);
    if (!coefficients.ok()) return coefficients.status();
    out.push_back(*std::move(coefficients));
  }
  return out;
}

std::vector<int64_t> DecodeScores(const Context& context, absl::Span<const uint64_t> coefficients, const Layout& layout,
                                  size_t rows, const SignPattern& signs) {
  std::vector<int64_t> out;
  for (size_t r = 0; r < rows && r < layout.rows_per_block(); ++r) {
    const size_t at = layout.Position(r);
    const int64_t score = Centred(context, coefficients[at]);
    out.push_back(signs.Negative(at) ? -score : score);
  }
  return out;
}

std::vector<int64_t> DecodeScores(const Context& context, absl::Span<const uint64_t> coefficients, size_t rows) {
  std::vector<int64_t> out;
  for (size_t r = 0; r < rows && r < coefficients.size(); ++r) out.push_back(Centred(context, coefficients[r]));
  return out;
}

absl::StatusOr<std::vector<int32_t>> Quantise(absl::Span<const float> v, double scale, int32_t limit) {
  std::vector<int32_t> out;
  for (size_t i = 0; i < v.size(); ++i) {
    const double scaled = std::round(scale * static_cast<double>(v[i]));
    if (!(std::abs(scaled) <= limit)) {
      return absl::OutOfRangeError(absl::StrCat("number ", i, " does not fit the quantisation"));
    }
    out.push_back(static_cast<int32_t>(scaled));
  }
  return out;
}

}  // namespace alcove::fhe
