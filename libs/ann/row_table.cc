#include "libs/ann/row_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"

namespace alcove::ann {

absl::Status RowTable::Reserve(size_t max_nodes) {
  ALCOVE_RETURN_IF_ERROR(node_of_row_.Reserve((size_t{kMaxRow} + 1) * 4));
  return row_of_node_.Reserve(max_nodes * 4);
}

absl::Status RowTable::GrowRows(size_t rows) {
  if (rows <= rows_.load(std::memory_order_relaxed)) return absl::OkStatus();
  ALCOVE_RETURN_IF_ERROR(node_of_row_.Grow(rows * 4));
  rows_.store(rows, std::memory_order_release);
  return absl::OkStatus();
}

absl::StatusOr<NodeId> RowTable::Allocate(RowId row, EpochDomain& epochs,
                                          absl::FunctionRef<absl::Status(size_t)> grow) {
  std::lock_guard lock(mutex_);
  ALCOVE_RETURN_IF_ERROR(GrowRows(size_t{row} + 1));
  while (!limbo_.empty() && epochs.Passed(limbo_.front().ticket)) {
    free_.insert(free_.end(), limbo_.front().nodes.begin(), limbo_.front().nodes.end());
    limbo_.pop_front();
  }
  if (!free_.empty()) {
    const NodeId node = free_.back();
    free_.pop_back();
    free_count_.fetch_sub(1, std::memory_order_release);
    row_of_node_.as<uint32_t>()[node] = row;
    return node;
  }
  const size_t node = nodes_.load(std::memory_order_relaxed);
  ALCOVE_RETURN_IF_ERROR(grow(node + 1));
  ALCOVE_RETURN_IF_ERROR(row_of_node_.Grow((node + 1) * 4));
  row_of_node_.as<uint32_t>()[node] = row;
  nodes_.store(node + 1, std::memory_order_release);
  return static_cast<NodeId>(node);
}

void RowTable::Release(std::vector<NodeId> nodes, EpochDomain& epochs) {
  std::lock_guard lock(mutex_);
  free_count_.fetch_add(nodes.size(), std::memory_order_release);
  limbo_.push_back({epochs.Retire(), std::move(nodes)});
}

bool RowTable::Exchange(RowId row, NodeId expected, NodeId node) {
  uint32_t want = expected + 1;
  auto& cell = node_of_row_.as<std::atomic<uint32_t>>()[row];
  if (!cell.compare_exchange_strong(want, node + 1, std::memory_order_acq_rel)) return false;
  if (expected == kNoNode && node != kNoNode) live_.fetch_add(1, std::memory_order_release);
  if (expected != kNoNode && node == kNoNode) live_.fetch_sub(1, std::memory_order_release);
  return true;
}

std::vector<bool> RowTable::FreeNodes() const {
  std::lock_guard lock(mutex_);
  std::vector<bool> out(nodes());
  for (NodeId node : free_) out[node] = true;
  for (const Limbo& limbo : limbo_) {
    for (NodeId node : limbo.nodes) out[node] = true;
  }
  return out;
}

absl::Status RowTable::Restore(absl::Span<const RowId> rows, absl::Span<const uint8_t> states) {
  std::lock_guard lock(mutex_);
  ALCOVE_RETURN_IF_ERROR(row_of_node_.Grow(rows.size() * 4));
  size_t live = 0;
  for (size_t node = 0; node < rows.size(); ++node) {
    const RowId row = rows[node];
    if (row > kMaxRow || states[node] > 2) {
      return absl::DataLossError(absl::StrCat("snapshot holds an impossible row or state for node ", node));
    }
    ALCOVE_RETURN_IF_ERROR(GrowRows(size_t{row} + 1));
    row_of_node_.as<uint32_t>()[node] = row;
    if (states[node] == 2) free_.push_back(static_cast<NodeId>(node));
    if (states[node] != 0) continue;
    auto& cell = node_of_row_.as<std::atomic<uint32_t>>()[row];
    if (cell.load(std::memory_order_relaxed) != 0) {
      return absl::DataLossError(absl::StrCat("snapshot holds row ", row, " twice"));
    }
    cell.store(static_cast<uint32_t>(node) + 1, std::memory_order_release);
    ++live;
  }
  nodes_.store(rows.size(), std::memory_order_release);
  live_.store(live, std::memory_order_release);
  free_count_.store(free_.size(), std::memory_order_release);
  return absl::OkStatus();
}

}  // namespace alcove::ann
