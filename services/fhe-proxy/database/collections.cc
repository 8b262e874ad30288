#include "services/fhe-proxy/database/collections.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "libs/common/fs.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "libs/fhe/random/blake2b.h"
#include "libs/fhe/search/mac.h"

namespace alcove::fhe_proxy {
namespace {

constexpr size_t kDocumentBatch = 1000;
constexpr size_t kMaxSnapshotBytes = size_t{64} << 30;
constexpr int kMaxRebuilds = 3;
constexpr size_t kSaveAfterRows = 1000;

// The vector of a point as rows want it: of unit length for cosine.
absl::Status Prepare(Metric metric, std::vector<float>& vector) {
  double energy = 0;
  for (const float v : vector) energy += static_cast<double>(v) * static_cast<double>(v);
  if (!std::isfinite(energy)) return absl::InternalError("a stored vector is not finite");
  if (metric == Metric::kCosine && energy > 0) {
    const double scale = 1 / std::sqrt(energy);
    for (float& v : vector) v = static_cast<float>(static_cast<double>(v) * scale);
  }
  return absl::OkStatus();
}

double Norm(const std::vector<float>& vector) {
  double energy = 0;
  for (const float v : vector) energy += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(energy);
}

// What the vectors of a collection need of a scale.
struct Extent {
  double largest_number = 0;
  double largest_norm = 0;
  void Add(const std::vector<float>& vector) {
    for (const float v : vector) largest_number = std::max(largest_number, std::abs(static_cast<double>(v)));
    largest_norm = std::max(largest_norm, Norm(vector));
  }
  // As fine as eight bits and the parameter set allow.
  double Scale(double max_row_scale) const {
    double scale = max_row_scale;
    if (largest_norm > 0) scale = std::min(scale, max_row_scale / largest_norm);
    if (largest_number > 0) scale = std::min(scale, 127 / largest_number);
    return scale;
  }
};

absl::Status CheckSupported(const CollectionInfo& info) {
  if (info.metric == Metric::kL2) {
    return WithReason(absl::FailedPreconditionError("private search compares by cosine or dot product; this collection "
                                                    "compares by Euclidean distance"),
                      "METRIC_NOT_SUPPORTED");
  }
  if (info.dimension > fhe::kMaxMacDimensions) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("private search takes vectors of at most ", fhe::kMaxMacDimensions,
                                                " numbers; this collection has ", info.dimension)),
        "DIMENSION_NOT_SUPPORTED");
  }
  return absl::OkStatus();
}

// The numbers of a vector as multiples of a unit, sixteen bits each.
std::string VectorRecord(const std::vector<float>& vector) {
  float largest = 0;
  for (const float v : vector) largest = std::max(largest, std::abs(v));
  const float unit = largest > 0 ? largest / 32767 : 1;
  std::string out(reinterpret_cast<const char*>(&unit), sizeof unit);
  for (const float v : vector) {
    const auto number = static_cast<int16_t>(std::lround(v / unit));
    out.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  return vector.empty() ? std::string() : out;
}

bool SameLog(const CollectionInfo& a, const CollectionInfo& b) {
  return a.identity == b.identity && a.dimension == b.dimension && a.metric == b.metric &&
         a.heads.size() == b.heads.size();
}

absl::Status Changed() {
  return WithReason(absl::FailedPreconditionError("the collection has changed; fetch its parameters again"),
                    "COLLECTION_CHANGED");
}

}  // namespace

Collections::Collections(Options options, CollectionSource* source, TaskPool* pool, const Clock* clock)
    : options_(std::move(options)),
      source_(source),
      pool_(pool),
      clock_(clock),
      worker_(std::make_unique<TaskPool>(1, "encode")) {}

absl::StatusOr<std::unique_ptr<Collections>> Collections::Open(Options options, CollectionSource* source,
                                                               TaskPool* pool, const Clock* clock) {
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(options.folder, 0700));
  return std::unique_ptr<Collections>(new Collections(std::move(options), source, pool, clock));
}

Collections::~Collections() {
  stop_.Cancel(absl::UnavailableError("the service is stopping"));
  worker_.reset();
  for (auto& [key, entry] : entries_) Save(*entry);
}

std::string Collections::KeyOf(const std::string& tenant, const CollectionName& name) {
  std::string key;
  for (const std::string* part : {&tenant, &name.collection, &name.vector_name, &name.set->name}) {
    absl::StrAppend(&key, part->size(), ":", *part);
  }
  return key;
}

std::string Collections::PathOf(const Entry& entry) const {
  return absl::StrCat(options_.folder, "/", fhe::Blake2bHex(KeyOf(entry.tenant, entry.name)).substr(0, 32), ".rows");
}

Collections::EntryPtr Collections::Find(const RequestContext& ctx, const CollectionName& name, bool make) {
  const std::string key = KeyOf(ctx.tenant(), name);
  absl::MutexLock lock(&mu_);
  auto it = entries_.find(key);
  if (it == entries_.end()) {
    if (!make) return nullptr;
    it = entries_.emplace(key, std::make_shared<Entry>()).first;
    it->second->tenant = ctx.tenant();
    it->second->name = name;
  }
  it->second->last_used = clock_->Now();
  return it->second;
}

std::shared_ptr<const EncodedCollection> Collections::Loaded(const RequestContext& ctx, const CollectionName& name) {
  const EntryPtr entry = Find(ctx, name, false);
  if (entry == nullptr) return nullptr;
  absl::MutexLock lock(&mu_);
  return entry->encoded;
}

absl::StatusOr<std::shared_ptr<const EncodedCollection>> Collections::Current(const RequestContext& ctx,
                                                                              const CollectionName& name) {
  // Asked for with the caller's own identity, whatever is in memory.
  const auto info = source_->Describe(ctx, name.collection, name.vector_name);
  if (!info.ok()) {
    if (absl::IsNotFound(info.status())) {
      if (const EntryPtr gone = Find(ctx, name, false); gone != nullptr) Forget(gone);
    }
    return info.status();
  }
  ALCOVE_RETURN_IF_ERROR(CheckSupported(*info));
  const EntryPtr entry = Find(ctx, name, true);
  {
    absl::MutexLock lock(&mu_);
    if (entry->encoded != nullptr && entry->encoded->info == *info) return entry->encoded;
  }
  ALCOVE_RETURN_IF_ERROR(Refresh(ctx, entry, std::nullopt));
  absl::MutexLock lock(&mu_);
  if (entry->encoded == nullptr) return absl::UnavailableError("the collection's copy was put away at once; try again");
  return entry->encoded;
}

absl::StatusOr<std::shared_ptr<const EncodedRecords>> Collections::Records(const RequestContext& ctx,
                                                                           const CollectionName& name,
                                                                           const EncodedCollection& of,
                                                                           RecordKind kind) {
  const auto slot = static_cast<size_t>(kind);
  const EntryPtr entry = Find(ctx, name, true);
  const auto ready = [&]() -> std::shared_ptr<const EncodedRecords> {
    absl::MutexLock lock(&mu_);
    const auto& records = entry->records[slot];
    return records != nullptr && records->sequence == of.sequence ? records : nullptr;
  };
  if (auto records = ready(); records != nullptr) return records;
  ALCOVE_RETURN_IF_ERROR(Refresh(ctx, entry, kind));
  auto records = ready();
  if (records == nullptr) return Changed();
  return records;
}

absl::Status Collections::Refresh(const RequestContext& ctx, const EntryPtr& entry, std::optional<RecordKind> records) {
  uint64_t wanted;
  {
    absl::MutexLock lock(&mu_);
    wanted = ++entry->asked;
    if (records) entry->want_records[static_cast<size_t>(*records)] = true;
    if (!entry->queued) {
      entry->queued = true;
      worker_->Submit([this, entry] { Work(entry); });
    }
  }
  // Woken by the work thread, and by the caller's own cancellation.
  const CancellationRegistration registration = ctx.cancellation().OnCancel([this] { absl::MutexLock lock(&mu_); });
  absl::MutexLock lock(&mu_);
  const auto done = [&] { return entry->finished >= wanted || ctx.cancellation().cancelled(); };
  mu_.AwaitWithDeadline(absl::Condition(&done), ctx.deadline());
  if (entry->finished >= wanted) return entry->outcome;
  absl::Status late = ctx.cancellation().status();
  if (late.ok()) late = absl::DeadlineExceededError("the collection is still being encoded; try again in a moment");
  return WithReason(std::move(late), "COLLECTION_BEING_ENCODED");
}

void Collections::Work(const EntryPtr& entry) {
  std::array<bool, kRecordKinds> records;
  {
    absl::MutexLock lock(&mu_);
    entry->queued = false;
    entry->begun = entry->asked;
    records = std::exchange(entry->want_records, {});
  }
  RequestContext::Identity identity;
  identity.tenant = entry->tenant;
  identity.request_id = "encode";
  const RequestContext ctx =
      RequestContext(std::move(identity), absl::InfiniteFuture(), stop_.token()).WithTimeout(options_.work_timeout);
  const absl::Status status = DoWork(ctx, entry, records);
  if (!status.ok() && !absl::IsNotFound(status)) {
    LogWarning(ctx, "a collection could not be encoded", {{"collection", entry->name.collection}, {"status", status}});
  }
  absl::MutexLock lock(&mu_);
  entry->finished = entry->begun;
  entry->outcome = status;
}

absl::Status Collections::DoWork(const RequestContext& ctx, const EntryPtr& entry,
                                 const std::array<bool, kRecordKinds>& records) {
  Following& following = entry->following;
  if (!following.known) Restore(*entry);
  if (absl::Status status = Follow(ctx, *entry); !status.ok()) {
    if (absl::IsNotFound(status)) Forget(entry);
    return status;
  }
  std::shared_ptr<const EncodedCollection> before;
  {
    absl::MutexLock lock(&mu_);
    before = entry->encoded;
  }
  std::shared_ptr<const EncodedCollection> encoded = before;
  if (before == nullptr || !(before->info == following.info)) {
    auto made = Encode(entry, before.get());
    if (!made.ok()) {
      absl::MutexLock lock(&mu_);
      entry->encoded = nullptr;
      entry->records = {};
      entry->memory_bytes = following.rows->MemoryBytes();
      return made.status();
    }
    encoded = *std::move(made);
  }
  // Clients go by clusters: they must be the same after a crash, too.
  if (following.rows->clusters() != following.saved_clusters)
    following.unsaved += kSaveAfterRows + following.rows->size();
  if (following.unsaved > std::max<size_t>(kSaveAfterRows, following.rows->size() / 10)) Save(*entry);
  {
    absl::MutexLock lock(&mu_);
    entry->encoded = encoded;
    entry->memory_bytes = encoded->MemoryBytes() + following.rows->RowBytes();
    for (auto& made : entry->records) {
      if (made != nullptr && made->sequence != encoded->sequence) made = nullptr;
      if (made != nullptr) entry->memory_bytes += made->MemoryBytes();
    }
  }
  for (const RecordKind kind : {RecordKind::kDocument, RecordKind::kVector}) {
    if (records[static_cast<size_t>(kind)]) ALCOVE_RETURN_IF_ERROR(MakeRecords(ctx, entry, *encoded, kind));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const EncodedCollection>> Collections::Encode(const EntryPtr& entry,
                                                                             const EncodedCollection* before) {
  Following& following = entry->following;
  RowTable& rows = *following.rows;
  ALCOVE_ASSIGN_OR_RETURN(const size_t blocks, rows.WantedBytes());
  ALCOVE_RETURN_IF_ERROR(MakeRoom(entry, blocks + rows.RowBytes()));
  return EncodeCollection(following.info, rows, before, *pool_);
}

absl::Status Collections::Follow(const RequestContext& ctx, Entry& entry) {
  Following& following = entry.following;
  for (int attempt = 0;; ++attempt) {
    ALCOVE_ASSIGN_OR_RETURN(const CollectionInfo info,
                            source_->Describe(ctx, entry.name.collection, entry.name.vector_name));
    ALCOVE_RETURN_IF_ERROR(CheckSupported(info));
    absl::Status status;
    if (following.known && SameLog(following.info, info)) {
      status = CatchUp(ctx, entry, info);
      if (status.ok()) return status;
    } else {
      status = absl::OutOfRangeError("not the log this copy was made from");
    }
    // OUT_OF_RANGE: the copy cannot be brought up to date, or a vector does not fit its scale. ABORTED: the collection
    // became another one meanwhile.
    if (absl::IsOutOfRange(status)) status = Rebuild(ctx, entry, info);
    if (status.ok()) return status;
    following.known = false;
    if ((!absl::IsOutOfRange(status) && !absl::IsAborted(status)) || attempt >= kMaxRebuilds) return status;
  }
}

absl::Status Collections::CatchUp(const RequestContext& ctx, Entry& entry, const CollectionInfo& info) {
  Following& following = entry.following;
  bool any = false;
  for (uint32_t shard = 0; shard < info.heads.size(); ++shard) {
    while (following.info.heads[shard] < info.heads[shard]) {
      ALCOVE_ASSIGN_OR_RETURN(ChangePage page,
                              source_->Changes(ctx, entry.name.collection, entry.name.vector_name, info, shard,
                                               {following.info.heads[shard], following.floors[shard]}));
      for (PointChange& change : page.changes) {
        if (change.payload_only) {
          following.rows->Touch(change.id);
        } else if (change.removed || change.vector.empty()) {
          following.rows->Remove(change.id);
        } else {
          if (change.vector.size() != info.dimension) return absl::AbortedError("a vector of another dimension");
          ALCOVE_RETURN_IF_ERROR(Prepare(info.metric, change.vector));
          // Scores of a longer vector could leave t / 2.
          if (Norm(change.vector) * following.rows->scale() > entry.name.set->max_row_scale * kRowLengthRoom) {
            return absl::OutOfRangeError("a longer vector than the scale was chosen for");
          }
          ALCOVE_RETURN_IF_ERROR(following.rows->Put(change.id, change.vector));
        }
        any = true;
      }
      following.unsaved += page.changes.size() + 1;
      following.info.heads[shard] = page.last_sequence;
      if (page.at_end) break;
      ALCOVE_RETURN_IF_ERROR(ctx.Check(*clock_));
    }
  }
  if (any) {
    absl::MutexLock lock(&mu_);
    ++stats_.updates;
  }
  return absl::OkStatus();
}

absl::Status Collections::Rebuild(const RequestContext& ctx, Entry& entry, const CollectionInfo& info) {
  Following& following = entry.following;
  // Everything is read twice: once for the scale, once for the rows. Vectors of a cosine collection have a known
  // length, so only their largest number matters; most fit the finest scale and a single reading.
  double scale = info.metric == Metric::kCosine ? entry.name.set->max_row_scale : 0;
  for (const bool measuring : {true, false}) {
    const bool load = !measuring || scale > 0;
    Extent extent;
    bool fits = true;
    following.known = false;
    following.info = info;
    ALCOVE_ASSIGN_OR_RETURN(following.rows, RowTable::Create(*entry.name.set, info.dimension,
                                                             {load ? scale : 1, info.identity, options_.cluster_rows}));
    following.floors.assign(info.heads.size(), 0);
    for (uint32_t shard = 0; shard < info.heads.size(); ++shard) {
      following.info.heads[shard] = 0;
      std::optional<int64_t> floor;
      while (true) {
        ALCOVE_ASSIGN_OR_RETURN(ChangePage page, source_->Changes(ctx, entry.name.collection, entry.name.vector_name,
                                                                  info, shard, {following.info.heads[shard], floor}));
        floor = page.tombstone_floor;
        following.floors[shard] = page.tombstone_floor;
        for (PointChange& change : page.changes) {
          if (change.payload_only) continue;
          if (change.removed || change.vector.empty()) {
            following.rows->Remove(change.id);
            continue;
          }
          if (change.vector.size() != info.dimension) return absl::AbortedError("a vector of another dimension");
          ALCOVE_RETURN_IF_ERROR(Prepare(info.metric, change.vector));
          extent.Add(change.vector);
          if (!load || !fits) continue;
          absl::Status status = following.rows->Put(change.id, change.vector);
          if (absl::IsOutOfRange(status)) {
            fits = false;
          } else if (!status.ok()) {
            return status;
          }
        }
        following.info.heads[shard] = page.last_sequence;
        if (page.at_end) break;
        ALCOVE_RETURN_IF_ERROR(ctx.Check(*clock_));
      }
    }
    if (load && fits) {
      following.known = true;
      following.unsaved = 1;
      Save(entry);
      absl::MutexLock lock(&mu_);
      entry.encoded = nullptr;  // none of its blocks can be taken over
      ++stats_.builds;
      return absl::OkStatus();
    }
    // A little room, so that the next slightly larger number does not mean reading everything again.
    scale = extent.Scale(entry.name.set->max_row_scale) * 0.97;
  }
  return absl::OutOfRangeError("the collection's vectors grew while they were read");
}

absl::StatusOr<std::vector<std::string>> Collections::Fetch(const RequestContext& ctx, const CollectionName& name,
                                                            const CollectionInfo& at, RecordKind kind,
                                                            absl::Span<const std::string> ids) {
  std::vector<std::string> out;
  if (kind == RecordKind::kDocument) {
    ALCOVE_ASSIGN_OR_RETURN(out, source_->Documents(ctx, name.collection, at, ids));
  } else {
    ALCOVE_ASSIGN_OR_RETURN(const auto vectors, source_->Vectors(ctx, name.collection, name.vector_name, at, ids));
    for (const std::vector<float>& vector : vectors) out.push_back(VectorRecord(vector));
  }
  if (out.size() != ids.size()) return absl::InternalError("records are missing");
  return out;
}

absl::Status Collections::MakeRecords(const RequestContext& ctx, const EntryPtr& entry,
                                      const EncodedCollection& encoded, RecordKind kind) {
  const auto slot = static_cast<size_t>(kind);
  Following& following = entry->following;
  const RowTable& rows = *following.rows;
  if (rows.size() == 0) {
    return WithReason(absl::FailedPreconditionError("the collection is empty"), "COLLECTION_EMPTY");
  }
  {
    absl::MutexLock lock(&mu_);
    if (entry->records[slot] != nullptr && entry->records[slot]->sequence == encoded.sequence) return absl::OkStatus();
  }
  auto& documents = following.documents[slot];
  std::vector<std::string> ids;
  std::vector<uint64_t> revisions;
  const auto fetch = [&]() -> absl::Status {
    if (ids.empty()) return absl::OkStatus();
    ALCOVE_ASSIGN_OR_RETURN(std::vector<std::string> texts, Fetch(ctx, entry->name, encoded.info, kind, ids));
    for (size_t i = 0; i < ids.size(); ++i) documents[ids[i]] = {revisions[i], std::move(texts[i])};
    ids.clear();
    revisions.clear();
    return ctx.Check(*clock_);
  };
  for (size_t r = 0; r < rows.slots(); ++r) {
    if (!rows.occupied(r)) continue;
    const auto it = documents.find(rows.id(r));
    if (it != documents.end() && it->second.revision == rows.revision(r)) continue;
    ids.push_back(rows.id(r));
    revisions.push_back(rows.revision(r));
    if (ids.size() == kDocumentBatch) ALCOVE_RETURN_IF_ERROR(fetch());
  }
  ALCOVE_RETURN_IF_ERROR(fetch());
  // Those of points that are gone would pile up.
  if (documents.size() > rows.size() + rows.size() / 4 + kDocumentBatch) {
    absl::flat_hash_map<std::string, Document> kept;
    for (size_t r = 0; r < rows.slots(); ++r) {
      if (rows.occupied(r)) kept[rows.id(r)] = std::move(documents[rows.id(r)]);
    }
    documents = std::move(kept);
  }
  size_t longest = 0, bytes = 0;
  for (size_t r = 0; r < rows.slots(); ++r) {
    if (!rows.occupied(r)) continue;
    const size_t size = documents[rows.id(r)].text.size();
    longest = std::max(longest, size);
    bytes += size;
  }
  const uint32_t limit =
      kind == RecordKind::kDocument ? options_.max_document_bytes : private_search::RecordLayout::kMaxRecordBytes;
  const uint32_t record_bytes = private_search::RecordBytesFor(longest, limit);
  const ParameterSet& set = *entry->name.set;
  ALCOVE_ASSIGN_OR_RETURN(const auto layout,
                          private_search::RecordLayout::Make(static_cast<uint32_t>(set.parameters.degree),
                                                             set.max_dimensions, record_bytes, rows.slots()));
  std::vector<std::string> records;
  for (size_t r = 0; r < rows.slots(); ++r) {
    records.push_back(
        private_search::MakeRecord(rows.occupied(r) ? documents[rows.id(r)].text : std::string(), record_bytes));
  }
  size_t others = bytes;
  {
    absl::MutexLock lock(&mu_);
    others += entry->memory_bytes;
  }
  ALCOVE_RETURN_IF_ERROR(
      MakeRoom(entry, others + layout.selectors() * layout.pieces() * layout.degree() * sizeof(uint64_t)));
  ALCOVE_ASSIGN_OR_RETURN(auto made, EncodeRecords(
                                         set, encoded.sequence, layout, encoded.info.identity,
                                         [&](uint64_t i) -> const std::string& { return records[i]; }, *pool_));
  absl::MutexLock lock(&mu_);
  entry->memory_bytes += bytes + made->MemoryBytes();
  entry->records[slot] = std::move(made);
  return absl::OkStatus();
}

absl::StatusOr<RowTable> Collections::TableFrom(const Entry& entry, const RowSnapshot& snapshot) const {
  if (snapshot.key != KeyOf(entry.tenant, entry.name)) return absl::DataLossError("it is about another collection");
  ALCOVE_ASSIGN_OR_RETURN(RowTable rows,
                          RowTable::Create(*entry.name.set, snapshot.info.dimension,
                                           {snapshot.scale, snapshot.info.identity, options_.cluster_rows}));
  if (snapshot.clusters != nullptr && snapshot.cluster_rows == options_.cluster_rows) {
    ALCOVE_RETURN_IF_ERROR(rows.RestoreClusters(snapshot.clusters, snapshot.clustered_rows));
  }
  for (const RowSnapshot::Row& row : snapshot.rows) {
    ALCOVE_RETURN_IF_ERROR(rows.Restore(std::string(row.id), row.numbers));
  }
  return rows;
}

void Collections::Restore(Entry& entry) {
  const std::string path = PathOf(entry);
  const auto bytes = ReadFile(path, kMaxSnapshotBytes);
  if (!bytes.ok()) return;
  auto snapshot = DecodeRowSnapshot(*bytes);
  absl::StatusOr<RowTable> rows = snapshot.ok() ? TableFrom(entry, *snapshot) : snapshot.status();
  if (!rows.ok()) {
    LogError("a row snapshot does not read back; the collection is encoded from its log",
             {{"path", path}, {"status", rows.status()}});
    (void)RemoveFile(path);
    return;
  }
  Following& following = entry.following;
  following.known = true;
  following.info = std::move(snapshot->info);
  following.floors = std::move(snapshot->floors);
  following.rows = *std::move(rows);
  following.unsaved = 0;
  following.saved_clusters = following.rows->clusters();
  absl::MutexLock lock(&mu_);
  ++stats_.restored;
}

void Collections::Save(Entry& entry) {
  Following& following = entry.following;
  if (!following.known || following.unsaved == 0) return;
  const RowTable& rows = *following.rows;
  RowSnapshot snapshot;
  snapshot.key = KeyOf(entry.tenant, entry.name);
  snapshot.info = following.info;
  snapshot.floors = following.floors;
  snapshot.scale = rows.scale();
  if (rows.clusters() != nullptr) {
    snapshot.clusters = rows.clusters();
    snapshot.cluster_rows = options_.cluster_rows;
    snapshot.clustered_rows = rows.clustered_rows();
  }
  snapshot.rows.reserve(rows.size());
  for (size_t r = 0; r < rows.slots(); ++r) {
    if (rows.occupied(r)) snapshot.rows.push_back({rows.id(r), rows.values(r)});
  }
  const absl::Status status = WriteFileAtomically(PathOf(entry), EncodeRowSnapshot(snapshot), 0600);
  if (!status.ok()) {
    LogWarning("a row snapshot was not written", {{"status", status}});
    return;
  }
  following.unsaved = 0;
  following.saved_clusters = rows.clusters();
}

void Collections::Forget(const EntryPtr& entry) {
  (void)RemoveFile(PathOf(*entry));
  absl::MutexLock lock(&mu_);
  const auto it = entries_.find(KeyOf(entry->tenant, entry->name));
  if (it != entries_.end() && it->second == entry) entries_.erase(it);
}

absl::Status Collections::MakeRoom(const EntryPtr& keep, size_t wanted) {
  if (wanted > options_.max_memory_bytes) {
    return WithReason(
        absl::ResourceExhaustedError(absl::StrCat(
            "the encoded collection takes ", FormatBytes(wanted), "; at most ", FormatBytes(options_.max_memory_bytes),
            " are set aside for encoded collections (database.max_memory_bytes)")),
        "COLLECTION_TOO_LARGE");
  }
  while (true) {
    EntryPtr oldest;
    {
      absl::MutexLock lock(&mu_);
      size_t total = wanted;
      for (const auto& [key, entry] : entries_) {
        if (entry == keep) continue;
        total += entry->memory_bytes;
        if (entry->memory_bytes == 0) continue;
        if (oldest == nullptr || entry->last_used < oldest->last_used) oldest = entry;
      }
      if (total <= options_.max_memory_bytes || oldest == nullptr) return absl::OkStatus();
      oldest->encoded = nullptr;
      oldest->records = {};
      oldest->memory_bytes = 0;
      ++stats_.evictions;
    }
    // On the work thread, so nobody else touches what it follows.
    Save(*oldest);
    oldest->following = Following();
  }
}

Collections::Stats Collections::stats() const {
  absl::MutexLock lock(&mu_);
  Stats out = stats_;
  for (const auto& [key, entry] : entries_) {
    if (entry->encoded == nullptr) continue;
    ++out.collections;
    out.rows += entry->encoded->rows;
    out.memory_bytes += entry->memory_bytes;
  }
  return out;
}

}  // namespace alcove::fhe_proxy
