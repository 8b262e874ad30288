#include "bench/vector/scenarios.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <unordered_set>

#include <time.h>

#include "absl/strings/str_format.h"

namespace alcove::bench {
namespace {

using ann::Neighbor;
using ann::RowFilter;
using ann::RowId;
using ann::SearchParams;
using ann::VectorIndex;
using Results = std::vector<std::vector<Neighbor>>;

class RandomFilter final : public RowFilter {
 public:
  RandomFilter(size_t rows, double selectivity) : matches_(rows) {
    for (size_t row = 0; row < rows; ++row) {
      const uint64_t hash = (row + 1) * 0x9e3779b97f4a7c15u;
      if (static_cast<double>((hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u >> 11) * 0x1p-53 >= selectivity) continue;
      matches_[row] = true;
      rows_.push_back(static_cast<RowId>(row));
    }
  }
  bool Matches(RowId row) const override { return row < matches_.size() && matches_[row]; }
  double EstimatedCount() const override { return static_cast<double>(rows_.size()); }
  bool ForEachMatch(absl::FunctionRef<bool(RowId)> visit) const override {
    for (RowId row : rows_) {
      if (!visit(row)) break;
    }
    return true;
  }

 private:
  std::vector<bool> matches_;
  std::vector<RowId> rows_;
};

Results SearchAll(const VectorIndex& index, absl::Span<const float> queries, const SearchParams& params) {
  Results results;
  for (size_t q = 0; q < queries.size(); q += index.dim()) {
    results.push_back(*index.Search(queries.subspan(q, index.dim()), params));
  }
  return results;
}

struct Best {
  double rate = 0, recall = 0;
  void Offer(double new_rate, double new_recall, double target) {
    if (new_recall >= target && new_rate > rate) *this = {new_rate, new_recall};
  }
};

// The faster of two runs of `work`, as queries a CPU second.
template <typename Work>
double Rate(size_t queries, const Work& work) {
  double best = 0;
  for (int round = 0; round < 2; ++round) {
    const double start = ThreadSeconds();
    work();
    best = std::max(best, static_cast<double>(queries) / (ThreadSeconds() - start));
  }
  return best;
}

}  // namespace

double ThreadSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double RecallOf(const Results& found, const Results& truth) {
  size_t hits = 0, wanted = 0;
  for (size_t q = 0; q < truth.size(); ++q) {
    std::unordered_set<RowId> rows;
    for (const Neighbor& neighbor : found[q]) rows.insert(neighbor.row);
    for (const Neighbor& neighbor : truth[q]) hits += rows.count(neighbor.row);
    wanted += truth[q].size();
  }
  return wanted == 0 ? 1 : static_cast<double>(hits) / static_cast<double>(wanted);
}

std::string RunFiltered(const VectorIndex& index, absl::Span<const float> queries, size_t k, double selectivity,
                        double target) {
  const RandomFilter filter(index.size(), selectivity);
  const size_t count = queries.size() / index.dim();
  const SearchParams exact{.k = k, .exact = true, .filter = &filter};
  Results truth, found;
  Best pre, post, filtered;
  const double scan = Rate(count, [&] { truth = SearchAll(index, queries, exact); });
  pre.Offer(scan, 1, target);
  for (size_t ef : {10, 15, 20, 30, 50, 80, 120, 200}) {
    const SearchParams params{.k = k, .ef = ef, .filter = &filter};
    const double rate = Rate(count, [&] { found = SearchAll(index, queries, params); });
    filtered.Offer(rate, RecallOf(found, truth), target);
  }
  for (double wider : {1.0, 1.5, 2.0, 3.0, 5.0, 8.0}) {
    const auto breadth = static_cast<size_t>(wider * static_cast<double>(k) / selectivity);
    if (breadth > 5000) break;  // never near the other two
    const SearchParams params{.k = breadth, .ef = breadth};
    const double rate = Rate(count, [&] {
      found = SearchAll(index, queries, params);
      for (auto& result : found) {
        std::erase_if(result, [&](const Neighbor& neighbor) { return !filter.Matches(neighbor.row); });
        if (result.size() > k) result.resize(k);
      }
    });
    post.Offer(rate, RecallOf(found, truth), target);
    if (post.rate > 0) break;
  }
  return absl::StrFormat(R"({"selectivity":%g,"filtered":%.1f,"recall":%.4f,"pre":%.1f,"post":%.1f})", selectivity,
                         filtered.rate, filtered.recall, pre.rate, post.rate);
}

std::string RunMixed(VectorIndex& index, absl::Span<const float> queries, const SearchParams& params,
                     absl::Span<const RowId> rows, absl::Span<const float> vectors) {
  const size_t dim = index.dim(), count = queries.size() / dim;
  const double alone = Rate(count, [&] { SearchAll(index, queries, params); });
  std::atomic<bool> done{false};
  std::atomic<size_t> inserted{0};
  std::thread writer([&] {
    for (size_t i = 0; i < rows.size() && !done.load(); ++i) {
      if (!index.Add(rows[i], vectors.subspan(i * dim, dim)).ok()) return;
      inserted.fetch_add(1);
    }
  });
  const double start = ThreadSeconds();
  size_t searched = 0;
  while (inserted.load() == 0) std::this_thread::yield();
  const double spun = ThreadSeconds() - start;
  while (inserted.load() < rows.size() && ThreadSeconds() - start < 3) {
    (void)index.Search(queries.subspan(searched % count * dim, dim), params);
    ++searched;
  }
  const double during = static_cast<double>(searched) / (ThreadSeconds() - start - spun);
  done = true;
  writer.join();
  return absl::StrFormat(R"({"alone":%.1f,"during":%.1f,"inserted":%d,"searched":%d})", alone, during, inserted.load(),
                         searched);
}

std::string RunChurn(const ann::HnswOptions& options, absl::Span<const float> vectors, absl::Span<const float> queries,
                     const SearchParams& params) {
  const size_t dim = options.dim, rows = vectors.size() / dim / 2;
  auto churned = *ann::MakeHnswIndex(options), fresh = *ann::MakeHnswIndex(options);
  auto flat = *ann::MakeFlatIndex({.dim = dim, .metric = options.metric});
  std::vector<RowId> ids(rows);
  for (size_t i = 0; i < rows; ++i) ids[i] = static_cast<RowId>(i);
  std::vector<float> now(vectors.begin(), vectors.begin() + static_cast<ptrdiff_t>(rows * dim));
  bool ok = churned->AddBatch(ids, now).ok();
  // Every second row leaves and its number comes back with another vector, or its vector is replaced in place.
  for (size_t i = 0; i < rows; i += 2) {
    const auto vector = vectors.subspan((rows + i) * dim, dim);
    const auto row = static_cast<RowId>(i);
    if (i % 4 == 0) {
      ok = ok && churned->Remove(row).ok() && churned->Add(row, vector).ok();
    } else {
      ok = ok && churned->Update(row, vector).ok();
    }
    std::copy(vector.begin(), vector.end(), now.begin() + static_cast<ptrdiff_t>(i * dim));
  }
  ok = ok && fresh->AddBatch(ids, now).ok() && flat->AddBatch(ids, now).ok();
  if (!ok) return R"({"error":"a write failed"})";
  const Results truth = SearchAll(*flat, queries, {.k = params.k});
  return absl::StrFormat(R"({"churned":%.4f,"fresh":%.4f})", RecallOf(SearchAll(*churned, queries, params), truth),
                         RecallOf(SearchAll(*fresh, queries, params), truth));
}

}  // namespace alcove::bench
