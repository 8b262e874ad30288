// Counters, gauges and histograms, cheap enough for hot paths, rendered as Prometheus text 0.0.4 or OpenMetrics 1.0.
//
//   Registry& registry = DefaultRegistry();
//   Counter& hits = registry.AddCounter("alcove_cache_hits_total", "Lookups answered from memory.", {{"level", "l1"}});
//   hits.Increment();
//   CounterFamily& requests = registry.AddCounterFamily("alcove_rpc_requests_total", "Requests.", {"method", "code"});
//   requests.With({"Search", "OK"}).Increment();   // keep the reference where the labels are known beforehand
//
// Everything here is thread safe. Updates are relaxed atomics on one of several cache lines picked per thread, so
// threads do not contend (about 2 ns each); readers add the lines up. Names follow Prometheus:
// [a-zA-Z_:][a-zA-Z0-9_:]*, counters end in _total, units are seconds and bytes. A wrong name, or one name registered
// with two types, is a bug and aborts.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <absl/types/span.h>

#include "libs/common/trace.h"

namespace alcove {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

namespace metrics_internal {
inline constexpr size_t kShards = 8;  // cache lines per value
// The shard of the calling thread, [0, kShards).
size_t ShardIndex();
struct alignas(64) Cell {
  std::atomic<uint64_t> value{0};
};
}  // namespace metrics_internal

// Only grows.
class Counter {
 public:
  void Increment(uint64_t n = 1) {
    cells_[metrics_internal::ShardIndex()].value.fetch_add(n, std::memory_order_relaxed);
  }
  uint64_t Value() const;

 private:
  metrics_internal::Cell cells_[metrics_internal::kShards];
};

// Goes up and down.
class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double delta);
  void Increment() { Add(1); }
  void Decrement() { Add(-1); }
  double Value() const { return value_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<double> value_{0};
};

// Upper bounds of a histogram's buckets, strictly ascending, without +Inf. At most 64.
using Buckets = std::vector<double>;
// 100 µs to 60 s, about three per decade: request latencies in seconds.
const Buckets& LatencyBuckets();
// 10 µs to 1 s: in-memory work in seconds.
const Buckets& FastLatencyBuckets();
// 1, 2, 4 … 2^(count-1): batch sizes, fan-outs, queue depths.
Buckets PowersOfTwo(int count);

class Histogram {
 public:
  explicit Histogram(Buckets upper_bounds);
  void Observe(double value);
  void Observe(absl::Duration value) { Observe(absl::ToDoubleSeconds(value)); }
  // Also remembers the trace as the exemplar of the bucket (OpenMetrics only). Takes a lock; for sampled requests.
  void ObserveWithExemplar(double value, const TraceContext& trace);

  struct Exemplar {
    std::string trace_id;  // empty when the bucket has none
    double value = 0;
    absl::Time time;
  };
  struct Snapshot {
    std::vector<uint64_t> counts;  // one per bucket and a last one for +Inf; not cumulative
    uint64_t count = 0;
    double sum = 0;
    std::vector<Exemplar> exemplars;  // empty, or as long as counts
  };
  Snapshot Read() const;
  const Buckets& upper_bounds() const { return bounds_; }
  // The value below which `quantile` (0..1) of the observations lie, by linear interpolation inside a bucket; 0 when
  // empty.
  double Quantile(double quantile) const;

 private:
  std::atomic<uint64_t>& Count(size_t shard, size_t bucket) const;

  const Buckets bounds_;
  const size_t stride_;  // counters of one shard, rounded up to whole cache lines
  std::unique_ptr<std::atomic<uint64_t>[]> storage_;
  std::atomic<uint64_t>* cells_;  // storage_ aligned to a cache line; [shard][sum bits, buckets…]
  mutable absl::Mutex exemplar_mu_;
  std::vector<Exemplar> exemplars_ ABSL_GUARDED_BY(exemplar_mu_);
};

// The metrics of one name that differ in label values. At most `max_series` sets of values are kept; later ones share
// one series whose label values are all "other", so a client cannot make a process grow without bound.
template <typename Metric>
class MetricFamily {
 public:
  static constexpr size_t kMaxSeries = 2000;

  MetricFamily(std::vector<std::string> label_names, std::function<std::unique_ptr<Metric>()> make)
      : label_names_(std::move(label_names)), make_(std::move(make)) {}

  // The series of these label values, in the order of the names; made on first use. The reference stays valid as long
  // as the registry. One hash lookup under a reader lock.
  Metric& With(std::initializer_list<absl::string_view> values) {
    return With(absl::Span<const absl::string_view>(values.begin(), values.size()));
  }
  Metric& With(absl::Span<const absl::string_view> values);

 private:
  friend class Registry;
  const std::vector<std::string> label_names_;
  const std::function<std::unique_ptr<Metric>()> make_;
  mutable absl::Mutex mu_;
  // Keyed by the values, each preceded by its length.
  absl::flat_hash_map<std::string, std::unique_ptr<Metric>> series_ ABSL_GUARDED_BY(mu_);
};

using CounterFamily = MetricFamily<Counter>;
using GaugeFamily = MetricFamily<Gauge>;
using HistogramFamily = MetricFamily<Histogram>;

enum class MetricsFormat { kPrometheusText, kOpenMetrics };
// The format a scraper asks for in its Accept header (RFC 9110 lists; an absent header means Prometheus text).
MetricsFormat NegotiateMetricsFormat(absl::string_view accept);
// The Content-Type of a rendering.
absl::string_view MetricsContentType(MetricsFormat format);

// Owns metrics and renders them. References it returns stay valid until it is destroyed.
class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Each returns the existing metric when the name and labels are known already.
  Counter& AddCounter(absl::string_view name, absl::string_view help, const MetricLabels& labels = {});
  Gauge& AddGauge(absl::string_view name, absl::string_view help, const MetricLabels& labels = {});
  Histogram& AddHistogram(absl::string_view name, absl::string_view help, const Buckets& buckets,
                          const MetricLabels& labels = {});
  CounterFamily& AddCounterFamily(absl::string_view name, absl::string_view help, std::vector<std::string> label_names);
  GaugeFamily& AddGaugeFamily(absl::string_view name, absl::string_view help, std::vector<std::string> label_names);
  HistogramFamily& AddHistogramFamily(absl::string_view name, absl::string_view help, const Buckets& buckets,
                                      std::vector<std::string> label_names);

  // A value read when the registry is rendered, for state that something else keeps. `read` runs on the scraping thread
  // and must be quick and thread safe. Destroying the handle removes it and waits for a rendering in progress.
  class CallbackHandle {
   public:
    CallbackHandle() = default;
    CallbackHandle(CallbackHandle&& other) noexcept;
    CallbackHandle& operator=(CallbackHandle&& other) noexcept;
    ~CallbackHandle();

   private:
    friend class Registry;
    CallbackHandle(Registry* registry, uint64_t id) : registry_(registry), id_(id) {}
    Registry* registry_ = nullptr;
    uint64_t id_ = 0;
  };
  [[nodiscard]] CallbackHandle AddGaugeCallback(absl::string_view name, absl::string_view help,
                                                const MetricLabels& labels, std::function<double()> read);
  [[nodiscard]] CallbackHandle AddCounterCallback(absl::string_view name, absl::string_view help,
                                                  const MetricLabels& labels, std::function<double()> read);

  // alcove_build_info{service, version} and the process_* metrics of the Prometheus client conventions: resident
  // memory, CPU seconds, open and allowed file descriptors, start time, threads. Call once.
  void AddProcessMetrics(absl::string_view service, absl::string_view version);

  // Every metric, sorted by name and then by labels. OpenMetrics ends with "# EOF".
  std::string Render(MetricsFormat format = MetricsFormat::kPrometheusText) const;

 private:
  struct Family;
  Family& FindOrAdd(absl::string_view name, absl::string_view help, int type) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  CallbackHandle AddCallback(absl::string_view name, absl::string_view help, const MetricLabels& labels, int type,
                             std::function<double()> read);
  void RemoveCallback(uint64_t id);

  mutable absl::Mutex mu_;
  std::vector<std::unique_ptr<Family>> families_ ABSL_GUARDED_BY(mu_);
  uint64_t next_callback_ ABSL_GUARDED_BY(mu_) = 1;
  std::vector<CallbackHandle> process_;
};

// The registry of the process. Never destroyed.
Registry& DefaultRegistry();

}  // namespace alcove
