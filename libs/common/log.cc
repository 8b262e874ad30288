#include "libs/common/log.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <deque>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <poll.h>
#include <unistd.h>

#include "libs/common/status.h"
#include "libs/common/text.h"

namespace alcove {
namespace log_internal {
std::atomic<int> g_level{static_cast<int>(LogLevel::kInfo)};
}

namespace {

constexpr absl::string_view kLevelNames[] = {"debug", "info", "warning", "error", "off"};
constexpr absl::string_view kLevelLetters[] = {"DEBUG", "INFO ", "WARN ", "ERROR", "OFF  "};
constexpr size_t kMaxText = 8 * 1024;   // of one value
constexpr size_t kMaxLine = 64 * 1024;  // of one event
constexpr int kStallMillis = 100;

std::atomic<uint64_t> g_dropped{0};

// Writes whole lines to a descriptor without ever blocking for long: it asks poll() for room before each write of at
// most PIPE_BUF bytes, which a pipe with room takes at once.
class Sink {
 public:
  void SetFd(int fd) {
    absl::MutexLock lock(&mu_);
    fd_ = fd;
    stalled_ = false;
  }

  void Write(absl::string_view line) {
    absl::MutexLock lock(&mu_);
    bool first = true;
    while (!line.empty()) {
      pollfd poll_fd = {fd_, POLLOUT, 0};
      const int ready = poll(&poll_fd, 1, stalled_ ? 0 : kStallMillis);
      if (ready < 0 && errno == EINTR) continue;
      if (ready == 0) {
        stalled_ = true;
        torn_ = torn_ || !first;
        g_dropped.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      if (torn_) {
        // The reader saw only the beginning of an earlier line.
        torn_ = false;
        if (write(fd_, "\n", 1) < 0) return;
        continue;
      }
      stalled_ = false;
      const ssize_t written = write(fd_, line.data(), std::min<size_t>(line.size(), 4096));
      if (written < 0) {
        if (errno == EINTR || errno == EAGAIN) continue;
        g_dropped.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      line.remove_prefix(static_cast<size_t>(written));
      first = false;
    }
  }

 private:
  absl::Mutex mu_;
  int fd_ ABSL_GUARDED_BY(mu_) = 2;
  bool stalled_ ABSL_GUARDED_BY(mu_) = false;
  bool torn_ ABSL_GUARDED_BY(mu_) = false;
};

Sink& GetSink() {
  static Sink* const sink = new Sink;
  return *sink;
}

std::atomic<bool> g_json{false};
std::atomic<const std::string*> g_service{nullptr};

bool NeedsQuotes(absl::string_view text) {
  return text.empty() || std::any_of(text.begin(), text.end(), [](char c) {
           return c <= ' ' || c == '"' || c == '=' || c == '\\' || static_cast<uint8_t>(c) >= 0x7f;
         });
}

void AppendText(std::string& out, absl::string_view text, bool json) {
  const absl::string_view cut = TruncateUtf8(text, kMaxText);
  if (cut.size() < text.size()) {
    AppendJsonString(out, absl::StrCat(cut, "…"));
  } else if (json || NeedsQuotes(text)) {
    AppendJsonString(out, text);
  } else {
    absl::StrAppend(&out, text);
  }
}

void AppendValue(std::string& out, const LogValue::Variant& value, bool json) {
  if (const auto* view = std::get_if<absl::string_view>(&value)) {
    AppendText(out, *view, json);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    AppendText(out, *text, json);
  } else if (const auto* i = std::get_if<int64_t>(&value)) {
    absl::StrAppend(&out, *i);
  } else if (const auto* u = std::get_if<uint64_t>(&value)) {
    absl::StrAppend(&out, *u);
  } else if (const auto* b = std::get_if<bool>(&value)) {
    absl::StrAppend(&out, *b ? "true" : "false");
  } else {
    const double d = std::get<double>(value);
    const std::string number = absl::StrFormat("%.9g", d);
    // JSON has no NaN and no infinity.
    absl::StrAppend(&out, json && !std::isfinite(d) ? absl::StrCat("\"", number, "\"") : number);
  }
}

class LineBuilder {
 public:
  explicit LineBuilder(bool json) : json_(json) { line_.reserve(256); }

  void Field(absl::string_view key, const LogValue& value) {
    if (line_.size() > kMaxLine) return;
    if (json_) {
      line_.push_back(line_.empty() ? '{' : ',');
      AppendJsonString(line_, key);
      line_.push_back(':');
    } else {
      line_.push_back(' ');
      line_.push_back(' ');
      AppendText(line_, key, false);
      line_.push_back('=');
    }
    AppendValue(line_, value.value(), json_);
  }
  void Raw(absl::string_view text) { absl::StrAppend(&line_, text); }
  void TextMessage(absl::string_view message) {
    const absl::string_view cut = TruncateUtf8(message, kMaxText);
    const bool plain =
        std::none_of(cut.begin(), cut.end(), [](char c) { return static_cast<uint8_t>(c) < ' '; }) && IsValidUtf8(cut);
    if (plain) {
      Raw(cut);
    } else {
      AppendJsonString(line_, cut);
    }
  }
  std::string Finish() {
    line_ += json_ ? "}\n" : "\n";
    return std::move(line_);
  }

 private:
  const bool json_;
  std::string line_;
};

}  // namespace

namespace log_internal {

void Write(LogLevel level, const RequestContext* ctx, absl::string_view message, LogFields fields) {
  const bool json = g_json.load(std::memory_order_relaxed);
  const std::string* service = g_service.load(std::memory_order_acquire);
  const size_t index = std::min<size_t>(static_cast<size_t>(level), 3);
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  LineBuilder line(json);
  if (json) {
    line.Field("time", time);
    line.Field("level", kLevelNames[index]);
    line.Field("message", message);
  } else {
    line.Raw(absl::StrCat(time, " ", kLevelLetters[index], " "));
    line.TextMessage(message);
  }
  for (const LogField& field : fields) line.Field(field.key, field.value);
  if (ctx != nullptr) {
    if (!ctx->request_id().empty()) line.Field("request_id", ctx->request_id());
    if (!ctx->tenant().empty()) line.Field("tenant", ctx->tenant());
    if (ctx->trace().valid()) {
      line.Field("trace_id", ctx->trace().trace_id_hex());
      line.Field("span_id", ctx->trace().span_id_hex());
    }
  }
  if (service != nullptr && !service->empty()) line.Field("service", *service);
  GetSink().Write(line.Finish());
}

}  // namespace log_internal

absl::string_view LogLevelName(LogLevel level) { return kLevelNames[std::clamp(static_cast<int>(level), 0, 4)]; }

std::optional<LogLevel> ParseLogLevel(absl::string_view name) {
  if (name == "warn") name = "warning";
  for (int i = 0; i < 5; ++i) {
    if (kLevelNames[i] == name) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

std::optional<LogFormat> ParseLogFormat(absl::string_view name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  return std::nullopt;
}

void InitLogging(const LogOptions& options) {
  // A line being written elsewhere may still use an earlier name, so names are kept; this runs once or twice a process.
  static absl::Mutex names_mu(absl::kConstInit);
  static auto* const names = new std::deque<std::string>;
  {
    absl::MutexLock lock(&names_mu);
    g_service.store(&names->emplace_back(options.service), std::memory_order_release);
  }
  g_json.store(options.format == LogFormat::kJson, std::memory_order_relaxed);
  log_internal::g_level.store(static_cast<int>(options.level), std::memory_order_relaxed);
  GetSink().SetFd(options.fd);
}

uint64_t DroppedLogLines() { return g_dropped.load(std::memory_order_relaxed); }

LogValue::LogValue(absl::Duration value) : value_(FormatDurationShort(value)) {}

LogValue::LogValue(const absl::Status& value)
    : value_(value.ok() ? std::string("OK") : absl::StrCat(StatusCodeName(value.code()), ": ", value.message())) {}

LogLimiter::LogLimiter(absl::Duration interval, const Clock* clock)
    : interval_ns_(absl::ToInt64Nanoseconds(interval)), clock_(clock), next_ns_(clock->MonotonicNanos()) {}

bool LogLimiter::Allow(uint64_t* skipped) {
  const int64_t now = clock_->MonotonicNanos();
  int64_t next = next_ns_.load(std::memory_order_relaxed);
  if (now < next || !next_ns_.compare_exchange_strong(next, now + interval_ns_, std::memory_order_relaxed)) {
    skipped_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  const uint64_t count = skipped_.exchange(0, std::memory_order_relaxed);
  if (skipped != nullptr) *skipped = count;
  return true;
}

}  // namespace alcove
