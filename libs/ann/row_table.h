#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "libs/ann/epoch.h"
#include "libs/ann/growable_array.h"
#include "libs/ann/node_store.h"
#include "libs/common/memory.h"

namespace alcove::ann {

// Which node holds which row, and which nodes are free.
//
// A node is live while its row maps to it. Update publishes a row's new node with one store, so a search sees the old
// vector or the new one. Nodes that are no longer live stay readable until Release() and a grace period of the epoch
// domain; then Allocate() hands them out again.
//
// Thread safety: all methods. Readers that follow node numbers hold an EpochDomain::Pin.
class RowTable {
 public:
  RowTable() = default;
  absl::Status Reserve(size_t max_nodes);

  // A node for `row`, with memory behind it: `grow` is called, under a lock, with the number of nodes wanted so far.
  absl::StatusOr<NodeId> Allocate(RowId row, EpochDomain& epochs, absl::FunctionRef<absl::Status(size_t)> grow);
  // Nodes that no link leads to any more, or (Allocate's) that were never published.
  void Release(std::vector<NodeId> nodes, EpochDomain& epochs);

  // kNoNode when the row is absent.
  NodeId NodeOf(RowId row) const {
    if (row >= rows_.load(std::memory_order_acquire)) return kNoNode;
    return node_of_row_.as<std::atomic<uint32_t>>()[row].load(std::memory_order_acquire) - 1;
  }
  RowId RowOf(NodeId node) const { return row_of_node_.as<uint32_t>()[node]; }
  void PrefetchRowOf(NodeId node) const { PrefetchForRead(row_of_node_.as<uint32_t>() + node); }
  void PrefetchNodeOf(RowId row) const { PrefetchForRead(node_of_row_.as<uint32_t>() + row); }
  bool IsLive(NodeId node) const { return NodeOf(RowOf(node)) == node; }

  // Row -> node becomes `node` if it is `expected` (kNoNode: absent). Returns whether it did.
  bool Exchange(RowId row, NodeId expected, NodeId node);

  // Nodes ever handed out; ids are below it.
  size_t nodes() const { return nodes_.load(std::memory_order_acquire); }
  // Rows ever used are below it.
  size_t rows() const { return rows_.load(std::memory_order_acquire); }
  size_t live() const { return live_.load(std::memory_order_acquire); }
  // Nodes that are neither live nor free.
  size_t dead() const { return nodes() - live() - free_count_.load(std::memory_order_acquire); }
  std::vector<bool> FreeNodes() const;

  size_t bytes() const { return node_of_row_.committed() + row_of_node_.committed(); }

  // For loading: declares nodes [0, rows.size()) with these rows. states (LinkStore::State) says which are live, dead
  // or free. DATA_LOSS when a live row repeats or a row is too large.
  absl::Status Restore(absl::Span<const RowId> rows, absl::Span<const uint8_t> states);

 private:
  absl::Status GrowRows(size_t rows);

  GrowableArray node_of_row_;  // atomic<uint32_t>: node + 1, 0 = absent
  GrowableArray row_of_node_;  // uint32_t
  std::atomic<size_t> nodes_{0}, rows_{0}, live_{0}, free_count_{0};

  mutable std::mutex mutex_;  // growth and free nodes
  std::vector<NodeId> free_;
  struct Limbo {
    uint64_t ticket;
    std::vector<NodeId> nodes;
  };
  std::deque<Limbo> limbo_;
};

}  // namespace alcove::ann
