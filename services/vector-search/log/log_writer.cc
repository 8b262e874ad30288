#include "services/vector-search/log/log_writer.h"

#include <string>
#include <utility>

#include "libs/common/status.h"
#include "services/vector-search/log/placement.h"

namespace alcove::vector_search {

absl::StatusOr<store::AppendResult> LogWriter::Write(store::CollectionId collection, const store::Placement& placement,
                                                     absl::Span<const PointOperation> operations,
                                                     absl::string_view idempotency_key) {
  if (operations.empty()) return store::AppendResult();
  // All data goes into one buffer; views are made when it no longer grows.
  struct Slot {
    int32_t shard;
    store::RecordKind kind;
    size_t begin;
    size_t end;
  };
  size_t bytes = 0;
  for (const PointOperation& op : operations) {
    bytes += op.payload.size() + 32;
    for (const DenseVector& v : op.dense) bytes += v.name.size() + v.values.size() * sizeof(float) + 8;
  }
  std::string data;
  data.reserve(bytes);
  std::vector<Slot> slots;
  slots.reserve(operations.size());
  for (const PointOperation& op : operations) {
    const size_t begin = data.size();
    ALCOVE_ASSIGN_OR_RETURN(const store::RecordKind kind, AppendOperation(op, &data));
    slots.push_back({ShardOf(op.id, placement.shard_count), kind, begin, data.size()});
  }

  std::vector<std::vector<store::LogRecord>> by_shard(placement.shard_count);
  for (size_t i = 0; i < slots.size(); ++i) {
    const Slot& slot = slots[i];
    by_shard[slot.shard].push_back(
        {slot.kind, operations[i].id, absl::string_view(data).substr(slot.begin, slot.end - slot.begin)});
  }
  store::AppendRequest request;
  request.collection_id = collection;
  request.epoch = placement.epoch;
  request.idempotency_key = std::string(idempotency_key);
  for (int32_t shard = 0; shard < placement.shard_count; ++shard) {
    if (!by_shard[shard].empty()) request.shards.push_back({shard, std::move(by_shard[shard])});
  }
  return log_->Append(request);
}

}  // namespace alcove::vector_search
