#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <variant>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include "libs/common/fs.h"
#include "libs/common/memory.h"
#include "libs/common/metrics.h"
#include "libs/common/text.h"

namespace alcove {
namespace {

enum Type { kCounter = 0, kGauge = 1, kHistogram = 2 };
constexpr absl::string_view kTypeNames[] = {"counter", "gauge", "histogram"};

// A misuse of the registry is a bug in this program, found by the first test that runs the code.
[[noreturn]] void Misuse(absl::string_view name, absl::string_view what) {
  std::fprintf(stderr, "metric %s: %s\n", std::string(name).c_str(), std::string(what).c_str());
  std::abort();
}

bool IsName(absl::string_view name, bool colons) {
  if (name.empty() || absl::ascii_isdigit(name[0])) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return absl::ascii_isalnum(c) || c == '_' || (colons && c == ':'); });
}

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (value == std::floor(value) && std::abs(value) < 1e15) return absl::StrCat(static_cast<int64_t>(value));
  std::string shortest = absl::StrFormat("%.15g", value);
  double back = 0;
  if (absl::SimpleAtod(shortest, &back) && back == value) return shortest;
  return absl::StrFormat("%.17g", value);
}

std::string Escaped(absl::string_view text, bool quotes) {
  const std::string valid = ToValidUtf8(text);
  std::string out;
  for (const char c : valid) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// `a="x",b="y"`, without braces.
std::string LabelText(const MetricLabels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    absl::StrAppend(&out, out.empty() ? "" : ",", name, "=\"", Escaped(value, true), "\"");
  }
  return out;
}

std::string Braced(absl::string_view labels, absl::string_view extra = "") {
  if (labels.empty() && extra.empty()) return "";
  return absl::StrCat("{", labels, !labels.empty() && !extra.empty() ? "," : "", extra, "}");
}

// Reads back the "<length>:<value>" list MetricFamily keys its series by.
std::vector<std::string> SplitKey(absl::string_view key) {
  std::vector<std::string> values;
  while (!key.empty()) {
    const size_t colon = key.find(':');
    size_t length = 0;
    if (colon == absl::string_view::npos || !absl::SimpleAtoi(key.substr(0, colon), &length)) break;
    values.emplace_back(key.substr(colon + 1, length));
    key.remove_prefix(std::min(key.size(), colon + 1 + length));
  }
  return values;
}

uint64_t CountDirectory(const char* path) {
  DIR* dir = opendir(path);
  if (dir == nullptr) return 0;
  uint64_t count = 0;
  while (const dirent* entry = readdir(dir)) count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(dir);
  return count > 0 ? count - 1 : 0;  // not the descriptor that reads the directory
}

// Field `index` (1-based, as proc(5) counts) of /proc/self/stat; the command name may hold spaces and parentheses.
double ProcStat(int index) {
  const absl::StatusOr<std::string> stat = ReadFile("/proc/self/stat", 4096);
  if (!stat.ok()) return 0;
  const size_t end = stat->rfind(')');
  if (end == std::string::npos) return 0;
  const std::vector<absl::string_view> fields = absl::StrSplit(absl::string_view(*stat).substr(end + 2), ' ');
  double value = 0;
  if (static_cast<size_t>(index - 3) < fields.size()) (void)absl::SimpleAtod(fields[index - 3], &value);
  return value;
}

double StartTimeSeconds() {
  const absl::StatusOr<std::string> stat = ReadFile("/proc/stat", 1 << 20);
  double boot = 0;
  if (stat.ok()) {
    for (const absl::string_view line : absl::StrSplit(*stat, '\n')) {
      if (absl::StartsWith(line, "btime ")) (void)absl::SimpleAtod(line.substr(6), &boot);
    }
  }
  return boot + ProcStat(22) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double MaxFds() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<double>::infinity()
                                         : static_cast<double>(limit.rlim_cur);
}

}  // namespace

struct Registry::Family {
  std::string name;  // as registered; a counter's ends in _total
  std::string help;
  Type type;

  template <typename Metric>
  struct Fixed {
    std::string labels;
    std::unique_ptr<Metric> metric;
  };
  struct Callback {
    uint64_t id;
    std::string labels;
    std::function<double()> read;
  };
  std::vector<Fixed<Counter>> counters;
  std::vector<Fixed<Gauge>> gauges;
  std::vector<Fixed<Histogram>> histograms;
  std::vector<Callback> callbacks;
  std::unique_ptr<CounterFamily> counter_family;
  std::unique_ptr<GaugeFamily> gauge_family;
  std::unique_ptr<HistogramFamily> histogram_family;

  template <typename Metric>
  static Metric& FindOrMake(std::vector<Fixed<Metric>>& list, const MetricLabels& labels,
                            const std::function<std::unique_ptr<Metric>()>& make) {
    const std::string text = LabelText(labels);
    for (Fixed<Metric>& fixed : list) {
      if (fixed.labels == text) return *fixed.metric;
    }
    list.push_back({text, make()});
    return *list.back().metric;
  }

  // Calls visit(labels, metric) for every series of one kind, in the order of the labels.
  template <typename Metric, typename Visit>
  static void ForEach(const std::vector<Fixed<Metric>>& fixed, const MetricFamily<Metric>* family, Visit visit) {
    std::vector<std::pair<std::string, const Metric*>> series;
    for (const Fixed<Metric>& f : fixed) series.emplace_back(f.labels, f.metric.get());
    if (family != nullptr) {
      absl::ReaderMutexLock lock(&family->mu_);
      for (const auto& [key, metric] : family->series_) {
        const std::vector<std::string> values = SplitKey(key);
        MetricLabels labels;
        for (size_t i = 0; i < family->label_names_.size() && i < values.size(); ++i) {
          labels.emplace_back(family->label_names_[i], values[i]);
        }
        series.emplace_back(LabelText(labels), metric.get());
      }
    }
    std::sort(series.begin(), series.end());
    for (const auto& [labels, metric] : series) visit(labels, *metric);
  }

  void Render(MetricsFormat format, std::string& out) const;
  void RenderHistogram(MetricsFormat format, const std::string& labels, const Histogram& histogram,
                       std::string& out) const;
};

void Registry::Family::Render(MetricsFormat format, std::string& out) const {
  const bool open = format == MetricsFormat::kOpenMetrics;
  // OpenMetrics names the family without _total and the sample with it.
  absl::string_view family_name = name;
  if (open && type == kCounter) absl::ConsumeSuffix(&family_name, "_total");
  absl::StrAppend(&out, "# HELP ", family_name, " ", Escaped(help, open), "\n");
  absl::StrAppend(&out, "# TYPE ", family_name, " ", kTypeNames[type], "\n");
  const auto sample = [&](const std::string& labels, const std::string& value) {
    absl::StrAppend(&out, name, Braced(labels), " ", value, "\n");
  };
  ForEach(counters, counter_family.get(),
          [&](const std::string& labels, const Counter& c) { sample(labels, absl::StrCat(c.Value())); });
  ForEach(gauges, gauge_family.get(),
          [&](const std::string& labels, const Gauge& g) { sample(labels, Number(g.Value())); });
  for (const Callback& callback : callbacks) sample(callback.labels, Number(callback.read()));
  ForEach(histograms, histogram_family.get(), [&](const std::string& labels, const Histogram& histogram) {
    RenderHistogram(format, labels, histogram, out);
  });
}

void Registry::Family::RenderHistogram(MetricsFormat format, const std::string& labels, const Histogram& histogram,
                                       std::string& out) const {
  const Histogram::Snapshot snapshot = histogram.Read();
  uint64_t cumulative = 0;
  for (size_t b = 0; b < snapshot.counts.size(); ++b) {
    cumulative += snapshot.counts[b];
    const bool last = b + 1 == snapshot.counts.size();
    const std::string le = last ? "+Inf" : Number(histogram.upper_bounds()[b]);
    absl::StrAppend(&out, name, "_bucket", Braced(labels, absl::StrCat("le=\"", le, "\"")), " ", cumulative);
    if (format == MetricsFormat::kOpenMetrics && b < snapshot.exemplars.size() &&
        !snapshot.exemplars[b].trace_id.empty()) {
      const Histogram::Exemplar& exemplar = snapshot.exemplars[b];
      absl::StrAppend(&out, " # {trace_id=\"", exemplar.trace_id, "\"} ", Number(exemplar.value), " ",
                      absl::StrFormat("%.3f", static_cast<double>(absl::ToUnixMillis(exemplar.time)) / 1000));
    }
    out.push_back('\n');
  }
  absl::StrAppend(&out, name, "_sum", Braced(labels), " ", Number(snapshot.sum), "\n");
  absl::StrAppend(&out, name, "_count", Braced(labels), " ", snapshot.count, "\n");
}

Registry::Registry() = default;

Registry::~Registry() { process_.clear(); }

Registry::Family& Registry::FindOrAdd(absl::string_view name, absl::string_view help, int type) {
  for (const std::unique_ptr<Family>& family : families_) {
    if (family->name != name) continue;
    if (family->type != type) Misuse(name, "registered with two types");
    return *family;
  }
  if (!IsName(name, true)) Misuse(name, "not a metric name");
  if (type == kCounter && !absl::EndsWith(name, "_total")) Misuse(name, "a counter's name ends in _total");
  families_.push_back(std::make_unique<Family>());
  Family& family = *families_.back();
  family.name = std::string(name);
  family.help = std::string(help);
  family.type = static_cast<Type>(type);
  return family;
}

namespace {
const MetricLabels& CheckedLabels(absl::string_view metric, const MetricLabels& labels) {
  for (const auto& label : labels) {
    if (!IsName(label.first, false)) Misuse(metric, absl::StrCat("not a label name: ", label.first));
  }
  return labels;
}

std::vector<std::string> CheckedNames(absl::string_view metric, std::vector<std::string> names) {
  for (const std::string& name : names) {
    if (!IsName(name, false)) Misuse(metric, absl::StrCat("not a label name: ", name));
  }
  return names;
}

template <typename Metric>
MetricFamily<Metric>& Once(std::unique_ptr<MetricFamily<Metric>>& slot, std::vector<std::string> names,
                           std::function<std::unique_ptr<Metric>()> make) {
  if (slot == nullptr) slot = std::make_unique<MetricFamily<Metric>>(std::move(names), std::move(make));
  return *slot;
}
}  // namespace

Counter& Registry::AddCounter(absl::string_view name, absl::string_view help, const MetricLabels& labels) {
  absl::MutexLock lock(&mu_);
  return Family::FindOrMake<Counter>(FindOrAdd(name, help, kCounter).counters, CheckedLabels(name, labels),
                                     [] { return std::make_unique<Counter>(); });
}

Gauge& Registry::AddGauge(absl::string_view name, absl::string_view help, const MetricLabels& labels) {
  absl::MutexLock lock(&mu_);
  return Family::FindOrMake<Gauge>(FindOrAdd(name, help, kGauge).gauges, CheckedLabels(name, labels),
                                   [] { return std::make_unique<Gauge>(); });
}

Histogram& Registry::AddHistogram(absl::string_view name, absl::string_view help, const Buckets& buckets,
                                  const MetricLabels& labels) {
  absl::MutexLock lock(&mu_);
  return Family::FindOrMake<Histogram>(FindOrAdd(name, help, kHistogram).histograms, CheckedLabels(name, labels),
                                       [&] { return std::make_unique<Histogram>(buckets); });
}

CounterFamily& Registry::AddCounterFamily(absl::string_view name, absl::string_view help,
                                          std::vector<std::string> label_names) {
  absl::MutexLock lock(&mu_);
  return Once<Counter>(FindOrAdd(name, help, kCounter).counter_family, CheckedNames(name, std::move(label_names)),
                       [] { return std::make_unique<Counter>(); });
}

GaugeFamily& Registry::AddGaugeFamily(absl::string_view name, absl::string_view help,
                                      std::vector<std::string> label_names) {
  absl::MutexLock lock(&mu_);
  return Once<Gauge>(FindOrAdd(name, help, kGauge).gauge_family, CheckedNames(name, std::move(label_names)),
                     [] { return std::make_unique<Gauge>(); });
}

HistogramFamily& Registry::AddHistogramFamily(absl::string_view name, absl::string_view help, const Buckets& buckets,
                                              std::vector<std::string> label_names) {
  absl::MutexLock lock(&mu_);
  return Once<Histogram>(FindOrAdd(name, help, kHistogram).histogram_family, CheckedNames(name, std::move(label_names)),
                         [buckets] { return std::make_unique<Histogram>(buckets); });
}

Registry::CallbackHandle Registry::AddCallback(absl::string_view name, absl::string_view help,
                                               const MetricLabels& labels, int type, std::function<double()> read) {
  absl::MutexLock lock(&mu_);
  Family& family = FindOrAdd(name, help, type);
  const uint64_t id = next_callback_++;
  family.callbacks.push_back({id, LabelText(CheckedLabels(name, labels)), std::move(read)});
  return CallbackHandle(this, id);
}

Registry::CallbackHandle Registry::AddGaugeCallback(absl::string_view name, absl::string_view help,
                                                    const MetricLabels& labels, std::function<double()> read) {
  return AddCallback(name, help, labels, kGauge, std::move(read));
}

Registry::CallbackHandle Registry::AddCounterCallback(absl::string_view name, absl::string_view help,
                                                      const MetricLabels& labels, std::function<double()> read) {
  return AddCallback(name, help, labels, kCounter, std::move(read));
}

void Registry::RemoveCallback(uint64_t id) {
  absl::MutexLock lock(&mu_);
  for (const std::unique_ptr<Family>& family : families_) {
    const auto same = [id](const Family::Callback& callback) { return callback.id == id; };
    family->callbacks.erase(std::remove_if(family->callbacks.begin(), family->callbacks.end(), same),
                            family->callbacks.end());
  }
}

Registry::CallbackHandle::CallbackHandle(CallbackHandle&& other) noexcept
    : registry_(std::exchange(other.registry_, nullptr)), id_(other.id_) {}

Registry::CallbackHandle& Registry::CallbackHandle::operator=(CallbackHandle&& other) noexcept {
  if (this != &other) {
    if (registry_ != nullptr) registry_->RemoveCallback(id_);
    registry_ = std::exchange(other.registry_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

Registry::CallbackHandle::~CallbackHandle() {
  if (registry_ != nullptr) registry_->RemoveCallback(id_);
}

void Registry::AddProcessMetrics(absl::string_view service, absl::string_view version) {
  AddGauge("alcove_build_info", "Always 1; the labels say what runs.",
           {{"service", std::string(service)}, {"version", std::string(version)}})
      .Set(1);
  process_.push_back(AddGaugeCallback("process_resident_memory_bytes", "Resident memory size in bytes.", {},
                                      [] { return static_cast<double>(ResidentBytes()); }));
  process_.push_back(
      AddCounterCallback("process_cpu_seconds_total", "User and system CPU time spent, in seconds.", {}, CpuSeconds));
  process_.push_back(AddGaugeCallback("process_open_fds", "Open file descriptors.", {},
                                      [] { return static_cast<double>(CountDirectory("/proc/self/fd")); }));
  process_.push_back(AddGaugeCallback("process_max_fds", "File descriptors the process may open.", {}, MaxFds));
  process_.push_back(AddGaugeCallback("process_threads", "Threads of the process.", {}, [] { return ProcStat(20); }));
  AddGauge("process_start_time_seconds", "Start of the process, in seconds since 1970.").Set(StartTimeSeconds());
}

std::string Registry::Render(MetricsFormat format) const {
  std::string out;
  absl::MutexLock lock(&mu_);
  std::vector<const Family*> sorted;
  for (const std::unique_ptr<Family>& family : families_) sorted.push_back(family.get());
  std::sort(sorted.begin(), sorted.end(), [](const Family* a, const Family* b) { return a->name < b->name; });
  for (const Family* family : sorted) family->Render(format, out);
  if (format == MetricsFormat::kOpenMetrics) out += "# EOF\n";
  return out;
}

MetricsFormat NegotiateMetricsFormat(absl::string_view accept) {
  // Scrapers list OpenMetrics with the quality they give it; ties go to OpenMetrics, as in the reference servers.
  double open = -1;
  double text = -1;
  for (const absl::string_view entry : absl::StrSplit(accept, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(entry, ';');
    const std::string type = absl::AsciiStrToLower(absl::StripAsciiWhitespace(parts[0]));
    double quality = 1;
    for (size_t i = 1; i < parts.size(); ++i) {
      absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
      if (absl::ConsumePrefix(&parameter, "q=")) (void)absl::SimpleAtod(parameter, &quality);
    }
    if (type == "application/openmetrics-text") open = std::max(open, quality);
    if (type == "text/plain" || type == "text/*" || type == "*/*") text = std::max(text, quality);
  }
  return open > 0 && open >= text ? MetricsFormat::kOpenMetrics : MetricsFormat::kPrometheusText;
}

absl::string_view MetricsContentType(MetricsFormat format) {
  return format == MetricsFormat::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                               : "text/plain; version=0.0.4; charset=utf-8";
}

Registry& DefaultRegistry() {
  static Registry* const registry = new Registry;
  return *registry;
}

}  // namespace alcove
