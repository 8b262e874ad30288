#include "libs/ann/validate.h"

#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libs/common/status.h"
#include "libs/simd/kernels.h"

namespace alcove::ann {
namespace {

absl::Status CheckValues(absl::Span<const float> vector, size_t dim, Metric metric, absl::string_view what) {
  if (vector.size() != dim) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has ", vector.size(), " values; this index has dimension ", dim));
  }
  const float squared = simd::Best().dot_f32(vector.data(), vector.data(), dim);
  if (!(squared <= kMaxSquaredNorm)) {
    for (size_t i = 0; i < dim; ++i) {
      if (!std::isfinite(vector[i])) {
        return absl::InvalidArgumentError(absl::StrCat(what, " has a value that is not finite at position ", i));
      }
    }
    return absl::InvalidArgumentError(absl::StrCat(what, " is too long: its length may be at most 1e18"));
  }
  if (metric == Metric::kCosine && !(squared > 1e-30f)) {
    return absl::InvalidArgumentError(absl::StrCat(what, " is zero, which has no direction to compare by cosine"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckVector(RowId row, absl::Span<const float> vector, size_t dim, Metric metric) {
  if (row > kMaxRow) return absl::InvalidArgumentError(absl::StrCat("row ", row, " is above the limit ", kMaxRow));
  return CheckValues(vector, dim, metric, absl::StrCat("vector of row ", row));
}

absl::Status CheckQuery(absl::Span<const float> query, size_t dim, Metric metric) {
  return CheckValues(query, dim, metric, "query vector");
}

absl::Status CheckParams(const SearchParams& params) {
  if (params.k < 1 || params.k > kMaxK) {
    return absl::InvalidArgumentError(absl::StrCat("k is ", params.k, "; it must be 1 to ", kMaxK));
  }
  if (params.ef < 1 || params.ef > kMaxEf) {
    return absl::InvalidArgumentError(absl::StrCat("ef is ", params.ef, "; it must be 1 to ", kMaxEf));
  }
  return absl::OkStatus();
}

absl::Status CheckBatch(const VectorIndex& index, absl::Span<const RowId> rows, absl::Span<const float> vectors) {
  const size_t dim = index.dim();
  if (vectors.size() != rows.size() * dim) {
    return absl::InvalidArgumentError(absl::StrCat("a batch of ", rows.size(), " rows of dimension ", dim, " needs ",
                                                   rows.size() * dim, " values; it has ", vectors.size()));
  }
  absl::flat_hash_set<RowId> seen;
  seen.reserve(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    ALCOVE_RETURN_IF_ERROR(CheckVector(rows[i], vectors.subspan(i * dim, dim), dim, index.metric()));
    if (index.Contains(rows[i])) return absl::AlreadyExistsError(absl::StrCat("row ", rows[i], " exists"));
    if (!seen.insert(rows[i]).second) {
      return absl::InvalidArgumentError(absl::StrCat("row ", rows[i], " is twice in the batch"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDimAndMetric(size_t dim, Metric metric) {
  if (dim < 1 || dim > kMaxDim) {
    return absl::InvalidArgumentError(absl::StrCat("dimension is ", dim, "; it must be 1 to ", kMaxDim));
  }
  if (metric != Metric::kCosine && metric != Metric::kDot && metric != Metric::kL2) {
    return absl::InvalidArgumentError(absl::StrCat("unknown metric ", static_cast<int>(metric)));
  }
  return absl::OkStatus();
}

}  // namespace alcove::ann
