// The applier's side of a shard: log operations become points.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/log.h"
#include "libs/common/status.h"
#include "services/vector-search/shard/shard.h"

namespace alcove::vector_search {
namespace {

// New points are inserted in groups: the vector index works on them in parallel, and readers wait for applied_sequence
// no longer than one group takes.
constexpr size_t kGroupPoints = 256;

void CopyFloats(const FloatBytes& from, float* to) { std::memcpy(to, from.bytes(), from.size() * sizeof(float)); }

int64_t RecordBytes(size_t record, absl::string_view id, absl::string_view payload) {
  constexpr size_t kCounts = 16;
  return static_cast<int64_t>(record + kCounts + (id.size() > 15 ? id.size() + 1 : 0) +
                              (payload.size() > 15 ? payload.size() + 1 : 0));
}

}  // namespace

absl::StatusOr<std::vector<const DenseVector*>> Shard::MatchVectors(const PointOperation& operation) const {
  std::vector<const DenseVector*> out(field_names_.size(), nullptr);
  for (const DenseVector& dense : operation.dense) {
    size_t field = 0;
    const VectorField* config = nullptr;
    for (const auto& [name, candidate] : options_.config.vectors) {
      if (name == dense.name) {
        config = &candidate;
        break;
      }
      ++field;
    }
    if (config == nullptr) return absl::InvalidArgumentError(absl::StrCat("unknown vector field \"", dense.name, "\""));
    if (dense.values.size() != config->dimension) {
      return absl::InvalidArgumentError(absl::StrCat("vector \"", dense.name, "\" has ", dense.values.size(),
                                                     " components, not ", config->dimension));
    }
    bool zero = true;
    for (size_t i = 0; i < dense.values.size(); ++i) {
      float value;
      std::memcpy(&value, dense.values.bytes() + i * sizeof value, sizeof value);
      if (!std::isfinite(value)) return absl::InvalidArgumentError("vector with NaN or infinity");
      zero = zero && value == 0;
    }
    if (zero && config->metric == Metric::kCosine) return absl::InvalidArgumentError("zero vector under cosine");
    out[field] = &dense;
  }
  return out;
}

void Shard::CountBad(const TailedOperation& tailed, const absl::Status& why) {
  bad_records_.fetch_add(1, std::memory_order_relaxed);
  LogError("a log record does not fit its collection and is passed over",
           {{"shard", store::ToString(options_.address)}, {"sequence", tailed.sequence}, {"why", why}});
}

void Shard::AdvanceTo(store::Sequence sequence) {
  if (sequence <= applied_.load(std::memory_order_relaxed)) return;
  applied_.store(sequence, std::memory_order_release);
  if (options_.on_applied) options_.on_applied(sequence);
}

absl::Status Shard::Apply(absl::Span<const TailedOperation> operations) {
  absl::MutexLock apply(&apply_mutex_);
  staged_.clear();
  staged_ids_.clear();
  const store::Sequence before = applied_.load(std::memory_order_relaxed);
  store::Sequence done = before;
  size_t group = 0;
  for (const TailedOperation& tailed : operations) {
    if (tailed.sequence <= before) continue;
    if (group == kGroupPoints || staged_ids_.contains(tailed.operation.id)) {
      ALCOVE_RETURN_IF_ERROR(FlushStaged());
      AdvanceTo(done);
      group = 0;
    }
    ALCOVE_RETURN_IF_ERROR(ApplyOne(tailed));
    done = tailed.sequence;
    ++group;
  }
  ALCOVE_RETURN_IF_ERROR(FlushStaged());
  AdvanceTo(done);
  return absl::OkStatus();
}

absl::Status Shard::ApplyOne(const TailedOperation& tailed) {
  const PointOperation& operation = tailed.operation;
  Row row;
  {
    absl::ReaderMutexLock lock(&mutex_);
    row = FindRow(operation.id);
  }
  if (operation.kind == OperationKind::kDelete) {
    return row == PayloadIndex::kNoRow ? absl::OkStatus() : Delete(row);
  }
  if (const absl::Status status = ValidatePayload(operation.payload); !status.ok()) {
    // A newer build wrote it: passing it over would lose it.
    if (absl::IsFailedPrecondition(status)) return status;
    CountBad(tailed, status);
    return absl::OkStatus();
  }
  if (operation.kind == OperationKind::kSetPayload) {
    return row == PayloadIndex::kNoRow ? absl::OkStatus() : SetPayload(row, tailed);
  }
  if (operation.kind == OperationKind::kSetVectors && row == PayloadIndex::kNoRow) return absl::OkStatus();
  auto vectors = MatchVectors(operation);
  if (vectors.ok() && !operation.sparse.empty()) {
    absl::ReaderMutexLock lock(&mutex_);
    if (absl::Status status = sparse_->CheckVectors(operation.sparse); !status.ok()) vectors = status;
  }
  if (!vectors.ok()) {
    CountBad(tailed, vectors.status());
    return absl::OkStatus();
  }
  if (operation.kind == OperationKind::kSetVectors) return SetVectors(row, tailed, *vectors);
  if (row != PayloadIndex::kNoRow) return Replace(row, tailed, *vectors);
  staged_.push_back({&tailed, *std::move(vectors)});
  staged_ids_.insert(operation.id);
  return absl::OkStatus();
}

void Shard::Publish(Row row, std::string payload, store::Sequence sequence) {
  const RecordPtr& old = rows_[row];
  auto record = std::make_shared<Record>();
  record->id = old->id;
  record->payload = std::move(payload);
  record->sequence = sequence;
  record->changed = ++clock_;
  record->born = old->born;
  record->reused = old->reused;
  payload_index_.Remove(row, old->payload);
  payload_index_.Add(row, record->payload);
  record_bytes_ +=
      RecordBytes(sizeof(Record), record->id, record->payload) - RecordBytes(sizeof(Record), old->id, old->payload);
  // The map's key must not outlive the record it views.
  const auto at = by_id_.find(old->id);
  auto node = by_id_.extract(at);
  node.key() = record->id;
  by_id_.insert(std::move(node));
  rows_[row] = std::move(record);
  changes_.fetch_add(1, std::memory_order_relaxed);
}

Row Shard::Insert(absl::string_view id, std::string payload, store::Sequence sequence) {
  auto record = std::make_shared<Record>();
  Row row;
  if (free_rows_.empty()) {
    row = static_cast<Row>(rows_.size());
    rows_.emplace_back();
    record->reused = all_rows_reused_;
  } else {
    row = free_rows_.back();
    free_rows_.pop_back();
    record->reused = true;
  }
  record->id = std::string(id);
  record->payload = std::move(payload);
  record->sequence = sequence;
  record->changed = record->born = ++clock_;
  record_bytes_ += RecordBytes(sizeof(Record), record->id, record->payload);
  payload_index_.Add(row, record->payload);
  by_id_.emplace(record->id, row);
  rows_[row] = std::move(record);
  changes_.fetch_add(1, std::memory_order_relaxed);
  return row;
}

absl::Status Shard::Replace(Row row, const TailedOperation& tailed, const std::vector<const DenseVector*>& vectors) {
  std::shared_ptr<const Indexes> indexes;
  std::shared_ptr<SparseFields> sparse;
  RecordPtr before, after;
  {
    absl::MutexLock lock(&mutex_);
    before = rows_[row];
    Publish(row, std::string(tailed.operation.payload), tailed.sequence);
    after = rows_[row];
    indexes = indexes_;
    sparse = sparse_;
  }
  sparse->SetPayload(row, &before->payload, &after->payload);
  sparse->SetVectors(row, tailed.operation.sparse, /*others_stay=*/false);
  std::vector<float> values;
  for (size_t field = 0; field < vectors.size(); ++field) {
    ann::VectorIndex& index = *(*indexes)[field];
    const bool present = index.Contains(row);
    if (vectors[field] == nullptr) {
      if (present) ALCOVE_RETURN_IF_ERROR(index.Remove(row));
      continue;
    }
    values.resize(vectors[field]->values.size());
    CopyFloats(vectors[field]->values, values.data());
    ALCOVE_RETURN_IF_ERROR(present ? index.Update(row, values) : index.Add(row, values));
  }
  return absl::OkStatus();
}

absl::Status Shard::SetVectors(Row row, const TailedOperation& tailed, const std::vector<const DenseVector*>& vectors) {
  std::shared_ptr<const Indexes> indexes;
  std::shared_ptr<SparseFields> sparse;
  {
    absl::ReaderMutexLock lock(&mutex_);
    indexes = indexes_;
    sparse = sparse_;
  }
  std::vector<float> values;
  for (size_t field = 0; field < vectors.size(); ++field) {
    ann::VectorIndex& index = *(*indexes)[field];
    const auto& removed = tailed.operation.removed;
    const bool present = index.Contains(row);
    if (vectors[field] != nullptr) {
      values.resize(vectors[field]->values.size());
      CopyFloats(vectors[field]->values, values.data());
      ALCOVE_RETURN_IF_ERROR(present ? index.Update(row, values) : index.Add(row, values));
    } else if (present && std::find(removed.begin(), removed.end(), field_names_[field]) != removed.end()) {
      ALCOVE_RETURN_IF_ERROR(index.Remove(row));
    }
  }
  for (const absl::string_view name : tailed.operation.removed) sparse->RemoveVector(row, name);
  sparse->SetVectors(row, tailed.operation.sparse, /*others_stay=*/true);
  changes_.fetch_add(1, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status Shard::SetPayload(Row row, const TailedOperation& tailed) {
  std::shared_ptr<SparseFields> sparse;
  RecordPtr before, after;
  {
    absl::MutexLock lock(&mutex_);
    before = rows_[row];
    sparse = sparse_;
    std::string payload(tailed.operation.payload);
    if (tailed.operation.payload_mode == PayloadMode::kMerge) {
      auto merged = MergePayload(before->payload, tailed.operation.payload);
      if (!merged.ok()) {
        CountBad(tailed, merged.status());
        return absl::OkStatus();
      }
      payload = *std::move(merged);
    }
    Publish(row, std::move(payload), tailed.sequence);
    after = rows_[row];
  }
  sparse->SetPayload(row, &before->payload, &after->payload);
  return absl::OkStatus();
}

absl::Status Shard::Delete(Row row) {
  std::shared_ptr<const Indexes> indexes;
  std::shared_ptr<SparseFields> sparse;
  RecordPtr last;
  {
    absl::ReaderMutexLock lock(&mutex_);
    indexes = indexes_;
    sparse = sparse_;
    last = rows_[row];
  }
  for (const auto& index : *indexes) {
    if (index->Contains(row)) ALCOVE_RETURN_IF_ERROR(index->Remove(row));
  }
  sparse->SetPayload(row, &last->payload, nullptr);
  sparse->SetVectors(row, {}, /*others_stay=*/false);
  absl::MutexLock lock(&mutex_);
  const RecordPtr old = std::move(rows_[row]);
  rows_[row] = nullptr;
  by_id_.erase(old->id);
  payload_index_.Remove(row, old->payload);
  record_bytes_ -= RecordBytes(sizeof(Record), old->id, old->payload);
  free_rows_.push_back(row);
  ++clock_;
  changes_.fetch_add(1, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status Shard::FlushStaged() {
  if (staged_.empty()) return absl::OkStatus();
  std::vector<ann::RowId> rows(staged_.size());
  std::shared_ptr<const Indexes> indexes;
  std::shared_ptr<SparseFields> sparse;
  std::vector<RecordPtr> records(staged_.size());
  {
    absl::MutexLock lock(&mutex_);
    indexes = indexes_;
    sparse = sparse_;
    for (size_t i = 0; i < staged_.size(); ++i) {
      const TailedOperation& tailed = *staged_[i].operation;
      rows[i] = Insert(tailed.operation.id, std::string(tailed.operation.payload), tailed.sequence);
      records[i] = rows_[rows[i]];
    }
  }
  if (sparse->size() > 0) {
    for (size_t i = 0; i < staged_.size(); ++i) {
      sparse->SetPayload(rows[i], nullptr, &records[i]->payload);
      sparse->SetVectors(rows[i], staged_[i].operation->operation.sparse, /*others_stay=*/false);
    }
  }
  for (size_t field = 0; field < field_names_.size(); ++field) {
    std::vector<ann::RowId> present;
    std::vector<float> values;
    for (size_t i = 0; i < staged_.size(); ++i) {
      const DenseVector* vector = staged_[i].vectors[field];
      if (vector == nullptr) continue;
      present.push_back(rows[i]);
      const size_t at = values.size();
      values.resize(at + vector->values.size());
      CopyFloats(vector->values, values.data() + at);
    }
    if (!present.empty()) ALCOVE_RETURN_IF_ERROR((*indexes)[field]->AddBatch(present, values));
  }
  staged_.clear();
  staged_ids_.clear();
  return absl::OkStatus();
}

absl::Status Shard::Reset() {
  absl::MutexLock apply(&apply_mutex_);
  ALCOVE_ASSIGN_OR_RETURN(auto indexes, MakeIndexes());
  ALCOVE_ASSIGN_OR_RETURN(std::shared_ptr<SparseFields> sparse, SparseFields::Make(options_.config));
  absl::MutexLock lock(&mutex_);
  by_id_.clear();
  rows_.clear();
  free_rows_.clear();
  payload_index_ = PayloadIndex(FieldList(options_.config));
  indexes_ = std::move(indexes);
  sparse_ = std::move(sparse);
  all_rows_reused_ = true;
  record_bytes_ = 0;
  ++clock_;
  applied_.store(0, std::memory_order_release);
  return absl::OkStatus();
}

}  // namespace alcove::vector_search
