// The snapshot format of docs/formats/ann_snapshot.md. Reading trusts nothing: sizes are checked before memory is
// taken, links before they can be followed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/ann/index.h"
#include "libs/ann/node_store.h"
#include "libs/ann/row_table.h"

namespace alcove::ann {

class Graph;

struct SnapshotHeader {
  enum Kind : uint8_t { kFlat = 1, kHnsw = 2 };
  Kind kind = kFlat;
  StoreLayout layout;
  uint64_t max_nodes = 0;
  uint64_t nodes = 0;  // filled by SaveSnapshot
  // HNSW only.
  uint32_t m = 0;
  uint32_t ef_construction = 0;
  bool deterministic = false;
  uint32_t entry_node = kNoNode;
  uint32_t entry_level = 0;
};

// Reads exactly what is asked for, or fails with DATA_LOSS.
class SnapshotReader {
 public:
  // `file`: of which the source is the content from the start, so that parts of it can be mapped; -1: none.
  SnapshotReader(ByteSource& source, size_t max_bytes, int file = -1)
      : source_(source), max_bytes_(max_bytes), file_(file) {}
  absl::Status ReadExactly(void* out, size_t size);
  size_t offset() const { return offset_; }  // bytes read so far
  int file() const { return file_; }
  // What the loaded index may take.
  size_t max_bytes() const { return max_bytes_; }

 private:
  ByteSource& source_;
  const size_t max_bytes_;
  const int file_;
  size_t offset_ = 0;
};

absl::StatusOr<std::unique_ptr<VectorIndex>> LoadFrom(SnapshotReader& reader, const LoadOptions& options);
absl::StatusOr<SnapshotHeader> ReadHeader(SnapshotReader& reader);

// `graph` is null for a flat index. The caller keeps writers out.
absl::Status SaveSnapshot(SnapshotHeader header, const NodeStore& store, const RowTable& rows, const Graph* graph,
                          ByteSink& sink);
// Into an empty index of the header's layout that no other thread sees yet.
absl::Status LoadSnapshot(const SnapshotHeader& header, NodeStore& store, RowTable& rows, Graph* graph,
                          SnapshotReader& reader);

absl::StatusOr<std::unique_ptr<VectorIndex>> LoadFlatIndex(const SnapshotHeader& header, const LoadOptions& options,
                                                           SnapshotReader& reader);
absl::StatusOr<std::unique_ptr<VectorIndex>> LoadHnswIndex(const SnapshotHeader& header, const LoadOptions& options,
                                                           SnapshotReader& reader);

}  // namespace alcove::ann
