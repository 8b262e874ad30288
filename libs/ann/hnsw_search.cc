// How a query becomes an answer: choose a strategy, traverse on codes, rank on vectors.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "libs/ann/exact_scan.h"
#include "libs/ann/hnsw_index.h"
#include "libs/ann/top_k.h"
#include "libs/ann/validate.h"
#include "libs/common/status.h"

namespace alcove::ann {
namespace {

// Up to this many rows a scan beats any graph.
constexpr size_t kScanRows = 256;

// Queries of a batch that take turns, and turns between two stop checks.
constexpr size_t kLanes = 4;
constexpr size_t kStopRounds = 16;

// Candidates ranked on vectors before the error bound is asked whether more are worth it, and how many then at a time.
constexpr size_t kFirstRanked = 16;
constexpr size_t kMoreRanked = 8;
// The bound, in standard deviations of an estimate: RaBitQ's choice.
constexpr float kDeviations = 1.9f;

// Share of matching rows from which on a filtered search is a plain one whose result is filtered.
constexpr double kMostlyMatching = 0.4;

// The pool's nodes that live and match, nearest first, into scratch.nodes and scratch.distances.
void KeepMatching(const Graph& graph, const RowFilter& filter, Scratch& scratch) {
  scratch.nodes.clear();
  scratch.distances.clear();
  for (size_t i = 0; i < scratch.pool.size(); ++i) {
    const NodeId node = scratch.pool.node(i);
    const RowId row = graph.rows().RowOf(node);
    if (graph.rows().NodeOf(row) != node || !filter.Matches(row)) continue;
    scratch.nodes.push_back(node);
    scratch.distances.push_back(scratch.pool.distance(i));
  }
}

// Rows that match, by asking a fixed sample of them when the filter does not know.
double MatchingRows(const RowFilter& filter, const RowTable& rows) {
  const double known = filter.EstimatedCount();
  if (known >= 0) return std::min(known, static_cast<double>(rows.live()));
  constexpr size_t kSample = 512;
  const size_t end = rows.rows();
  const size_t step = std::max<size_t>(1, end / kSample);
  size_t asked = 0, matched = 0;
  for (size_t row = step / 2; row < end; row += step) {
    ++asked;
    if (rows.NodeOf(static_cast<RowId>(row)) != kNoNode && filter.Matches(static_cast<RowId>(row))) ++matched;
  }
  return asked == 0 ? 0 : static_cast<double>(end) * static_cast<double>(matched) / static_cast<double>(asked);
}

}  // namespace

absl::StatusOr<std::vector<Neighbor>> HnswIndex::Search(absl::Span<const float> query,
                                                        const SearchParams& params) const {
  ALCOVE_RETURN_IF_ERROR(CheckParams(params));
  ALCOVE_RETURN_IF_ERROR(CheckQuery(query, dim(), metric()));
  const EpochDomain::Pin pin = epochs_.Enter();
  const Graph& graph = *graph_.load(std::memory_order_seq_cst);
  Scratch& scratch = ScratchOf(pin);
  graph.store().Prepare(query.data(), scratch.query);
  return SearchPinned(graph, params, scratch);
}

absl::StatusOr<std::vector<std::vector<Neighbor>>> HnswIndex::SearchBatch(absl::Span<const float> queries,
                                                                          const SearchParams& params) const {
  if (queries.size() % dim() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a batch of ", queries.size(), " values is not a multiple of the dimension ", dim()));
  }
  ALCOVE_RETURN_IF_ERROR(CheckParams(params));
  const size_t count = queries.size() / dim();
  for (size_t i = 0; i < count; ++i)
    ALCOVE_RETURN_IF_ERROR(CheckQuery(queries.subspan(i * dim(), dim()), dim(), metric()));
  const EpochDomain::Pin pin = epochs_.Enter();
  const Graph& graph = *graph_.load(std::memory_order_seq_cst);
  Scratch& scratch = ScratchOf(pin);
  std::vector<std::vector<Neighbor>> out(count);
  const auto one = [&](size_t i) -> absl::Status {
    graph.store().Prepare(queries.data() + i * dim(), scratch.query);
    ALCOVE_ASSIGN_OR_RETURN(out[i], SearchPinned(graph, params, scratch));
    return absl::OkStatus();
  };
  if (params.exact || params.filter != nullptr || graph.rows().live() <= kScanRows) {
    for (size_t i = 0; i < count; ++i) ALCOVE_RETURN_IF_ERROR(one(i));
    return out;
  }

  // Several traversals take turns: while one waits for memory, the others compute.
  struct Lane {
    Scratch* scratch;
    size_t query;
  };
  std::vector<Lane> lanes;
  size_t next = 0;
  const size_t ef = std::max(params.ef, params.k);
  const auto begin = [&](Lane& lane) {
    lane.query = next++;
    graph.store().Prepare(queries.data() + lane.query * dim(), lane.scratch->query);
    graph.Begin(*lane.scratch, graph.entry(), 0, ef);
  };
  while (lanes.size() < kLanes && next < count) {
    if (scratch.lanes.size() == lanes.size()) scratch.lanes.push_back(std::make_unique<Scratch>());
    lanes.push_back({scratch.lanes[lanes.size()].get(), 0});
    begin(lanes.back());
  }
  const size_t wanted = std::min(params.k, graph.rows().live());
  for (size_t step = 1; !lanes.empty(); ++step) {
    for (size_t l = 0; l < lanes.size();) {
      Lane& lane = lanes[l];
      if (graph.TakeTurn(*lane.scratch)) {
        ++l;
        continue;
      }
      size_t live = 0;
      out[lane.query] = RankPool(graph, params, *lane.scratch, live);
      if (live < wanted && lane.scratch->pool.size() >= ef && graph.rows().dead() > 0) {
        ALCOVE_RETURN_IF_ERROR(one(lane.query));
      }
      if (next < count) {
        begin(lane);
      } else {
        lane = lanes.back();
        lanes.pop_back();
      }
    }
    if (params.stop != nullptr && step % kStopRounds == 0 && params.stop->ShouldStop()) {
      return absl::CancelledError("search stopped by its caller");
    }
  }
  return out;
}

absl::StatusOr<std::vector<Neighbor>> HnswIndex::SearchPinned(const Graph& graph, const SearchParams& params,
                                                              Scratch& scratch) const {
  const Graph::Entry entry = graph.entry();
  if (params.exact || graph.rows().live() <= kScanRows || entry.node == kNoNode) {
    return ExactScan(graph.store(), graph.rows(), scratch.query, params);
  }
  if (params.filter != nullptr) return SearchWithFilter(graph, params, scratch);

  const size_t wanted = std::min(params.k, graph.rows().live());
  for (size_t ef = std::max(params.ef, params.k);; ef *= 4) {
    if (!graph.SearchLayer(scratch, entry, 0, ef, params.stop)) {
      return absl::CancelledError("search stopped by its caller");
    }
    size_t live = 0;
    std::vector<Neighbor> found = RankPool(graph, params, scratch, live);
    // Tombstones took places of the pool: look wider, once there is anything left to find.
    if (live >= wanted || scratch.pool.size() < ef || graph.rows().dead() == 0) return found;
  }
}

std::vector<Neighbor> HnswIndex::RankPool(const Graph& graph, const SearchParams& params, Scratch& scratch,
                                          size_t& live) const {
  scratch.nodes.clear();
  scratch.distances.clear();
  for (size_t i = 0; i < scratch.pool.size(); ++i) {
    scratch.nodes.push_back(scratch.pool.node(i));
    scratch.distances.push_back(scratch.pool.distance(i));
  }
  return Rank(graph, params, scratch, live);
}

std::vector<Neighbor> HnswIndex::Rank(const Graph& graph, const SearchParams& params, Scratch& scratch,
                                      size_t& live) const {
  const NodeStore& store = graph.store();
  const RowTable& rows = graph.rows();
  const PreparedQuery& query = scratch.query;
  const absl::Span<const NodeId> candidates = scratch.nodes;
  const bool bounded = store.refines() && params.rerank == 0;
  const size_t first = !store.refines() ? params.k : std::max(params.k, bounded ? kFirstRanked : params.rerank);
  std::vector<Neighbor> ranked;
  std::vector<float> best;
  float scores[NodeStore::kBatch];
  live = 0;
  for (size_t done = 0, goal = std::min(first, candidates.size());;) {
    while (done < goal) {
      const size_t count = std::min(NodeStore::kBatch, goal - done);
      const NodeId* const nodes = candidates.data() + done;
      for (size_t i = 0; i < count; ++i) {
        rows.PrefetchRowOf(nodes[i]);
        store.PrefetchVector(nodes[i]);
      }
      for (size_t i = 0; i < count; ++i) rows.PrefetchNodeOf(rows.RowOf(nodes[i]));
      store.Score(query, nodes, count, scores);
      for (size_t i = 0; i < count; ++i) {
        const RowId row = rows.RowOf(nodes[i]);
        NodeId now = rows.NodeOf(row);
        if (now == kNoNode) continue;
        // The row may have been updated in mid-search: then it counts with its new vector, wherever that lies.
        if (now != nodes[i]) {
          store.Score(query, &now, 1, &scores[i]);
        } else {
          ++live;
        }
        ranked.push_back({row, scores[i]});
      }
      done += count;
    }
    if (done == candidates.size()) break;
    if (live >= params.k) {
      if (!bounded) break;
      // Candidates come in order of their estimates. When even the next one's lower bound is farther than the k-th
      // best so far, none of the rest is likely to displace it.
      best.clear();
      for (const Neighbor& neighbor : ranked) best.push_back(-neighbor.score);
      std::nth_element(best.begin(), best.begin() + static_cast<ptrdiff_t>(params.k - 1), best.end());
      const float estimate = scratch.distances[done];
      if (estimate - kDeviations * store.Deviation(query, candidates[done], estimate) > best[params.k - 1]) break;
      goal = std::min(candidates.size(), done + kMoreRanked);
    } else {
      // Some of the best candidates turned out to be tombstones.
      goal = std::min(candidates.size(), done + first);
    }
  }
  std::sort(ranked.begin(), ranked.end(), TopK::Better);
  // A row and its replacement may both have been found.
  size_t kept = 0;
  for (size_t i = 0; i < ranked.size() && kept < params.k; ++i) {
    const bool twice = std::any_of(ranked.begin(), ranked.begin() + static_cast<ptrdiff_t>(kept),
                                   [&](const Neighbor& n) { return n.row == ranked[i].row; });
    if (!twice) ranked[kept++] = ranked[i];
  }
  ranked.resize(kept);
  return ranked;
}

absl::StatusOr<std::vector<Neighbor>> HnswIndex::SearchWithFilter(const Graph& graph, const SearchParams& params,
                                                                  Scratch& scratch) const {
  const size_t live = graph.rows().live();
  const double matching = MatchingRows(*params.filter, graph.rows());
  const size_t ef = std::max(params.ef, params.k);
  // Costs in compared vectors: the traversal meets about m new nodes for each of the ef matching ones it needs, and
  // 1 / selectivity times as many in all; a scan compares each match once, on vectors that cost about twice a code.
  const double visits =
      static_cast<double>(ef) * static_cast<double>(options_.m) * static_cast<double>(live) / std::max(1.0, matching);
  const double budget = std::min(static_cast<double>(live), visits);
  if (2 * matching <= budget || matching <= static_cast<double>(params.k)) {
    return ExactScan(graph.store(), graph.rows(), scratch.query, params);
  }
  // Where most of what a plain search finds matches anyway, it is the faster one: as much wider as needed.
  const double selectivity = std::min(1.0, matching / static_cast<double>(std::max<size_t>(live, 1)));
  if (selectivity >= kMostlyMatching) {
    const auto wider = static_cast<size_t>(static_cast<double>(ef) / selectivity);
    if (!graph.SearchLayer(scratch, graph.entry(), 0, wider, params.stop)) {
      return absl::CancelledError("search stopped by its caller");
    }
    KeepMatching(graph, *params.filter, scratch);
    if (scratch.nodes.size() >= params.k) {
      size_t live_found = 0;
      std::vector<Neighbor> ranked = Rank(graph, params, scratch, live_found);
      if (ranked.size() >= params.k) return ranked;
    }
  }
  std::vector<Near> found;
  if (!graph.SearchFiltered(scratch, ef, *params.filter, static_cast<size_t>(4 * budget) + 1024, params.stop, found)) {
    return absl::CancelledError("search stopped by its caller");
  }
  // The estimate was wrong, or the matches lie where the graph does not lead: the scan is certain.
  if (found.size() < std::min<size_t>(ef, static_cast<size_t>(matching))) {
    return ExactScan(graph.store(), graph.rows(), scratch.query, params);
  }
  scratch.nodes.clear();
  scratch.distances.clear();
  for (const Near& near : found) {
    scratch.nodes.push_back(near.node);
    scratch.distances.push_back(near.distance);
  }
  size_t live_found = 0;
  return Rank(graph, params, scratch, live_found);
}

}  // namespace alcove::ann
