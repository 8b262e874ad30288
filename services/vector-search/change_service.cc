#include "services/vector-search/change_service.h"

#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/vector-search/convert.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/handler.h"
#include "services/vector-search/log/point_record.h"

namespace alcove::vector_search {
namespace {

constexpr int64_t kPageBytes = 4 << 20;

std::string IdentityOf(const CatalogEntry& entry) {
  return absl::StrCat(entry.Identity(), "/", entry.id, "/", entry.placement.epoch, "/", entry.placement.shard_count);
}

absl::StatusOr<pb::ReadChangesResponse> ReadPage(store::LogStore& log, const CatalogEntry& entry,
                                                 const pb::ReadChangesRequest& request) {
  if (request.shard() >= static_cast<uint32_t>(entry.placement.shard_count)) {
    return InvalidField("shard", absl::StrCat("must be below ", entry.placement.shard_count));
  }
  if (request.after_sequence() < 0) return InvalidField("after_sequence", "must not be negative");
  store::ReadPosition position;
  position.after_sequence = request.after_sequence();
  if (request.has_tombstone_floor()) position.tombstone_floor = request.tombstone_floor();
  const store::ShardAddress address{entry.id, entry.placement.epoch, static_cast<int32_t>(request.shard())};
  ALCOVE_ASSIGN_OR_RETURN(const store::LogPage page, log.ReadFrom(address, position, kPageBytes));
  pb::ReadChangesResponse out;
  out.set_last_sequence(request.after_sequence());
  for (const store::StoredRecord& record : page.records()) {
    ALCOVE_ASSIGN_OR_RETURN(const PointOperation operation, DecodeOperation(record.kind, record.key, record.data));
    pb::Change& change = *out.add_changes();
    change.set_id(std::string(operation.id));
    out.set_last_sequence(record.sequence);
    switch (operation.kind) {
      case OperationKind::kDelete: change.set_kind(pb::CHANGE_KIND_DELETE); break;
      case OperationKind::kSetPayload: change.set_kind(pb::CHANGE_KIND_PAYLOAD); break;
      case OperationKind::kSetVectors: change.set_kind(pb::CHANGE_KIND_VECTOR); break;
      case OperationKind::kUpsert:
        change.set_kind(pb::CHANGE_KIND_UPSERT);
        for (const DenseVector& vector : operation.dense) {
          if (vector.name != request.vector_name()) continue;
          change.mutable_vector()->Resize(static_cast<int>(vector.values.size()), 0);
          vector.values.CopyTo(change.mutable_vector()->mutable_data());
        }
        break;
    }
  }
  out.set_tombstone_floor(page.head().tombstone_floor);
  out.set_at_end(page.at_end());
  if (page.at_end()) out.set_last_sequence(page.head().head_sequence);
  return out;
}

}  // namespace

ChangeFace::ChangeFace(Catalog& catalog, store::LogStore& log, WorkQueue& reads, const rpc::MethodOptions& options)
    : Service(pb::ChangeService::service_full_name()),
      catalog_(catalog),
      log_(log),
      reads_(reads),
      describe_log_(options, pb::ChangeService::service_full_name(), "DescribeLog"),
      read_changes_(options, pb::ChangeService::service_full_name(), "ReadChanges") {
  Unary("DescribeLog", &ChangeFace::DescribeLog);
  Unary("ReadChanges", &ChangeFace::ReadChanges);
}

absl::StatusOr<CatalogEntryPtr> ChangeFace::Find(const RequestContext& ctx, const std::string& collection,
                                                 const std::string& vector_name) {
  ALCOVE_ASSIGN_OR_RETURN(CatalogEntryPtr entry, catalog_.Find(TenantOf(ctx), collection));
  if (!entry->config.vectors.contains(vector_name)) {
    return NotFound("vector field", vector_name.empty() ? "(default)" : vector_name);
  }
  return entry;
}

void ChangeFace::DescribeLog(rpc::UnaryCall* call, const pb::DescribeLogRequest* request,
                             pb::DescribeLogResponse* response) {
  return Answer<pb::DescribeLogResponse>(
      describe_log_, call, reads_,
      [=, this](const RequestContext& ctx, Done<pb::DescribeLogResponse> done) {
        const auto found = Find(ctx, request->collection(), request->vector_name());
        if (!found.ok()) return done(found.status());
        const CatalogEntry& entry = **found;
        const auto heads = log_.Heads(entry.id);
        if (!heads.ok()) return done(heads.status());
        pb::DescribeLogResponse out;
        out.set_identity(IdentityOf(entry));
        out.set_epoch(entry.placement.epoch);
        const VectorField& field = entry.config.vectors.at(request->vector_name());
        out.mutable_config()->set_dimension(field.dimension);
        out.mutable_config()->set_metric(static_cast<pb::Metric>(field.metric));
        std::vector<int64_t> by_shard(static_cast<size_t>(entry.placement.shard_count));
        for (const store::ShardHead& head : *heads) {
          if (head.address.epoch != entry.placement.epoch) continue;
          by_shard[static_cast<size_t>(head.address.shard)] = head.head_sequence;
        }
        for (const int64_t head : by_shard) out.add_heads(head);
        done(std::move(out));
      },
      [=](pb::DescribeLogResponse out) { *response = std::move(out); });
}

void ChangeFace::ReadChanges(rpc::UnaryCall* call, const pb::ReadChangesRequest* request,
                             pb::ReadChangesResponse* response) {
  return Answer<pb::ReadChangesResponse>(
      read_changes_, call, reads_,
      [=, this](const RequestContext& ctx, Done<pb::ReadChangesResponse> done) {
        const auto found = Find(ctx, request->collection(), request->vector_name());
        if (!found.ok()) return done(found.status());
        if (IdentityOf(**found) != request->identity()) {
          return done(absl::AbortedError("the collection is not the one described; describe it again"));
        }
        done(ReadPage(log_, **found, *request));
      },
      [=](pb::ReadChangesResponse out) { *response = std::move(out); });
}

}  // namespace alcove::vector_search
