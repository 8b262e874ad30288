#include "services/vector-search/shard/shard.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/clock.h"
#include "libs/common/status.h"

namespace alcove::vector_search {
namespace {

ann::Metric ToAnn(Metric metric) {
  switch (metric) {
    case Metric::kCosine: return ann::Metric::kCosine;
    case Metric::kDot: return ann::Metric::kDot;
    case Metric::kL2: return ann::Metric::kL2;
  }
  return ann::Metric::kCosine;
}

// Observes the time until it ends.
class StageTimer {
 public:
  explicit StageTimer(Histogram* histogram)
      : histogram_(histogram), begin_(histogram == nullptr ? 0 : RealClock()->MonotonicNanos()) {}
  ~StageTimer() {
    if (histogram_ != nullptr) histogram_->Observe(absl::Nanoseconds(RealClock()->MonotonicNanos() - begin_));
  }
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  Histogram* const histogram_;
  const int64_t begin_;
};

// A filter's rows, as the vector index asks for them.
class BitmapFilter final : public ann::RowFilter {
 public:
  explicit BitmapFilter(RowBitmap rows) : rows_(std::move(rows)), count_(rows_.Count()) {}
  size_t count() const { return count_; }
  bool Matches(ann::RowId row) const override { return rows_.Contains(row); }
  double EstimatedCount() const override { return static_cast<double>(count_); }
  bool ForEachMatch(absl::FunctionRef<bool(ann::RowId)> visit) const override {
    rows_.ForEach(visit);
    return true;
  }
  const RowBitmap& rows() const { return rows_; }

 private:
  const RowBitmap rows_;
  const size_t count_;
};

class ContextStop final : public ann::StopCheck {
 public:
  explicit ContextStop(const RequestContext& ctx) : ctx_(ctx) {}
  bool ShouldStop() const override { return !ctx_.Check().ok(); }

 private:
  const RequestContext& ctx_;
};

// As VectorIndex::Search, in a sparse field.
absl::StatusOr<std::vector<ann::Neighbor>> SearchSparse(const SparseFields& sparse, size_t field,
                                                        const SearchQuery& query, const ann::SearchParams& params) {
  bool stopped = false;
  const auto stop = [&] { return stopped = stopped || (params.stop != nullptr && params.stop->ShouldStop()); };
  const auto* const filter = static_cast<const BitmapFilter*>(params.filter);
  const std::vector<SparseHit> hits =
      sparse.Search(field, query, params.k, filter == nullptr ? nullptr : &filter->rows(), stop);
  if (stopped) return absl::CancelledError("the search was stopped");
  std::vector<ann::Neighbor> out;
  out.reserve(hits.size());
  for (const SparseHit& hit : hits) out.push_back({hit.row, hit.score});
  return out;
}

}  // namespace

IndexFactory HnswFactory(size_t threads, const std::string& vectors_directory) {
  return [threads, vectors_directory](const VectorField& field) {
    ann::HnswOptions options;
    options.dim = field.dimension;
    // Address space only, but a process has 128 TiB of it and may hold a thousand indexes.
    constexpr size_t kReservedBytes = size_t{64} << 30;
    options.max_rows = std::clamp<size_t>(kReservedBytes / (sizeof(float) * field.dimension), 1 << 20, 1 << 28);
    options.metric = ToAnn(field.metric);
    options.m = field.m;
    options.ef_construction = field.ef_construction;
    options.max_threads = threads;
    switch (field.codes) {
      case Codes::kF32:
      case Codes::kF16: options.codes = ann::Storage::kNone; break;
      case Codes::kInt8: options.codes = ann::Storage::kInt8; break;
      case Codes::kInt4: options.codes = ann::Storage::kInt4; break;
      case Codes::kBit1: options.codes = ann::Storage::kBit1; break;
    }
    switch (field.storage) {
      case VectorStorage::kF32: options.vectors = ann::Storage::kF32; break;
      case VectorStorage::kF16: options.vectors = ann::Storage::kF16; break;
      case VectorStorage::kInt8:
        options.vectors = field.codes == Codes::kInt8 ? ann::Storage::kNone : ann::Storage::kInt8;
        break;
      case VectorStorage::kInt6: options.vectors = ann::Storage::kInt6; break;
    }
    if (field.on_disk) options.vectors_directory = vectors_directory;
    return ann::MakeHnswIndex(options);
  };
}

Shard::Shard(ShardOptions options) : options_(std::move(options)), payload_index_(FieldList(options_.config)) {
  for (const auto& [name, field] : options_.config.vectors) field_names_.push_back(name);
  if (options_.registry == nullptr) return;
  const auto stage = [this](absl::string_view name) {
    return &options_.registry->AddHistogram("alcove_vector_shard_search_seconds",
                                            "Time of one shard's search by stage.", FastLatencyBuckets(),
                                            {{"stage", std::string(name)}});
  };
  filter_seconds_ = stage("filter");
  index_seconds_ = stage("index");
  lookup_seconds_ = stage("lookup");
  ef_ = &options_.registry->AddHistogram("alcove_vector_search_ef", "Candidates looked at by a search (ef).",
                                         PowersOfTwo(15));
}

absl::StatusOr<std::unique_ptr<Shard>> Shard::Create(ShardOptions options) {
  if (!options.make_index) options.make_index = HnswFactory(options.index_threads, options.vectors_directory);
  std::unique_ptr<Shard> shard(new Shard(std::move(options)));
  ALCOVE_ASSIGN_OR_RETURN(auto indexes, shard->MakeIndexes());
  ALCOVE_ASSIGN_OR_RETURN(auto sparse, SparseFields::Make(shard->options_.config));
  absl::MutexLock lock(&shard->mutex_);
  shard->indexes_ = std::move(indexes);
  shard->sparse_ = std::move(sparse);
  return shard;
}

absl::StatusOr<std::shared_ptr<const Shard::Indexes>> Shard::MakeIndexes() const {
  auto indexes = std::make_shared<Indexes>();
  for (const auto& [name, field] : options_.config.vectors) {
    ALCOVE_ASSIGN_OR_RETURN(auto index, options_.make_index(field));
    indexes->push_back(std::move(index));
  }
  return std::shared_ptr<const Indexes>(std::move(indexes));
}

Row Shard::FindRow(absl::string_view id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? PayloadIndex::kNoRow : at->second;
}

RowBitmap Shard::Matching(const FilterPlan& plan) const {
  const auto find = [this](absl::string_view id) {
    mutex_.AssertReaderHeld();
    return FindRow(id);
  };
  const auto payload = [this](Row row) -> absl::string_view {
    mutex_.AssertReaderHeld();
    return rows_[row]->payload;
  };
  return payload_index_.Evaluate(plan, rows_.size(), {find, payload});
}

absl::StatusOr<std::vector<Shard::Found>> Shard::SearchRows(const RequestContext& ctx, const SearchQuery& query,
                                                            size_t field, bool in_sparse) const {
  FilterPlan plan;
  std::optional<BitmapFilter> filter;
  std::shared_ptr<const Indexes> indexes;
  std::shared_ptr<const SparseFields> sparse;
  uint64_t start = 0;
  {
    absl::ReaderMutexLock lock(&mutex_);
    ALCOVE_ASSIGN_OR_RETURN(plan, PlanFilter(options_.config, payload_index_.fields(), query.filter));
    indexes = indexes_;
    if (in_sparse) sparse = sparse_;
    start = clock_;
    if (!plan.matches_everything()) {
      const StageTimer timer(filter_seconds_);
      filter.emplace(Matching(plan));
    }
  }
  if (filter && filter->count() == 0) return std::vector<Found>();

  const ContextStop stop(ctx);
  ann::SearchParams params;
  if (!in_sparse) {
    params.ef = query.ef != 0 ? query.ef : options_.config.vectors.at(query.vector_name).ef_search;
    params.exact = query.exact;
    if (ef_ != nullptr) ef_->Observe(static_cast<double>(params.ef));
  }
  params.filter = filter ? &*filter : nullptr;
  if (ctx.has_deadline() || ctx.cancellation().can_be_cancelled()) params.stop = &stop;
  const size_t wanted = query.limit + (query.exclude_id.empty() ? 0 : 1);
  params.k = wanted;

  // Rows can be lost between the two looks only to concurrent deletes; then one more search with more room makes up
  // for them.
  for (int attempt = 0;; ++attempt) {
    absl::StatusOr<std::vector<ann::Neighbor>> neighbors;
    {
      const StageTimer timer(index_seconds_);
      if (in_sparse) {
        neighbors = SearchSparse(*sparse, field, query, params);
      } else {
        neighbors = (*indexes)[field]->Search(query.vector, params);
      }
    }
    if (!neighbors.ok()) {
      if (const absl::Status status = ctx.Check(); !status.ok()) return status;
      return neighbors.status();
    }
    std::vector<Found> found;
    found.reserve(neighbors->size());
    size_t lost = 0;
    const StageTimer timer(lookup_seconds_);
    absl::ReaderMutexLock lock(&mutex_);
    for (const ann::Neighbor& neighbor : *neighbors) {
      const RecordPtr record = neighbor.row < rows_.size() ? rows_[neighbor.row] : nullptr;
      if (record == nullptr || (record->reused && record->born > start) ||
          (filter && record->changed > start &&
           !MatchesPoint(plan, payload_index_.fields(), record->id, record->payload))) {
        ++lost;
        continue;
      }
      if (found.size() < wanted) found.push_back({record, neighbor.row, neighbor.score});
    }
    if (lost == 0 || attempt == 1 || neighbors->size() < params.k) return found;
    params.k = std::min(wanted + 2 * lost, ann::kMaxK);
  }
}

absl::StatusOr<size_t> Shard::SparseFieldOf(const SearchQuery& query) const {
  const auto at = options_.config.sparse.find(query.vector_name);
  if (at == options_.config.sparse.end()) {
    return InvalidField("vector_name", absl::StrCat("the collection has no vector field \"", query.vector_name, "\""));
  }
  if (at->second.is_text() == query.text.empty()) {
    return InvalidField("vector_name", absl::StrCat("field \"", query.vector_name, "\" is searched by a ",
                                                    at->second.is_text() ? "text" : "sparse vector"));
  }
  return static_cast<size_t>(std::distance(options_.config.sparse.begin(), at));
}

absl::StatusOr<std::vector<FoundPoint>> Shard::Search(const RequestContext& ctx, const SearchQuery& query) const {
  ALCOVE_RETURN_IF_ERROR(ctx.Check());
  size_t field = 0;
  bool in_sparse = false;
  const auto name = std::lower_bound(field_names_.begin(), field_names_.end(), query.vector_name);
  if (name != field_names_.end() && *name == query.vector_name) {
    field = static_cast<size_t>(name - field_names_.begin());
  } else {
    ALCOVE_ASSIGN_OR_RETURN(field, SparseFieldOf(query));
    in_sparse = true;
  }
  if (query.limit == 0) return std::vector<FoundPoint>();
  ALCOVE_ASSIGN_OR_RETURN(std::vector<Found> rows, SearchRows(ctx, query, field, in_sparse));

  std::shared_ptr<const Indexes> indexes;
  std::shared_ptr<const SparseFields> sparse;
  if (query.with_vectors) {
    absl::ReaderMutexLock lock(&mutex_);
    indexes = indexes_;
    sparse = sparse_;
  }
  std::vector<FoundPoint> out;
  out.reserve(rows.size());
  for (const Found& found : rows) {
    if (out.size() == query.limit) break;
    if (found.record->id == query.exclude_id) continue;
    if (query.score_threshold && found.score < *query.score_threshold) continue;
    FoundPoint point;
    point.id = found.record->id;
    point.score = found.score;
    point.payload = SelectPayload(found.record->payload, query.payload);
    if (query.with_vectors && in_sparse) {
      point.sparse_vectors.push_back({query.vector_name, sparse->Get(field, found.row)});
    } else if (query.with_vectors) {
      auto vector = (*indexes)[field]->Get(found.row);
      if (vector.ok()) {
        point.vector = *std::move(vector);
      } else if (!absl::IsNotFound(vector.status())) {
        return vector.status();
      }
    }
    out.push_back(std::move(point));
  }
  std::sort(out.begin(), out.end(), RanksBefore);
  return out;
}

absl::StatusOr<SparseStatistics> Shard::Statistics(const SearchQuery& query) const {
  ALCOVE_ASSIGN_OR_RETURN(const size_t field, SparseFieldOf(query));
  std::shared_ptr<const SparseFields> sparse;
  {
    absl::ReaderMutexLock lock(&mutex_);
    sparse = sparse_;
  }
  return sparse->Statistics(field, query);
}

absl::StatusOr<std::vector<ValueCount>> Shard::Facet(const FacetQuery& query) const {
  std::vector<ValueCount> counts;
  {
    absl::ReaderMutexLock lock(&mutex_);
    ALCOVE_ASSIGN_OR_RETURN(const size_t field, FacetField(payload_index_.fields(), query.field));
    ALCOVE_ASSIGN_OR_RETURN(const FilterPlan plan, PlanFilter(options_.config, payload_index_.fields(), query.filter));
    if (plan.matches_everything()) {
      counts = payload_index_.CountValues(field, nullptr);
    } else {
      const RowBitmap rows = Matching(plan);
      counts = payload_index_.CountValues(field, &rows);
    }
  }
  std::sort(counts.begin(), counts.end(), CountsBefore);
  return counts;
}

absl::Status Shard::FillVectors(const Indexes& indexes, const SparseFields& sparse, Row row, StoredPoint& point) const {
  for (size_t i = 0; i < indexes.size(); ++i) {
    auto vector = indexes[i]->Get(row);
    if (absl::IsNotFound(vector.status())) continue;
    if (!vector.ok()) return vector.status();
    point.vectors.push_back({field_names_[i], *std::move(vector)});
  }
  for (size_t i = 0; i < sparse.size(); ++i) {
    SparseComponents components = sparse.Get(i, row);
    if (!components.empty()) point.sparse.push_back({sparse.name(i), std::move(components)});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredPoint>> Shard::Get(const GetQuery& query) const {
  std::vector<std::pair<Row, RecordPtr>> found;
  std::shared_ptr<const Indexes> indexes;
  std::shared_ptr<const SparseFields> sparse;
  {
    absl::ReaderMutexLock lock(&mutex_);
    indexes = indexes_;
    sparse = sparse_;
    for (const std::string& id : query.ids) {
      if (const Row row = FindRow(id); row != PayloadIndex::kNoRow) found.emplace_back(row, rows_[row]);
    }
  }
  std::vector<StoredPoint> out;
  out.reserve(found.size());
  for (const auto& [row, record] : found) {
    StoredPoint point{record->id, {}, SelectPayload(record->payload, query.payload), {}};
    if (query.with_vectors) ALCOVE_RETURN_IF_ERROR(FillVectors(*indexes, *sparse, row, point));
    out.push_back(std::move(point));
  }
  return out;
}

std::vector<std::pair<Row, Shard::RecordPtr>> Shard::Collect(const FilterPlan& plan, absl::string_view after_id,
                                                             size_t limit) const {
  std::vector<std::pair<Row, RecordPtr>> out;
  auto at = after_id.empty() ? by_id_.begin() : by_id_.upper_bound(after_id);
  if (plan.matches_everything()) {
    for (; at != by_id_.end() && out.size() < limit; ++at) out.emplace_back(at->second, rows_[at->second]);
    return out;
  }
  const RowBitmap rows = Matching(plan);
  // Few matches: sorting them is cheaper than walking all ids.
  if (const size_t count = rows.Count(); count < by_id_.size() / 16) {
    out.reserve(count);
    rows.ForEach([&](Row row) {
      mutex_.AssertReaderHeld();
      if (rows_[row]->id > after_id) out.emplace_back(row, rows_[row]);
      return true;
    });
    const size_t keep = std::min(limit, out.size());
    std::partial_sort(out.begin(), out.begin() + static_cast<ptrdiff_t>(keep), out.end(),
                      [](const auto& a, const auto& b) { return a.second->id < b.second->id; });
    out.resize(keep);
    return out;
  }
  for (; at != by_id_.end() && out.size() < limit; ++at) {
    if (rows.Contains(at->second)) out.emplace_back(at->second, rows_[at->second]);
  }
  return out;
}

absl::StatusOr<std::vector<StoredPoint>> Shard::Scroll(const ScrollQuery& query) const {
  std::vector<std::pair<Row, RecordPtr>> found;
  std::shared_ptr<const Indexes> indexes;
  std::shared_ptr<const SparseFields> sparse;
  {
    absl::ReaderMutexLock lock(&mutex_);
    ALCOVE_ASSIGN_OR_RETURN(const FilterPlan plan, PlanFilter(options_.config, payload_index_.fields(), query.filter));
    indexes = indexes_;
    sparse = sparse_;
    found = Collect(plan, query.after_id, query.limit);
  }
  std::vector<StoredPoint> out;
  out.reserve(found.size());
  for (const auto& [row, record] : found) {
    StoredPoint point{record->id, {}, SelectPayload(record->payload, query.payload), {}};
    if (query.with_vectors) ALCOVE_RETURN_IF_ERROR(FillVectors(*indexes, *sparse, row, point));
    out.push_back(std::move(point));
  }
  return out;
}

absl::StatusOr<int64_t> Shard::Count(const Filter& filter) const {
  absl::ReaderMutexLock lock(&mutex_);
  ALCOVE_ASSIGN_OR_RETURN(const FilterPlan plan, PlanFilter(options_.config, payload_index_.fields(), filter));
  if (plan.matches_everything()) return static_cast<int64_t>(payload_index_.size());
  const RowBitmap rows = Matching(plan);
  return static_cast<int64_t>(rows.Count());
}

absl::StatusOr<std::vector<std::string>> Shard::MatchingIds(const Filter& filter, absl::string_view after_id,
                                                            size_t limit) const {
  absl::ReaderMutexLock lock(&mutex_);
  ALCOVE_ASSIGN_OR_RETURN(const FilterPlan plan, PlanFilter(options_.config, payload_index_.fields(), filter));
  std::vector<std::string> ids;
  for (const auto& [row, record] : Collect(plan, after_id, limit)) ids.push_back(record->id);
  return ids;
}

ShardSize Shard::Size() const {
  ShardSize size;
  absl::ReaderMutexLock lock(&mutex_);
  size.points = static_cast<int64_t>(by_id_.size());
  // A btree entry is about three quarters full; a record carries its reference counts.
  size.memory_bytes = record_bytes_ + static_cast<int64_t>(rows_.capacity() * sizeof(RecordPtr)) +
                      static_cast<int64_t>(by_id_.size() * (sizeof(absl::string_view) + sizeof(Row)) * 4 / 3) +
                      static_cast<int64_t>(payload_index_.MemoryBytes());
  for (const auto& index : *indexes_) {
    const ann::MemoryBreakdown memory = index->MemoryUsage();
    size.memory_bytes += static_cast<int64_t>(memory.total());
    size.disk_bytes += static_cast<int64_t>(memory.on_disk);
  }
  size.memory_bytes += static_cast<int64_t>(sparse_->MemoryBytes());
  return size;
}

absl::Status Shard::Optimize() {
  absl::MutexLock apply(&apply_mutex_);
  std::shared_ptr<const Indexes> indexes;
  {
    absl::ReaderMutexLock lock(&mutex_);
    indexes = indexes_;
  }
  for (const auto& index : *indexes) ALCOVE_RETURN_IF_ERROR(index->Optimize());
  return absl::OkStatus();
}

}  // namespace alcove::vector_search
