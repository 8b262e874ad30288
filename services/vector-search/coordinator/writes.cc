// Upserts and deletes: validated, cut by shard, appended in one transaction, announced.
#include <algorithm>
#include <map>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/log.h"
#include "libs/common/status.h"
#include "services/vector-search/coordinator/await.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/coordinator/validate.h"

namespace alcove::vector_search {
namespace {

constexpr uint32_t kDeletePage = 10'000;
// Placements a write follows when they move on under it, one resharding after another.
constexpr int kMaxPlacementMoves = 8;

// The operation views the vectors; components are copied. A sparse vector without components is none.
void AddVectors(const std::vector<NamedVector>& vectors, const std::vector<NamedSparse>& sparse,
                PointOperation& operation) {
  for (const NamedVector& vector : vectors) {
    operation.dense.push_back({vector.name, FloatBytes(absl::MakeConstSpan(vector.values))});
  }
  for (const NamedSparse& vector : sparse) {
    operation.sparse.push_back({vector.name, vector.components.indices, vector.components.values});
  }
}

absl::Status VisibleLater(absl::Status why) {
  return Annotate(std::move(why), "the write is durable, but waiting until it can be found failed");
}

}  // namespace

absl::StatusOr<ShardSequences> Coordinator::Append(const RequestContext& ctx, CatalogEntryPtr& entry,
                                                   absl::Span<const PointOperation> operations,
                                                   absl::string_view idempotency_key) {
  const int64_t begin = clock_->MonotonicNanos();
  for (int attempt = 0;; ++attempt) {
    absl::StatusOr<store::AppendResult> result =
        writer_.Write(entry->id, entry->placement, operations, idempotency_key);
    if (result.ok()) {
      if (append_seconds_ != nullptr) append_seconds_->Observe(absl::Nanoseconds(clock_->MonotonicNanos() - begin));
      ShardSequences sequences;
      for (const store::ShardSequence& shard : result->shards) sequences.emplace_back(shard.shard, shard.last_sequence);
      std::sort(sequences.begin(), sequences.end());
      return sequences;
    }
    if (absl::IsNotFound(result.status())) {
      (void)catalog_->Refresh();
      return NotFound("collection", entry->name);
    }
    if (attempt == kMaxPlacementMoves || !absl::IsFailedPrecondition(result.status())) return result.status();
    // The placement may have moved on; unless it has, the refusal stands (a reused idempotency key).
    ALCOVE_RETURN_IF_ERROR(catalog_->Refresh());
    ALCOVE_ASSIGN_OR_RETURN(CatalogEntryPtr fresh, Find(ctx, entry->name));
    if (fresh->id != entry->id) return NotFound("collection", entry->name);
    if (fresh->placement == entry->placement) return result.status();
    entry = std::move(fresh);
  }
}

void Coordinator::Announce(const RequestContext& ctx, const CatalogEntry& entry, const ShardSequences& sequences,
                           bool wait, absl::AnyInvocable<void(absl::Status)> done) {
  std::map<ShardClient*, std::vector<ShardTarget>> by_process;
  absl::Status missing;
  for (const auto& [shard, sequence] : sequences) {
    const auto client = ClientOf(shard);
    if (client.ok()) {
      by_process[*client].push_back({entry.id, shard, sequence, entry.placement.epoch});
    } else {
      missing = client.status();
    }
  }
  if (by_process.empty() || (wait && !missing.ok())) return done(missing);
  const RequestContext wait_ctx = ctx.WithTimeout(options_.write_wait, *clock_);
  if (!wait) {
    // A hint that is lost costs a poll interval; the caller need not know. It may also outlive the call.
    const RequestContext hint_ctx = RequestContext().WithTimeout(options_.shard_timeout, *clock_);
    for (auto& [client, targets] : by_process) {
      client->Notify(hint_ctx, std::move(targets), false, [](absl::Status) {});
    }
    return done(absl::OkStatus());
  }
  auto gather = Gather<bool>::Make(by_process.size(), [done = std::move(done)](auto results) mutable {
    absl::Status status;
    for (const auto& result : results) status.Update(result.status());
    done(std::move(status));
  });
  size_t slot = 0;
  for (auto& [client, targets] : by_process) {
    client->Notify(wait_ctx, std::move(targets), true, [done = gather->Slot(slot++)](absl::Status status) mutable {
      if (status.ok()) {
        done(true);
      } else {
        done(std::move(status));
      }
    });
  }
}

void Coordinator::Write(const RequestContext& ctx, CatalogEntryPtr entry, absl::Span<const PointOperation> operations,
                        uint32_t count, bool wait, absl::string_view idempotency_key, Done<WriteReply> done) {
  if (absl::Status status = ctx.Check(*clock_); !status.ok()) return done(status);
  const absl::StatusOr<ShardSequences> sequences = Append(ctx, entry, operations, idempotency_key);
  if (!sequences.ok()) return done(sequences.status());
  if (upserted_ != nullptr) upserted_->Increment(count);
  WriteReply reply{count, FormatSequenceToken(entry->placement.epoch, *sequences)};
  Announce(ctx, *entry, *sequences, wait,
           [reply = std::move(reply), done = std::move(done)](absl::Status status) mutable {
             if (!status.ok()) return done(VisibleLater(std::move(status)));
             done(std::move(reply));
           });
}

std::vector<PointOperation> Coordinator::UpsertOperations(absl::Span<const StoredPoint> points) {
  std::vector<PointOperation> operations(points.size());
  for (size_t i = 0; i < points.size(); ++i) {
    const StoredPoint& point = points[i];
    operations[i].kind = OperationKind::kUpsert;
    operations[i].id = point.id;
    operations[i].payload = point.payload;
    AddVectors(point.vectors, point.sparse, operations[i]);
  }
  return operations;
}

absl::Status Coordinator::CheckUpsert(const RequestContext& ctx, const std::string& collection,
                                      absl::Span<const StoredPoint> points) {
  ALCOVE_ASSIGN_OR_RETURN(const CatalogEntryPtr entry, Find(ctx, collection));
  return ValidatePoints(entry->config, points);
}

absl::StatusOr<WriteReply> Coordinator::UpsertChecked(const RequestContext& ctx, const std::string& collection,
                                                      absl::Span<const StoredPoint> points) {
  ALCOVE_ASSIGN_OR_RETURN(CatalogEntryPtr entry, Find(ctx, collection));
  ALCOVE_RETURN_IF_ERROR(CheckQuota(ctx, *entry, points));
  ALCOVE_ASSIGN_OR_RETURN(const ShardSequences sequences, Append(ctx, entry, UpsertOperations(points), {}));
  if (upserted_ != nullptr) upserted_->Increment(points.size());
  WriteReply reply{static_cast<uint32_t>(points.size()), FormatSequenceToken(entry->placement.epoch, sequences)};
  Announce(ctx, *entry, sequences, false, [](absl::Status) {});
  return reply;
}

void Coordinator::Upsert(const RequestContext& ctx, UpsertCall call, Done<WriteReply> done) {
  absl::StatusOr<CatalogEntryPtr> entry = Find(ctx, call.collection);
  if (!entry.ok()) return done(entry.status());
  if (call.idempotency_key.size() > 128) {
    return done(InvalidField("idempotency_key", "must be at most 128 bytes"));
  }
  if (absl::Status status = ValidatePoints((*entry)->config, call.points); !status.ok()) return done(status);

  if (absl::Status status = CheckQuota(ctx, **entry, call.points); !status.ok()) return done(status);
  const auto count = static_cast<uint32_t>(call.points.size());
  Write(ctx, *std::move(entry), UpsertOperations(call.points), count, call.wait, call.idempotency_key, std::move(done));
}

absl::Status Coordinator::CheckMerges(const RequestContext& ctx, const CatalogEntryPtr& entry,
                                      absl::Span<const PointChange> changes) {
  GetQuery query;
  for (const PointChange& change : changes) {
    if (change.payload && !change.replace_payload) query.ids.push_back(change.id);
  }
  if (query.ids.empty()) return absl::OkStatus();
  std::vector<ShardTarget> targets = AllTargets(*entry);
  ALCOVE_ASSIGN_OR_RETURN(const std::vector<store::ShardHead> heads, store_->log().Heads(entry->id));
  for (const store::ShardHead& head : heads) {
    if (head.address.epoch != entry->placement.epoch) continue;
    store::Sequence& wanted = targets[static_cast<size_t>(head.address.shard)].min_sequence;
    wanted = std::max(wanted, head.head_sequence);
  }
  ALCOVE_ASSIGN_OR_RETURN(std::vector<StoredPoint> points,
                          Await<std::vector<StoredPoint>>([&](Done<std::vector<StoredPoint>> done) {
                            Fetch(ctx, entry, targets, std::move(query), /*allow_partial=*/false, std::move(done));
                          }));
  std::map<absl::string_view, std::string> payloads;
  for (StoredPoint& point : points) payloads[point.id] = std::move(point.payload);
  for (size_t i = 0; i < changes.size(); ++i) {
    const auto at = payloads.find(changes[i].id);
    if (!changes[i].payload || at == payloads.end()) continue;
    if (changes[i].replace_payload) {
      at->second = *changes[i].payload;
      continue;
    }
    absl::StatusOr<std::string> merged = MergePayload(at->second, *changes[i].payload);
    if (!merged.ok()) {
      return InvalidField(absl::StrCat("updates[", i, "].payload"),
                          absl::StrCat("with what point \"", changes[i].id, "\" holds: ", merged.status().message()));
    }
    at->second = *std::move(merged);
  }
  return absl::OkStatus();
}

void Coordinator::Update(const RequestContext& ctx, UpdateCall call, Done<WriteReply> done) {
  absl::StatusOr<CatalogEntryPtr> entry = Find(ctx, call.collection);
  if (!entry.ok()) return done(entry.status());
  if (call.idempotency_key.size() > 128) {
    return done(InvalidField("idempotency_key", "must be at most 128 bytes"));
  }
  if (absl::Status status = ValidateUpdates((*entry)->config, call.changes); !status.ok()) return done(status);
  if (absl::Status status = CheckMerges(ctx, *entry, call.changes); !status.ok()) return done(status);

  std::vector<PointOperation> operations;
  operations.reserve(call.changes.size());
  for (PointChange& change : call.changes) {
    if (!change.vectors.empty() || !change.sparse.empty() || !change.remove_vectors.empty()) {
      PointOperation& operation = operations.emplace_back();
      operation.kind = OperationKind::kSetVectors;
      operation.id = change.id;
      AddVectors(change.vectors, change.sparse, operation);
      operation.removed.assign(change.remove_vectors.begin(), change.remove_vectors.end());
    }
    if (change.payload) {
      PointOperation& operation = operations.emplace_back();
      operation.kind = OperationKind::kSetPayload;
      operation.id = change.id;
      operation.payload_mode = change.replace_payload ? PayloadMode::kReplace : PayloadMode::kMerge;
      operation.payload = *change.payload;
    }
  }
  const auto count = static_cast<uint32_t>(call.changes.size());
  Write(ctx, *std::move(entry), operations, count, call.wait, call.idempotency_key, std::move(done));
}

absl::StatusOr<std::vector<std::string>> Coordinator::MatchingIds(const RequestContext& ctx, const ShardTarget& target,
                                                                  const Filter& filter, const std::string& after_id) {
  ALCOVE_ASSIGN_OR_RETURN(ShardClient* const client, ClientOf(target.shard));
  auto query = std::make_shared<ScrollQuery>();
  query->after_id = after_id;
  query->limit = kDeletePage;
  query->filter = filter;
  query->payload.none = true;
  ALCOVE_ASSIGN_OR_RETURN(std::vector<StoredPoint> points,
                          Await<std::vector<StoredPoint>>([&](Done<std::vector<StoredPoint>> done) {
                            client->Scroll(ShardContext(ctx), target, std::move(query), std::move(done));
                          }));
  std::vector<std::string> ids;
  ids.reserve(points.size());
  for (StoredPoint& point : points) ids.push_back(std::move(point.id));
  return ids;
}

absl::StatusOr<WriteReply> Coordinator::Delete(const RequestContext& ctx, DeleteCall call) {
  ALCOVE_ASSIGN_OR_RETURN(CatalogEntryPtr entry, Find(ctx, call.collection));
  if (call.ids.empty() == !call.filter.has_value()) {
    return InvalidField("ids", "exactly one of `ids` and `filter` must be given");
  }
  if (call.filter) {
    // An empty filter would empty the collection; whoever wants that deletes the collection.
    if (call.filter->empty()) return InvalidField("filter", "must have at least one condition");
    ALCOVE_RETURN_IF_ERROR(PlanFilter(entry->config, FieldList(entry->config), *call.filter).status());
  } else {
    ALCOVE_RETURN_IF_ERROR(ValidateIds("ids", call.ids, 1, kMaxDeleteIds));
  }

  WriteReply reply;
  std::map<int32_t, store::Sequence> last;
  const auto remove = [&](const std::vector<std::string>& ids) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(ctx.Check(*clock_));
    std::vector<PointOperation> operations(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      operations[i].kind = OperationKind::kDelete;
      operations[i].id = ids[i];
    }
    const int64_t epoch = entry->placement.epoch;
    ALCOVE_ASSIGN_OR_RETURN(const ShardSequences sequences, Append(ctx, entry, operations, {}));
    // What went to the former placement is below the floors of the new one.
    if (entry->placement.epoch != epoch) last.clear();
    for (const auto& [shard, sequence] : sequences) last[shard] = sequence;
    reply.count += static_cast<uint32_t>(ids.size());
    if (deleted_ != nullptr) deleted_->Increment(ids.size());
    return absl::OkStatus();
  };
  if (call.filter) {
    // A resharding in the middle moves points between shards looked at and not yet looked at: all are looked at again.
    int64_t epoch = 0;
    while (epoch != entry->placement.epoch) {
      epoch = entry->placement.epoch;
      for (const ShardTarget& target : AllTargets(*entry)) {
        std::string after;
        bool more = true;
        while (more && epoch == entry->placement.epoch) {
          ALCOVE_ASSIGN_OR_RETURN(const std::vector<std::string> ids, MatchingIds(ctx, target, *call.filter, after));
          if (ids.empty()) break;
          ALCOVE_RETURN_IF_ERROR(remove(ids));
          after = ids.back();
          more = ids.size() == kDeletePage;
        }
      }
    }
  } else {
    ALCOVE_RETURN_IF_ERROR(remove(call.ids));
  }
  const ShardSequences sequences(last.begin(), last.end());
  reply.sequence = FormatSequenceToken(entry->placement.epoch, sequences);
  const auto visible = Await<bool>([&](Done<bool> done) {
    Announce(ctx, *entry, sequences, call.wait, [done = std::move(done)](absl::Status status) mutable {
      if (status.ok()) {
        done(true);
      } else {
        done(std::move(status));
      }
    });
  });
  if (!visible.ok()) return VisibleLater(visible.status());
  return reply;
}

}  // namespace alcove::vector_search
