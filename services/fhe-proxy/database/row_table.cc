#include "services/fhe-proxy/database/row_table.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"

namespace alcove::fhe_proxy {
namespace {

uint32_t Energy(absl::Span<const int8_t> row) {
  uint32_t energy = 0;
  for (int8_t v : row) energy += static_cast<uint32_t>(v * v);
  return energy;
}

}  // namespace

double MaxRowEnergy(const ParameterSet& set, uint32_t dimension) {
  const double longest = set.max_row_scale * kRowLengthRoom + std::sqrt(static_cast<double>(dimension)) / 2;
  return longest * longest;
}

absl::Status QuantiseRow(absl::Span<const float> vector, double scale, absl::Span<int8_t> out) {
  for (size_t d = 0; d < vector.size(); ++d) {
    const double scaled = std::round(static_cast<double>(vector[d]) * scale);
    if (!(std::abs(scaled) <= 127)) {
      return absl::OutOfRangeError(absl::StrCat("number ", d, " of a vector does not fit the scale ", scale));
    }
    out[d] = static_cast<int8_t>(scaled);
  }
  return absl::OkStatus();
}

absl::StatusOr<RowTable> RowTable::Create(const ParameterSet& set, uint32_t dimension, double scale,
                                          absl::string_view seed) {
  ALCOVE_ASSIGN_OR_RETURN(fhe::Layout layout, set.LayoutFor(dimension, 0));
  auto database = fhe::Database::Create(set.context, {std::move(layout), MaxRowEnergy(set, dimension),
                                                      fhe::SignPattern::FromSeed(seed, set.parameters.degree)});
  if (!database.ok()) {
    return WithReason(absl::ResourceExhaustedError(
                          absl::StrCat("under the parameter set ", set.name, ", ", database.status().message())),
                      "NOISE_BOUND");
  }
  return RowTable(set, scale, *std::move(database));
}

uint32_t RowTable::max_energy() const {
  return energies_.empty() ? 0 : *std::max_element(energies_.begin(), energies_.end());
}

absl::Status RowTable::Append(std::string id, absl::Span<const int8_t> values) {
  ALCOVE_RETURN_IF_ERROR(database_->Set(ids_.size(), values));
  rows_.emplace(id, ids_.size());
  id_bytes_ += id.size();
  ids_.push_back(std::move(id));
  revisions_.push_back(next_revision_++);
  energies_.push_back(Energy(values));
  return absl::OkStatus();
}

absl::Status RowTable::Put(absl::string_view id, absl::Span<const float> vector) {
  std::vector<int8_t> row(dimension());
  ALCOVE_RETURN_IF_ERROR(QuantiseRow(vector, scale_, absl::MakeSpan(row)));
  const auto it = rows_.find(id);
  if (it == rows_.end()) return Append(std::string(id), row);
  const size_t at = it->second;
  ALCOVE_RETURN_IF_ERROR(database_->Set(at, row));
  energies_[at] = Energy(row);
  revisions_[at] = next_revision_++;
  return absl::OkStatus();
}

void RowTable::Remove(absl::string_view id) {
  const auto it = rows_.find(id);
  if (it == rows_.end()) return;
  const size_t at = it->second;
  const size_t last = ids_.size() - 1;
  id_bytes_ -= ids_[at].size();
  rows_.erase(it);
  if (at != last) {
    // A row that was taken once is taken again.
    (void)database_->Set(at, database_->Row(last));
    ids_[at] = std::move(ids_[last]);
    revisions_[at] = revisions_[last];
    energies_[at] = energies_[last];
    rows_[ids_[at]] = at;
  }
  ids_.pop_back();
  revisions_.pop_back();
  energies_.pop_back();
  database_->Truncate(last);
}

void RowTable::Touch(absl::string_view id) {
  const auto it = rows_.find(id);
  if (it != rows_.end()) revisions_[it->second] = next_revision_++;
}

absl::Status RowTable::Restore(std::string id, absl::Span<const int8_t> values) {
  if (rows_.contains(id)) return absl::InvalidArgumentError(absl::StrCat("the id \"", id, "\" is there twice"));
  return Append(std::move(id), values);
}

absl::StatusOr<std::shared_ptr<const fhe::DatabaseSnapshot>> RowTable::Commit(TaskPool& pool) {
  ALCOVE_ASSIGN_OR_RETURN(const fhe::Layout layout, WantedLayout());
  ALCOVE_RETURN_IF_ERROR(database_->SetLayout(layout));
  ALCOVE_RETURN_IF_ERROR(database_->Commit(
      next_revision_, [&](size_t n, absl::FunctionRef<void(size_t)> body) { pool.ParallelFor(n, body); }));
  return database_->snapshot();
}

size_t RowTable::RowBytes() const {
  // Two copies of each id (the second is the index's key) with a string object each.
  return database_->RowBytes() + ids_.size() * (2 * sizeof(std::string) + 3 * sizeof(uint64_t)) + 2 * id_bytes_;
}

}  // namespace alcove::fhe_proxy
