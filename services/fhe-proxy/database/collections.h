// Encoded copies of collections that follow their logs: made on first use, brought up to date when the collection has
// changed, kept within a memory budget, found again after a restart.
//
// A copy belongs to one tenant, collection, vector field and parameter set. It is read from the log once and then
// changed block by block. When the budget is full, the copies not used for longest are put away (their rows stay on
// disk as a snapshot); searches under way keep theirs until they end. All reading and encoding happens on one thread of
// this object, so that a client's deadline never leaves a copy half made: a caller only waits.
//
// Thread safe.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include "libs/common/clock.h"
#include "libs/common/request_context.h"
#include "libs/common/task_pool.h"
#include "services/fhe-proxy/database/collection_source.h"
#include "services/fhe-proxy/database/encoded.h"
#include "services/fhe-proxy/database/snapshot.h"

namespace alcove::fhe_proxy {

struct CollectionName {
  std::string collection;
  std::string vector_name;
  const ParameterSet* set = nullptr;
};

// What a private lookup fetches of a row.
enum class RecordKind : uint8_t {
  kDocument = 0,  // its text, or its payload as JSON
  kVector = 1,    // its vector, to score it again: an f32 unit, then a little-endian i16 a number
};
inline constexpr size_t kRecordKinds = 2;

class Collections {
 public:
  struct Options {
    std::string folder;                               // of snapshots; made when missing
    size_t max_memory_bytes = size_t{4} << 30;        // of encoded blocks, rows and documents together
    uint32_t cluster_rows = 0;                        // about so many rows a cluster of a large collection; 0: none
    uint32_t max_document_bytes = 1024;               // of a private lookup's record; longer documents are cut
    absl::Duration work_timeout = absl::Minutes(30);  // of making one copy
  };
  struct Stats {
    size_t collections = 0;  // encoded in memory
    uint64_t rows = 0;
    size_t memory_bytes = 0;
    uint64_t builds = 0;     // copies made from the beginning of a log
    uint64_t updates = 0;    // copies brought up to date
    uint64_t evictions = 0;  // put away for others
    uint64_t restored = 0;   // taken from a snapshot
  };

  // `source`, `pool` and `clock` outlive the object.
  static absl::StatusOr<std::unique_ptr<Collections>> Open(Options options, CollectionSource* source, TaskPool* pool,
                                                           const Clock* clock);
  // Ends the work under way and writes the snapshots that are out of date.
  ~Collections();

  // The copy as the collection is now. Errors: the source's; FAILED_PRECONDITION (METRIC_NOT_SUPPORTED) for Euclidean
  // distances; INVALID_ARGUMENT (DIMENSION_NOT_SUPPORTED) beyond 2,048 numbers; RESOURCE_EXHAUSTED
  // (COLLECTION_TOO_LARGE) when it alone exceeds the budget; DEADLINE_EXCEEDED or CANCELLED when the caller cannot wait
  // for it, while the work goes on.
  absl::StatusOr<std::shared_ptr<const EncodedCollection>> Current(const RequestContext& ctx,
                                                                   const CollectionName& name);
  // The copy in memory whatever the collection is now, or null.
  std::shared_ptr<const EncodedCollection> Loaded(const RequestContext& ctx, const CollectionName& name);

  // Documents of `of`, which Current or Loaded gave. FAILED_PRECONDITION (COLLECTION_CHANGED) when the copy is another
  // one by now; otherwise as Current.
  absl::StatusOr<std::shared_ptr<const EncodedRecords>> Records(const RequestContext& ctx, const CollectionName& name,
                                                                const EncodedCollection& of, RecordKind kind);

  Stats stats() const;

 private:
  struct Document {
    uint64_t revision = 0;
    std::string text;
  };
  // What the work thread alone touches.
  struct Following {
    bool known = false;
    CollectionInfo info;  // heads: applied
    std::vector<int64_t> floors;
    std::optional<RowTable> rows;                    // once it was read
    size_t unsaved = 0;                              // changes the snapshot on disk lacks
    std::shared_ptr<const Clusters> saved_clusters;  // those it has
    std::array<absl::flat_hash_map<std::string, Document>, kRecordKinds> documents;
  };
  struct Entry {
    std::string tenant;
    CollectionName name;
    absl::Time last_used;
    uint64_t asked = 0;  // refreshes wanted
    uint64_t begun = 0;  // value of `asked` when the newest refresh began
    uint64_t finished = 0;
    std::array<bool, kRecordKinds> want_records{};
    bool queued = false;
    absl::Status outcome;  // of the refresh that finished
    std::shared_ptr<const EncodedCollection> encoded;
    std::array<std::shared_ptr<const EncodedRecords>, kRecordKinds> records;
    size_t memory_bytes = 0;
    Following following;  // not guarded: the work thread's
  };
  using EntryPtr = std::shared_ptr<Entry>;

  Collections(Options options, CollectionSource* source, TaskPool* pool, const Clock* clock);
  EntryPtr Find(const RequestContext& ctx, const CollectionName& name, bool make) ABSL_LOCKS_EXCLUDED(mu_);
  // Has the work thread look at the collection and waits for what it finds.
  absl::Status Refresh(const RequestContext& ctx, const EntryPtr& entry, std::optional<RecordKind> records)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Work(const EntryPtr& entry);
  absl::Status DoWork(const RequestContext& ctx, const EntryPtr& entry, const std::array<bool, kRecordKinds>& records);
  absl::StatusOr<std::shared_ptr<const EncodedCollection>> Encode(const EntryPtr& entry,
                                                                  const EncodedCollection* before);
  absl::Status Follow(const RequestContext& ctx, Entry& entry);
  absl::Status Rebuild(const RequestContext& ctx, Entry& entry, const CollectionInfo& info);
  absl::Status CatchUp(const RequestContext& ctx, Entry& entry, const CollectionInfo& info);
  absl::Status MakeRecords(const RequestContext& ctx, const EntryPtr& entry, const EncodedCollection& encoded,
                           RecordKind kind);
  // Contents of the records of `ids`.
  absl::StatusOr<std::vector<std::string>> Fetch(const RequestContext& ctx, const CollectionName& name,
                                                 const CollectionInfo& at, RecordKind kind,
                                                 absl::Span<const std::string> ids);
  void Restore(Entry& entry);
  absl::StatusOr<RowTable> TableFrom(const Entry& entry, const RowSnapshot& snapshot) const;
  void Save(Entry& entry);
  void Forget(const EntryPtr& entry);
  absl::Status MakeRoom(const EntryPtr& keep, size_t wanted);
  std::string PathOf(const Entry& entry) const;
  static std::string KeyOf(const std::string& tenant, const CollectionName& name);

  const Options options_;
  CollectionSource* const source_;
  TaskPool* const pool_;
  const Clock* const clock_;
  CancellationSource stop_;

  mutable absl::Mutex mu_;
  std::map<std::string, EntryPtr> entries_ ABSL_GUARDED_BY(mu_);
  Stats stats_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<TaskPool> worker_;  // one thread
};

}  // namespace alcove::fhe_proxy
