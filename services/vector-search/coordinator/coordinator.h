// Answers calls about whole collections: checks them, appends writes to the log, asks the shards and merges.
//
// Any process coordinates any call. Searches never block a thread: remote shards are asked first, those of this process
// are searched on the caller's thread meanwhile, and whoever answers last merges.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "libs/common/metrics.h"
#include "libs/common/request_context.h"
#include "libs/common/task_pool.h"
#include "libs/store/store.h"
#include "services/vector-search/catalog/catalog.h"
#include "services/vector-search/collection/point.h"
#include "services/vector-search/coordinator/query.h"
#include "services/vector-search/coordinator/sequence_token.h"
#include "services/vector-search/coordinator/shard_client.h"
#include "services/vector-search/coordinator/tenant_usage.h"
#include "services/vector-search/log/log_writer.h"

namespace alcove::vector_search {

// Which process answers for which shard number. Every number from 0 to size() - 1 has one.
using ClusterMap = std::vector<std::shared_ptr<ShardClient>>;

// What a tenant may store; 0 means no limit.
struct Quota {
  int64_t collections = 0;
  int64_t points = 0;
  int64_t bytes = 0;  // of memory, all shards together
};

struct CoordinatorOptions {
  int32_t default_shards = 1;                        // of a new collection that names none
  absl::Duration shard_timeout = absl::Seconds(10);  // for one shard's answer, within the call's own deadline
  absl::Duration write_wait = absl::Seconds(30);     // longest wait of a write that asks to be visible
  std::map<std::string, Quota> quotas;               // by tenant; "" holds for those not named
  TaskPool* pool = nullptr;      // where a search goes on after another process answered; null: where the answer came
  Registry* registry = nullptr;  // null: no metrics
  Clock* clock = nullptr;        // null: the real one
};

// A collection and the state of its shards.
struct CollectionView {
  CatalogEntryPtr entry;
  int64_t points = 0;
  int64_t memory_bytes = 0;
  int64_t disk_bytes = 0;        // of vectors in files
  std::string applied_sequence;  // token
};

struct CollectionList {
  std::vector<CollectionView> collections;
  std::string next_page_token;
};

struct ReshardingView {
  CatalogEntryPtr entry;
  bool active = false;
  store::ReshardProgress progress;
  int64_t applied = 0;  // by the new shards
};

struct WriteReply {
  uint32_t count = 0;
  std::string sequence;  // token
};

struct UpsertCall {
  std::string collection;
  std::vector<StoredPoint> points;
  bool wait = false;
  std::string idempotency_key;
};

struct DeleteCall {
  std::string collection;
  std::vector<std::string> ids;
  std::optional<Filter> filter;  // exactly one of ids and filter
  bool wait = false;
};

struct GetCall {
  std::string collection;
  GetQuery query;
  std::string min_sequence;
};

struct ScrollCall {
  std::string collection;
  Filter filter;
  uint32_t page_size = 0;
  std::string page_token;
  PayloadSelector payload;
  bool with_vectors = false;
  std::string min_sequence;
};

struct ScrollReply {
  std::vector<StoredPoint> points;
  std::string next_page_token;
};

struct CountCall {
  std::string collection;
  Filter filter;
  std::string min_sequence;
};

struct UpdateCall {
  std::string collection;
  std::vector<PointChange> changes;
  bool wait = false;
  std::string idempotency_key;
};

// Thread-safe. Methods with a `done` follow ShardClient's rule: it is called exactly once, perhaps before the method
// returns. "Blocking" methods wait for the store and belong on a thread that may wait.
class Coordinator {
 public:
  // Everything outlives the coordinator. `peers` are the other processes, which are told when the catalogue changes.
  Coordinator(CoordinatorOptions options, Catalog* catalog, store::Store* store, ClusterMap cluster,
              std::vector<std::shared_ptr<ShardClient>> peers = {});

  // Blocking. ALREADY_EXISTS, INVALID_ARGUMENT, UNIMPLEMENTED (a schema type that is not built).
  absl::StatusOr<CollectionView> CreateCollection(const RequestContext& ctx, const std::string& name,
                                                  const CollectionConfig& config, uint32_t shard_count);
  // Blocking. NOT_FOUND. FAILED_PRECONDITION: an alias leads to it.
  absl::Status DeleteCollection(const RequestContext& ctx, const std::string& name);
  // Blocking look-up, then asynchronous.
  void GetCollection(const RequestContext& ctx, const std::string& name, Done<CollectionView> done);
  void ListCollections(const RequestContext& ctx, uint32_t page_size, const std::string& page_token,
                       Done<CollectionList> done);

  // Blocking. See CollectionStore::SetAlias.
  absl::StatusOr<store::Alias> SetAlias(const RequestContext& ctx, const std::string& alias,
                                        const std::string& collection);
  absl::Status DeleteAlias(const RequestContext& ctx, const std::string& alias);
  absl::StatusOr<store::AliasPage> ListAliases(const RequestContext& ctx, uint32_t page_size,
                                               const std::string& page_token);

  // Blocking. The copying itself is done by every process's Resharder. INVALID_ARGUMENT: the number of shards it has,
  // or more than the cluster has. FAILED_PRECONDITION: one is under way.
  absl::StatusOr<ReshardingView> StartResharding(const RequestContext& ctx, const std::string& name,
                                                 uint32_t shard_count);
  absl::StatusOr<ReshardingView> GetResharding(const RequestContext& ctx, const std::string& name);
  // FAILED_PRECONDITION when none is under way (any more).
  absl::Status CancelResharding(const RequestContext& ctx, const std::string& name);
  // Blocking. One bounded step of a resharding that is under way: copies some records, or lets the new shards take over
  // when they are ready. True when there is nothing left to do.
  absl::StatusOr<bool> ContinueResharding(store::CollectionId collection);

  // Blocking until the log has it, asynchronous for `wait`. DEADLINE_EXCEEDED after a wait says that the write is
  // durable.
  void Upsert(const RequestContext& ctx, UpsertCall call, Done<WriteReply> done);
  // As Upsert, for points that exist.
  void Update(const RequestContext& ctx, UpdateCall call, Done<WriteReply> done);
  // A long upload in two halves, so that several messages can share a transaction. Blocking. CheckUpsert validates one
  // message; UpsertChecked stores the points of messages that passed.
  absl::Status CheckUpsert(const RequestContext& ctx, const std::string& collection,
                           absl::Span<const StoredPoint> points);
  absl::StatusOr<WriteReply> UpsertChecked(const RequestContext& ctx, const std::string& collection,
                                           absl::Span<const StoredPoint> points);
  // Blocking throughout. By filter the points are looked up first and deleted in pieces of 10,000.
  absl::StatusOr<WriteReply> Delete(const RequestContext& ctx, DeleteCall call);

  void Get(const RequestContext& ctx, GetCall call, Done<std::vector<StoredPoint>> done);
  void Scroll(const RequestContext& ctx, ScrollCall call, Done<ScrollReply> done);
  void Count(const RequestContext& ctx, CountCall call, Done<int64_t> done);
  void Search(const RequestContext& ctx, SearchCall call, Done<SearchReply> done);
  void SearchBatch(const RequestContext& ctx, std::vector<SearchCall> calls, Done<std::vector<SearchReply>> done);

  void Recommend(const RequestContext& ctx, RecommendCall call, Done<SearchReply> done);
  void Facet(const RequestContext& ctx, FacetCall call, Done<FacetReply> done);

  // RESOURCE_EXHAUSTED unless the tenant's quota has room for so many more collections and points. Blocking.
  absl::Status CheckRoom(const std::string& tenant, int64_t collections, int64_t points);
  // Every process that can be reached knows of a change of the catalogue when it returns. Blocking.
  void SpreadCatalog();

  const ClusterMap& cluster() const { return cluster_; }

 private:
  friend class QueryRun;

  absl::StatusOr<CatalogEntryPtr> Find(const RequestContext& ctx, const std::string& collection);
  // The shard's client, or UNAVAILABLE when no process of this cluster holds it.
  absl::StatusOr<ShardClient*> ClientOf(int32_t shard) const;
  // Goes on with what an answer has made possible, and which may be more than a loop should do: answers of other
  // processes come on one.
  void GoOn(absl::AnyInvocable<void()> work) const;
  Quota QuotaOf(const std::string& tenant) const;
  absl::StatusOr<Usage> MeasureUsage(const std::string& tenant);
  // How many of the points do not exist yet.
  absl::StatusOr<int64_t> CountNew(const RequestContext& ctx, const CatalogEntry& entry,
                                   absl::Span<const StoredPoint> points);
  RequestContext ShardContext(const RequestContext& ctx) const;
  void Describe(const RequestContext& ctx, CatalogEntryPtr entry, Done<CollectionView> done);
  // Blocking: appends, following the catalogue when the placement changed.
  absl::StatusOr<ShardSequences> Append(const RequestContext& ctx, CatalogEntryPtr& entry,
                                        absl::Span<const PointOperation> operations, absl::string_view idempotency_key);
  // Views of the points.
  static std::vector<PointOperation> UpsertOperations(absl::Span<const StoredPoint> points);
  // INVALID_ARGUMENT when a change merged into what its point holds now would pass the bounds of a payload: a shard
  // could not apply it any more. Of two merges into one point at the same moment, neither sees the other. Blocking;
  // needs the points' shards.
  absl::Status CheckMerges(const RequestContext& ctx, const CatalogEntryPtr& entry,
                           absl::Span<const PointChange> changes);
  // RESOURCE_EXHAUSTED when the points would take the tenant past its quota. Blocking when there is one.
  absl::Status CheckQuota(const RequestContext& ctx, const CatalogEntry& entry, absl::Span<const StoredPoint> points);
  void Announce(const RequestContext& ctx, const CatalogEntry& entry, const ShardSequences& sequences, bool wait,
                absl::AnyInvocable<void(absl::Status)> done);
  absl::StatusOr<std::vector<std::string>> MatchingIds(const RequestContext& ctx, const ShardTarget& target,
                                                       const Filter& filter, const std::string& after_id);
  // Which shards to ask, and what they must have applied: the placement's floors and what the token says. A token of a
  // placement not yet known here makes `entry` the one in force. Blocking only then.
  absl::StatusOr<std::vector<ShardTarget>> Targets(const RequestContext& ctx, CatalogEntryPtr& entry,
                                                   const std::string& min_sequence);
  static std::vector<ShardTarget> AllTargets(const CatalogEntry& entry);
  // The entry of a collection by its own name: an alias is FAILED_PRECONDITION, saying where it leads.
  absl::StatusOr<CatalogEntryPtr> FindByOwnName(const RequestContext& ctx, const std::string& name);
  // [shard] of the next placement: the sequence all its replicas that answer have applied, -1 when none does. Blocking.
  std::vector<store::Sequence> AppliedOfNext(const CatalogEntry& entry);
  absl::StatusOr<ReshardingView> ViewResharding(CatalogEntryPtr entry);
  // True when a shard said that the placement is of the past and the catalogue has a newer one by now. Blocking.
  bool PlacementMovedOn(const CatalogEntry& entry, const absl::Status& why);
  // A prepared call.
  void RunSearch(const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets, SearchCall call,
                 Done<SearchReply> done);
  // One query over all shards, checked: by id, with statistics if it needs them.
  void SearchOne(const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets, SearchCall call,
                 Done<SearchReply> done);
  // Gathers what the scores of a sparse query depend on, then searches.
  void SearchWithStatistics(const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets,
                            SearchCall call, Done<SearchReply> done);
  // The targets' places, those of other processes first.
  std::vector<size_t> RemoteFirst(const std::vector<ShardTarget>& targets) const;
  // Points by id wherever they are; `targets` are all shards. With `allow_partial` those of shards that do not answer
  // are left out.
  void Fetch(const RequestContext& ctx, CatalogEntryPtr entry, const std::vector<ShardTarget>& targets, GetQuery query,
             bool allow_partial, Done<std::vector<StoredPoint>> done);
  void Write(const RequestContext& ctx, CatalogEntryPtr entry, absl::Span<const PointOperation> operations,
             uint32_t count, bool wait, absl::string_view idempotency_key, Done<WriteReply> done);
  void SearchById(const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets, SearchCall call,
                  Done<SearchReply> done);
  void FanOut(const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets, SearchCall call,
              bool again, Done<SearchReply> done);

  const CoordinatorOptions options_;
  Catalog* const catalog_;
  store::Store* const store_;
  const ClusterMap cluster_;
  const std::vector<std::shared_ptr<ShardClient>> peers_;
  LogWriter writer_;
  Clock* const clock_;
  TenantUsage usage_;
  Histogram* append_seconds_ = nullptr;
  Histogram* search_seconds_ = nullptr;
  Counter* upserted_ = nullptr;
  Counter* deleted_ = nullptr;
  Counter* partial_ = nullptr;
};

// The tenant whose data a call may touch; "default" when the caller names none.
std::string TenantOf(const RequestContext& ctx);

}  // namespace alcove::vector_search
