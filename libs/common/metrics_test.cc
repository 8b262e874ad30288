#include "libs/common/metrics.h"

#include <cmath>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, AddsUpWhatThreadsCount) {
  Registry registry;
  Counter& counter = registry.AddCounter("hits_total", "Hits.");
  Histogram& histogram = registry.AddHistogram("size", "Sizes.", {1, 2});
  Gauge& gauge = registry.AddGauge("depth", "Depth.");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        counter.Increment();
        histogram.Observe(1.5);
        gauge.Increment();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.Value(), 40'000u);
  EXPECT_EQ(histogram.Read().count, 40'000u);
  EXPECT_DOUBLE_EQ(histogram.Read().sum, 60'000);
  EXPECT_DOUBLE_EQ(gauge.Value(), 40'000);
}

TEST(Metrics, RendersPrometheusText) {
  Registry registry;
  registry.AddCounter("b_total", "With \\ and\nline.", {{"path", "a\"b\\c\nd\xff"}}).Increment(3);
  registry.AddGauge("a", "First by name.").Set(0.1);
  Histogram& histogram = registry.AddHistogram("c_seconds", "Time.", {0.1, 1}, {{"m", "x"}});
  histogram.Observe(0.1);
  histogram.Observe(0.5);
  histogram.Observe(7);
  EXPECT_EQ(registry.Render(),
            "# HELP a First by name.\n# TYPE a gauge\na 0.1\n"
            "# HELP b_total With \\\\ and\\nline.\n# TYPE b_total counter\n"
            "b_total{path=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\"} 3\n"
            "# HELP c_seconds Time.\n# TYPE c_seconds histogram\n"
            "c_seconds_bucket{m=\"x\",le=\"0.1\"} 1\nc_seconds_bucket{m=\"x\",le=\"1\"} 2\n"
            "c_seconds_bucket{m=\"x\",le=\"+Inf\"} 3\nc_seconds_sum{m=\"x\"} 7.6\nc_seconds_count{m=\"x\"} 3\n");
}

TEST(Metrics, RendersOpenMetricsWithExemplars) {
  Registry registry;
  registry.AddCounter("hits_total", "Hits.").Increment();
  const TraceContext trace = NewTrace(true);
  registry.AddHistogram("t_seconds", "Time.", {1}).ObserveWithExemplar(0.5, trace);
  const std::string text = registry.Render(MetricsFormat::kOpenMetrics);
  EXPECT_THAT(text, HasSubstr("# TYPE hits counter\nhits_total 1\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{le=\"1\"} 1 # {trace_id=\"" + trace.trace_id_hex() + "\"} 0.5 "));
  EXPECT_THAT(text, EndsWith("# EOF\n"));
  EXPECT_THAT(registry.Render(), Not(HasSubstr("trace_id")));
}

TEST(Metrics, KeepsOneSeriesPerSetOfLabels) {
  Registry registry;
  CounterFamily& family = registry.AddCounterFamily("calls_total", "Calls.", {"method", "code"});
  family.With({"Get", "OK"}).Increment();
  family.With({"Get", "OK"}).Increment();
  family.With({"Get", "4:OK"}).Increment();
  EXPECT_EQ(&registry.AddCounterFamily("calls_total", "Calls.", {"method", "code"}), &family);
  EXPECT_THAT(registry.Render(), HasSubstr("calls_total{method=\"Get\",code=\"4:OK\"} 1\n"
                                           "calls_total{method=\"Get\",code=\"OK\"} 2\n"));
}

TEST(Metrics, BoundsTheNumberOfSeries) {
  Registry registry;
  CounterFamily& family = registry.AddCounterFamily("calls_total", "Calls.", {"client"});
  for (size_t i = 0; i < CounterFamily::kMaxSeries + 500; ++i) family.With({std::to_string(i)}).Increment();
  EXPECT_THAT(registry.Render(), HasSubstr("calls_total{client=\"other\"} 500\n"));
}

TEST(Metrics, ReadsCallbacksWhileTheirHandleLives) {
  Registry registry;
  {
    const Registry::CallbackHandle handle =
        registry.AddGaugeCallback("depth", "Depth.", {{"q", "x"}}, [] { return 5; });
    EXPECT_THAT(registry.Render(), HasSubstr("depth{q=\"x\"} 5\n"));
  }
  EXPECT_THAT(registry.Render(), Not(HasSubstr("depth{")));
}

TEST(Metrics, PutsNanAndBoundsWhereTheyBelong) {
  Histogram histogram({1, 2, 2, std::numeric_limits<double>::infinity()});
  EXPECT_EQ(histogram.upper_bounds(), (Buckets{1, 2}));
  histogram.Observe(std::nan(""));
  histogram.Observe(-3);
  histogram.Observe(2);
  EXPECT_EQ(histogram.Read().counts, (std::vector<uint64_t>{1, 1, 1}));
  EXPECT_DOUBLE_EQ(histogram.Read().sum, -1);
}

TEST(Metrics, EstimatesQuantiles) {
  Histogram histogram({10, 20, 30});
  EXPECT_EQ(histogram.Quantile(0.5), 0);
  for (int i = 0; i < 90; ++i) histogram.Observe(i % 30);
  EXPECT_NEAR(histogram.Quantile(0.5), 15, 2);
  EXPECT_NEAR(histogram.Quantile(0.99), 30, 1);
}

TEST(Metrics, DescribesTheProcess) {
  Registry registry;
  registry.AddProcessMetrics("alcove-test", "1.2.3");
  const std::string text = registry.Render();
  EXPECT_THAT(text, HasSubstr("alcove_build_info{service=\"alcove-test\",version=\"1.2.3\"} 1\n"));
  for (const char* name : {"process_resident_memory_bytes ", "process_cpu_seconds_total ", "process_open_fds ",
                           "process_max_fds ", "process_start_time_seconds ", "process_threads "}) {
    const size_t at = text.find(std::string("\n") + name);
    ASSERT_NE(at, std::string::npos) << name;
    if (std::string(name) != "process_cpu_seconds_total ") {
      EXPECT_GT(std::stod(text.substr(at + 1 + std::string(name).size())), 0) << name;
    }
  }
}

TEST(Metrics, AbortsOnMisuse) {
  Registry registry;
  registry.AddGauge("x_total", "X.");
  EXPECT_DEATH(registry.AddCounter("x_total", "X."), "two types");
  EXPECT_DEATH(registry.AddCounter("hits", "X."), "ends in _total");
  EXPECT_DEATH(registry.AddGauge("bad name", "X."), "not a metric name");
}

TEST(Metrics, ChoosesTheFormatAScraperAsksFor) {
  EXPECT_EQ(NegotiateMetricsFormat(""), MetricsFormat::kPrometheusText);
  EXPECT_EQ(NegotiateMetricsFormat("*/*"), MetricsFormat::kPrometheusText);
  EXPECT_EQ(NegotiateMetricsFormat("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5"),
            MetricsFormat::kOpenMetrics);
  EXPECT_EQ(NegotiateMetricsFormat("application/openmetrics-text;q=0.2,text/plain;q=0.5"),
            MetricsFormat::kPrometheusText);
}

}  // namespace
}  // namespace alcove
