#include "libs/common/metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "libs/common/clock.h"

namespace alcove {
namespace metrics_internal {

size_t ShardIndex() {
  static std::atomic<size_t> next{0};
  thread_local const size_t index = next.fetch_add(1, std::memory_order_relaxed) % kShards;
  return index;
}

namespace {
void AddDouble(std::atomic<uint64_t>& bits, double delta) {
  uint64_t seen = bits.load(std::memory_order_relaxed);
  while (!bits.compare_exchange_weak(seen, std::bit_cast<uint64_t>(std::bit_cast<double>(seen) + delta),
                                     std::memory_order_relaxed)) {
  }
}
}  // namespace
}  // namespace metrics_internal

using metrics_internal::kShards;
using metrics_internal::ShardIndex;

uint64_t Counter::Value() const {
  uint64_t sum = 0;
  for (const metrics_internal::Cell& cell : cells_) sum += cell.value.load(std::memory_order_relaxed);
  return sum;
}

void Gauge::Add(double delta) {
  double seen = value_.load(std::memory_order_relaxed);
  while (!value_.compare_exchange_weak(seen, seen + delta, std::memory_order_relaxed)) {
  }
}

const Buckets& LatencyBuckets() {
  static const auto* const buckets = new Buckets{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                 0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    60};
  return *buckets;
}

const Buckets& FastLatencyBuckets() {
  static const auto* const buckets =
      new Buckets{0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1};
  return *buckets;
}

Buckets PowersOfTwo(int count) {
  Buckets buckets;
  for (int i = 0; i < count; ++i) buckets.push_back(std::ldexp(1.0, i));
  return buckets;
}

namespace {
Buckets CheckedBuckets(Buckets bounds) {
  // A wrong list of bounds is a bug of the caller: keep what can be used.
  bounds.erase(std::remove_if(bounds.begin(), bounds.end(), [](double b) { return !std::isfinite(b); }), bounds.end());
  std::sort(bounds.begin(), bounds.end());
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
  if (bounds.size() > 64) bounds.resize(64);
  return bounds;
}
}  // namespace

// One shard is [sum as the bits of a double, count of each bucket…, count of +Inf].
Histogram::Histogram(Buckets upper_bounds)
    : bounds_(CheckedBuckets(std::move(upper_bounds))), stride_((bounds_.size() + 2 + 7) / 8 * 8) {
  storage_ = std::make_unique<std::atomic<uint64_t>[]>(stride_ * kShards + 7);
  auto address = reinterpret_cast<uintptr_t>(storage_.get());
  cells_ = storage_.get() + ((64 - address % 64) % 64) / sizeof(uint64_t);
}

std::atomic<uint64_t>& Histogram::Count(size_t shard, size_t bucket) const {
  return cells_[shard * stride_ + 1 + bucket];
}

void Histogram::Observe(double value) {
  const size_t shard = ShardIndex();
  const size_t bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  // NaN compares false with everything and would land in the first bucket; it belongs in none, so count it as +Inf
  // without touching the sum.
  if (std::isnan(value)) {
    Count(shard, bounds_.size()).fetch_add(1, std::memory_order_relaxed);
    return;
  }
  Count(shard, bucket).fetch_add(1, std::memory_order_relaxed);
  metrics_internal::AddDouble(cells_[shard * stride_], value);
}

void Histogram::ObserveWithExemplar(double value, const TraceContext& trace) {
  Observe(value);
  if (!trace.valid() || std::isnan(value)) return;
  const size_t bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  absl::MutexLock lock(&exemplar_mu_);
  exemplars_.resize(bounds_.size() + 1);
  exemplars_[bucket] = {trace.trace_id_hex(), value, RealClock()->Now()};
}

Histogram::Snapshot Histogram::Read() const {
  Snapshot snapshot;
  snapshot.counts.resize(bounds_.size() + 1);
  for (size_t shard = 0; shard < kShards; ++shard) {
    snapshot.sum += std::bit_cast<double>(cells_[shard * stride_].load(std::memory_order_relaxed));
    for (size_t b = 0; b < snapshot.counts.size(); ++b) {
      snapshot.counts[b] += Count(shard, b).load(std::memory_order_relaxed);
    }
  }
  for (const uint64_t count : snapshot.counts) snapshot.count += count;
  absl::MutexLock lock(&exemplar_mu_);
  snapshot.exemplars = exemplars_;
  return snapshot;
}

double Histogram::Quantile(double quantile) const {
  const Snapshot snapshot = Read();
  if (snapshot.count == 0 || bounds_.empty()) return 0;
  const double rank = std::clamp(quantile, 0.0, 1.0) * static_cast<double>(snapshot.count);
  double below = 0;
  for (size_t b = 0; b < bounds_.size(); ++b) {
    const auto inside = static_cast<double>(snapshot.counts[b]);
    if (inside > 0 && below + inside >= rank) {
      const double low = b == 0 ? std::min(0.0, bounds_[0]) : bounds_[b - 1];
      return low + (bounds_[b] - low) * (rank - below) / inside;
    }
    below += inside;
  }
  return bounds_.back();
}

template <typename Metric>
Metric& MetricFamily<Metric>::With(absl::Span<const absl::string_view> values) {
  std::string key;
  for (size_t i = 0; i < label_names_.size(); ++i) {
    const absl::string_view value = i < values.size() ? values[i] : absl::string_view();
    absl::StrAppend(&key, value.size(), ":", value);
  }
  {
    absl::ReaderMutexLock lock(&mu_);
    if (const auto it = series_.find(key); it != series_.end()) return *it->second;
  }
  absl::MutexLock lock(&mu_);
  if (series_.size() >= kMaxSeries && !series_.contains(key)) {
    key.clear();
    for (size_t i = 0; i < label_names_.size(); ++i) key += "5:other";
  }
  std::unique_ptr<Metric>& metric = series_[key];
  if (metric == nullptr) metric = make_();
  return *metric;
}

template class MetricFamily<Counter>;
template class MetricFamily<Gauge>;
template class MetricFamily<Histogram>;

}  // namespace alcove
