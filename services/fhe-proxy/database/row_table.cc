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

absl::StatusOr<RowTable> RowTable::Create(const ParameterSet& set, uint32_t dimension, const RowTableOptions& options) {
  ALCOVE_ASSIGN_OR_RETURN(fhe::Layout layout, set.LayoutFor(dimension, 0));
  auto database = fhe::Database::Create(set.context, {std::move(layout), MaxRowEnergy(set, dimension),
                                                      fhe::SignPattern::FromSeed(options.seed, set.parameters.degree)});
  if (!database.ok()) {
    return WithReason(absl::ResourceExhaustedError(
                          absl::StrCat("under the parameter set ", set.name, ", ", database.status().message())),
                      "NOISE_BOUND");
  }
  return RowTable(set, options, *std::move(database));
}

uint32_t RowTable::max_energy() const {
  return energies_.empty() ? 0 : *std::max_element(energies_.begin(), energies_.end());
}

size_t RowTable::ClusterOf(size_t row) const {
  return clusters_ == nullptr ? 0 : block_cluster_[row / database_->layout().rows_per_block()];
}

size_t RowTable::RowOf(size_t cluster, size_t k) const {
  if (clusters_ == nullptr) return k;
  const size_t per_block = database_->layout().rows_per_block();
  return places_[cluster].blocks[k / per_block] * per_block + k % per_block;
}

absl::Status RowTable::CheckLength(absl::Span<const int8_t> values) const {
  const double energy = Energy(values);
  if (energy <= database_->options().max_row_energy) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("the squares of a row add up to ", energy, "; at most ",
                                            database_->options().max_row_energy, " keep scores exact"));
}

absl::Status RowTable::Append(std::string id, absl::Span<const int8_t> values, uint64_t revision) {
  ALCOVE_RETURN_IF_ERROR(CheckLength(values));
  const size_t cluster = clusters_ == nullptr ? 0 : clusters_->Home(values);
  Place& place = places_[cluster];
  if (clusters_ != nullptr && place.rows == place.blocks.size() * database_->layout().rows_per_block()) {
    if (free_blocks_.empty()) {
      free_blocks_.push_back(static_cast<uint32_t>(block_cluster_.size()));
      block_cluster_.push_back(0);
    }
    place.blocks.push_back(free_blocks_.back());
    block_cluster_[free_blocks_.back()] = static_cast<uint32_t>(cluster);
    free_blocks_.pop_back();
  }
  const size_t at = RowOf(cluster, place.rows);
  ALCOVE_RETURN_IF_ERROR(database_->Set(at, values));
  if (at >= ids_.size()) {
    ids_.resize(at + 1);
    revisions_.resize(at + 1);
    energies_.resize(at + 1);
  }
  ++place.rows;
  rows_.emplace(id, at);
  id_bytes_ += id.size();
  ids_[at] = std::move(id);
  revisions_[at] = revision;
  energies_[at] = Energy(values);
  return absl::OkStatus();
}

absl::Status RowTable::Put(absl::string_view id, absl::Span<const float> vector) {
  std::vector<int8_t> row(dimension());
  ALCOVE_RETURN_IF_ERROR(QuantiseRow(vector, options_.scale, absl::MakeSpan(row)));
  const auto it = rows_.find(id);
  if (it == rows_.end()) return Append(std::string(id), row, next_revision_++);
  const size_t at = it->second;
  if (clusters_ != nullptr && clusters_->Home(row) != ClusterOf(at)) {
    ALCOVE_RETURN_IF_ERROR(CheckLength(row));
    Remove(id);
    return Append(std::string(id), row, next_revision_++);
  }
  ALCOVE_RETURN_IF_ERROR(database_->Set(at, row));
  energies_[at] = Energy(row);
  revisions_[at] = next_revision_++;
  return absl::OkStatus();
}

void RowTable::Remove(absl::string_view id) {
  const auto it = rows_.find(id);
  if (it == rows_.end()) return;
  const size_t at = it->second;
  const size_t cluster = ClusterOf(at);
  Place& place = places_[cluster];
  const size_t last = RowOf(cluster, place.rows - 1);
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
  --place.rows;
  if (clusters_ == nullptr) {
    ids_.pop_back();
    revisions_.pop_back();
    energies_.pop_back();
    database_->Truncate(last);
    return;
  }
  ids_[last].clear();
  revisions_[last] = 0;
  energies_[last] = 0;
  (void)database_->Clear(last);
  if (place.rows == (place.blocks.size() - 1) * database_->layout().rows_per_block()) {
    free_blocks_.push_back(place.blocks.back());
    place.blocks.pop_back();
  }
}

void RowTable::Touch(absl::string_view id) {
  const auto it = rows_.find(id);
  if (it != rows_.end()) revisions_[it->second] = next_revision_++;
}

absl::Status RowTable::Restore(std::string id, absl::Span<const int8_t> values) {
  if (rows_.contains(id)) return absl::InvalidArgumentError(absl::StrCat("the id \"", id, "\" is there twice"));
  return Append(std::move(id), values, next_revision_++);
}

absl::StatusOr<fhe::Layout> RowTable::WantedLayout() const {
  return set_->LayoutFor(dimension(), WantsClusters() ? options_.cluster_rows : size());
}

absl::StatusOr<size_t> RowTable::WantedBytes() const {
  ALCOVE_ASSIGN_OR_RETURN(const fhe::Layout layout, WantedLayout());
  // Each cluster leaves less than a block empty, those there are and those that may be made.
  const size_t now = clusters_ == nullptr ? 0 : clusters_->size();
  const size_t empty = WantsClusters() ? std::max(now, size() / options_.cluster_rows) * layout.rows_per_block() : 0;
  return fhe::Database::EstimateBytes(layout, std::max(slots(), size() + empty));
}

absl::Status RowTable::RestoreClusters(std::shared_ptr<const Clusters> clusters, size_t clustered_rows) {
  if (size() != 0 || clusters->dimension() != dimension()) {
    return absl::InvalidArgumentError("clusters are restored first, for rows of their dimension");
  }
  ALCOVE_ASSIGN_OR_RETURN(const fhe::Layout layout, set_->LayoutFor(dimension(), options_.cluster_rows));
  ALCOVE_RETURN_IF_ERROR(database_->SetLayout(layout));
  places_.resize(clusters->size());
  clusters_ = std::move(clusters);
  clustered_rows_ = clustered_rows;
  return absl::OkStatus();
}

bool RowTable::Ragged() const {
  if (clusters_ == nullptr) return false;
  const auto rows = static_cast<double>(size()), per_block = static_cast<double>(database_->layout().rows_per_block());
  const double full = std::max(static_cast<double>(clusters_->size()), std::ceil(rows / (Clusters::kFill * per_block)));
  // Rows that are alike cannot be moved apart: not again before there are some more or fewer.
  const bool changed = std::abs(rows - static_cast<double>(fitted_rows_)) >= rows / 16;
  return changed && static_cast<double>(BlocksInUse()) > 1.25 * full;
}

absl::Status RowTable::PlaceRows(Cut cut, TaskPool& pool) {
  std::vector<size_t> from;
  for (size_t row = 0; row < slots(); ++row) {
    if (occupied(row)) from.push_back(row);
  }
  ALCOVE_ASSIGN_OR_RETURN(const fhe::Layout layout, WantedLayout());
  ALCOVE_ASSIGN_OR_RETURN(RowTable made, Create(*set_, dimension(), options_));
  ALCOVE_RETURN_IF_ERROR(made.database_->SetLayout(layout));
  if (WantsClusters()) {
    const auto row = [&](size_t i) { return values(from[i]); };
    if (cut == Cut::kRefit) {
      made.clusters_ = clusters_->Refit(layout.rows_per_block(), from.size(), row, pool);
      made.clustered_rows_ = clustered_rows_;
    } else {
      made.clusters_ = Clusters::Train(from.size() / options_.cluster_rows, layout.rows_per_block(), from.size(),
                                       dimension(), row, pool);
      made.clustered_rows_ = from.size();
    }
    made.places_.resize(made.clusters_->size());
  }
  for (const size_t row : from) {
    ALCOVE_RETURN_IF_ERROR(made.Append(ids_[row], values(row), revisions_[row]));
  }
  made.next_revision_ = next_revision_;
  made.fitted_rows_ = from.size();
  *this = std::move(made);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const fhe::DatabaseSnapshot>> RowTable::Commit(TaskPool& pool) {
  const bool outgrown = clusters_ != nullptr && (size() > 2 * clustered_rows_ || size() < clustered_rows_ / 2);
  if (WantsClusters() != (clusters_ != nullptr) || outgrown) {
    ALCOVE_RETURN_IF_ERROR(PlaceRows(Cut::kAnew, pool));
  } else if (Ragged()) {
    ALCOVE_RETURN_IF_ERROR(PlaceRows(Cut::kRefit, pool));
  }
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
