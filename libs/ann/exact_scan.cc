#include "libs/ann/exact_scan.h"

#include "libs/ann/top_k.h"

namespace alcove::ann {
namespace {

constexpr size_t kBatch = 64;

// Collects rows until a batch is worth a kernel call.
class Scanner {
 public:
  Scanner(const NodeStore& store, const RowTable& rows, const PreparedQuery& query, const SearchParams& params)
      : store_(store), rows_(rows), query_(query), params_(params), top_(params.k) {}

  // Returns whether to go on.
  bool Visit(RowId row) {
    const NodeId node = rows_.NodeOf(row);
    if (node == kNoNode) return true;
    row_[count_] = row;
    node_[count_] = node;
    store_.PrefetchVector(node);
    return ++count_ < kBatch || Flush();
  }

  bool Flush() {
    float scores[kBatch];
    store_.Score(query_, node_, count_, scores);
    for (size_t i = 0; i < count_; ++i) top_.Offer(row_[i], scores[i]);
    count_ = 0;
    stopped_ = params_.stop != nullptr && params_.stop->ShouldStop();
    return !stopped_;
  }

  absl::StatusOr<std::vector<Neighbor>> Take() {
    if (!stopped_) Flush();
    if (stopped_) return absl::CancelledError("search stopped by its caller");
    return top_.Take();
  }

 private:
  const NodeStore& store_;
  const RowTable& rows_;
  const PreparedQuery& query_;
  const SearchParams& params_;
  TopK top_;
  RowId row_[kBatch];
  NodeId node_[kBatch];
  size_t count_ = 0;
  bool stopped_ = false;
};

}  // namespace

absl::StatusOr<std::vector<Neighbor>> ExactScan(const NodeStore& store, const RowTable& rows,
                                                const PreparedQuery& query, const SearchParams& params) {
  Scanner scanner(store, rows, query, params);
  const RowFilter* filter = params.filter;
  if (filter != nullptr && filter->ForEachMatch([&](RowId row) { return scanner.Visit(row); })) return scanner.Take();
  const size_t end = rows.rows();
  for (size_t row = 0; row < end; ++row) {
    if (filter != nullptr && !filter->Matches(static_cast<RowId>(row))) continue;
    if (!scanner.Visit(static_cast<RowId>(row))) break;
  }
  return scanner.Take();
}

std::vector<Neighbor> ScoreRows(const NodeStore& store, const RowTable& rows, const PreparedQuery& query,
                                absl::Span<const RowId> wanted) {
  std::vector<Neighbor> out;
  out.reserve(wanted.size());
  NodeId nodes[kBatch];
  float scores[kBatch];
  for (size_t begin = 0; begin < wanted.size();) {
    size_t count = 0;
    const size_t first = out.size();
    for (; begin < wanted.size() && count < kBatch; ++begin) {
      const NodeId node = rows.NodeOf(wanted[begin]);
      if (node == kNoNode) continue;
      nodes[count++] = node;
      out.push_back({wanted[begin], 0});
    }
    store.Score(query, nodes, count, scores);
    for (size_t i = 0; i < count; ++i) out[first + i].score = scores[i];
  }
  return out;
}

}  // namespace alcove::ann
