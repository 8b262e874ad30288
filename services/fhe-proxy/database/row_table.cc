#include "services/fhe-proxy/database/row_table.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

namespace alcove::fhe_proxy {

uint32_t RowTable::Energy(absl::Span<const int8_t> row) {
  uint32_t energy = 0;
  for (int8_t v : row) energy += static_cast<uint32_t>(v * v);
  return energy;
}

uint32_t RowTable::max_energy() const {
  return energies_.empty() ? 0 : *std::max_element(energies_.begin(), energies_.end());
}

absl::Status RowTable::Put(absl::string_view id, absl::Span<const float> vector) {
  std::vector<int8_t> row(dimension_);
  for (uint32_t d = 0; d < dimension_; ++d) {
    const double scaled = std::round(static_cast<double>(vector[d]) * scale_);
    if (!(std::abs(scaled) <= 127)) {
      return absl::OutOfRangeError(absl::StrCat("number ", d, " of a vector does not fit the scale ", scale_));
    }
    row[d] = static_cast<int8_t>(scaled);
  }
  const auto [it, added] = rows_.try_emplace(std::string(id), ids_.size());
  const size_t at = it->second;
  if (added) {
    ids_.emplace_back(id);
    id_bytes_ += id.size();
    revisions_.push_back(0);
    energies_.push_back(0);
    values_.resize(values_.size() + dimension_);
  }
  std::copy(row.begin(), row.end(), values_.begin() + static_cast<ptrdiff_t>(at * dimension_));
  energies_[at] = Energy(row);
  revisions_[at] = next_revision_++;
  changed_.insert(at);
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
    std::copy_n(values_.begin() + static_cast<ptrdiff_t>(last * dimension_), dimension_,
                values_.begin() + static_cast<ptrdiff_t>(at * dimension_));
    ids_[at] = std::move(ids_[last]);
    revisions_[at] = revisions_[last];
    energies_[at] = energies_[last];
    rows_[ids_[at]] = at;
  }
  ids_.pop_back();
  revisions_.pop_back();
  energies_.pop_back();
  values_.resize(last * dimension_);
  changed_.insert(at);
  changed_.insert(last);
}

void RowTable::Touch(absl::string_view id) {
  const auto it = rows_.find(id);
  if (it != rows_.end()) revisions_[it->second] = next_revision_++;
}

std::vector<size_t> RowTable::TakeChangedRows() {
  std::vector<size_t> out(changed_.begin(), changed_.end());
  changed_.clear();
  return out;
}

size_t RowTable::MemoryBytes() const {
  // Two copies of each id (the second is the index's key) with a string object each.
  return values_.capacity() + ids_.size() * (2 * sizeof(std::string) + 3 * sizeof(uint64_t)) + 2 * id_bytes_;
}

absl::Status RowTable::Restore(std::string id, absl::Span<const int8_t> values) {
  if (!rows_.try_emplace(id, ids_.size()).second) {
    return absl::InvalidArgumentError(absl::StrCat("the id \"", id, "\" is there twice"));
  }
  changed_.insert(ids_.size());
  id_bytes_ += id.size();
  ids_.push_back(std::move(id));
  revisions_.push_back(next_revision_++);
  energies_.push_back(Energy(values));
  values_.insert(values_.end(), values.begin(), values.end());
  return absl::OkStatus();
}

}  // namespace alcove::fhe_proxy
