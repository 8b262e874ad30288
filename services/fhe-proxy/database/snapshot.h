// One collection's rows as a file (docs/formats/private_search_snapshot.md), so that a restart need not read the whole
// log again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "services/fhe-proxy/database/clusters.h"
#include "services/fhe-proxy/database/collection_source.h"

namespace alcove::fhe_proxy {

struct RowSnapshot {
  struct Row {
    absl::string_view id;
    absl::Span<const int8_t> numbers;  // info.dimension of them
  };
  std::string key;              // what the file is about: tenant, collection, vector field and parameter set
  CollectionInfo info;          // heads are the sequences the rows contain
  std::vector<int64_t> floors;  // tombstone floor of each shard when it was first read
  double scale = 1;
  std::vector<Row> rows;  // views of what somebody else holds
  // Of a collection cut into clusters; null otherwise.
  std::shared_ptr<const Clusters> clusters;
  uint32_t cluster_rows = 0;    // the setting they were made under
  uint64_t clustered_rows = 0;  // rows when they were made
};

std::string EncodeRowSnapshot(const RowSnapshot& snapshot);

// The rows are views of `bytes`; ids are unique. DATA_LOSS when the bytes are not exactly one intact snapshot; memory
// stays within a small multiple of the input.
absl::StatusOr<RowSnapshot> DecodeRowSnapshot(absl::string_view bytes);

}  // namespace alcove::fhe_proxy
