#pragma once

// The coordinator's side of the log: cuts a batch of point operations by shard and appends it in one transaction.

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/store/collection_store.h"
#include "libs/store/log_store.h"
#include "services/vector-search/log/point_record.h"

namespace alcove::vector_search {

// Thread-safe; holds no state but the store. Blocking.
class LogWriter {
 public:
  explicit LogWriter(store::LogStore* log) : log_(log) {}

  // Appends the operations, in their order for each point; OK means durably committed in all shards concerned. The
  // result names each touched shard's last sequence, ascending by shard: what a reader passes as min_sequence.
  // INVALID_ARGUMENT names the first operation out of bounds (nothing is written). FAILED_PRECONDITION: the placement
  // is outdated; read the catalog and call again. An empty batch is OK and touches nothing.
  absl::StatusOr<store::AppendResult> Write(store::CollectionId collection, const store::Placement& placement,
                                            absl::Span<const PointOperation> operations,
                                            absl::string_view idempotency_key = {});

 private:
  store::LogStore* const log_;
};

}  // namespace alcove::vector_search
