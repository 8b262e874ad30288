// Structured logging to stderr, one line per event, as JSON or as text for people.
//
//   LogInfo("listening", {{"address", address}, {"threads", threads}});
//   LogWarning(ctx, "redis is away; serving without it", {{"error", status}});
//
// What may be logged: names, ids, sizes, counts, durations, codes. Never prompts, documents, vectors, ciphertexts,
// keys, tokens or passwords. Any bytes are escaped, so a line is always one line of valid UTF-8.
//
// Thread safe. A line is written with one write(2); when the reader of stderr stalls, a caller waits at most 100 ms
// once and later lines are dropped and counted until the reader is back.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

#include "libs/common/request_context.h"

namespace alcove {

enum class LogLevel : int { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3, kOff = 4 };
enum class LogFormat { kText, kJson };

// "debug", "info", "warning", "error", "off".
absl::string_view LogLevelName(LogLevel level);
std::optional<LogLevel> ParseLogLevel(absl::string_view name);
// "text", "json".
std::optional<LogFormat> ParseLogFormat(absl::string_view name);

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  std::string service;  // put into every line, e.g. "alcove-gateway"; empty to leave out
  int fd = 2;           // where lines go; tests give a pipe
};

// Replaces the process's logging options; until the first call they are the defaults above.
void InitLogging(const LogOptions& options);
// Lines dropped because the reader of the log stalled, since the process began.
uint64_t DroppedLogLines();

// A value in a log line. Texts are not copied: they must live until the call returns, which temporaries do.
class LogValue {
 public:
  LogValue(absl::string_view text) : value_(text) {}                      // NOLINT(google-explicit-constructor)
  LogValue(const char* text) : value_(absl::string_view(text)) {}         // NOLINT
  LogValue(const std::string& text) : value_(absl::string_view(text)) {}  // NOLINT
  LogValue(bool value) : value_(value) {}                                 // NOLINT
  LogValue(double value) : value_(value) {}                               // NOLINT
  LogValue(float value) : value_(double{value}) {}                        // NOLINT
  LogValue(absl::Duration value);                                         // NOLINT: as text, "12.5ms"
  LogValue(const absl::Status& value);                                    // NOLINT: as "CODE: message"
  template <typename T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
  LogValue(T value) {  // NOLINT
    if constexpr (std::is_signed_v<T>) {
      value_ = int64_t{value};
    } else {
      value_ = uint64_t{value};
    }
  }

  using Variant = std::variant<absl::string_view, std::string, int64_t, uint64_t, double, bool>;
  const Variant& value() const { return value_; }

 private:
  Variant value_;
};

struct LogField {
  absl::string_view key;
  LogValue value;
};
using LogFields = std::initializer_list<LogField>;

namespace log_internal {
extern std::atomic<int> g_level;
void Write(LogLevel level, const RequestContext* ctx, absl::string_view message, LogFields fields);
}  // namespace log_internal

// Whether a line of this level would be written. One relaxed load.
inline bool LogEnabled(LogLevel level) {
  return static_cast<int>(level) >= log_internal::g_level.load(std::memory_order_relaxed);
}

// With a context, request_id, tenant, trace_id and span_id are added.
inline void Log(LogLevel level, absl::string_view message, LogFields fields = {}) {
  if (LogEnabled(level)) log_internal::Write(level, nullptr, message, fields);
}
inline void Log(LogLevel level, const RequestContext& ctx, absl::string_view message, LogFields fields = {}) {
  if (LogEnabled(level)) log_internal::Write(level, &ctx, message, fields);
}

inline void LogDebug(absl::string_view message, LogFields fields = {}) { Log(LogLevel::kDebug, message, fields); }
inline void LogInfo(absl::string_view message, LogFields fields = {}) { Log(LogLevel::kInfo, message, fields); }
inline void LogWarning(absl::string_view message, LogFields fields = {}) { Log(LogLevel::kWarning, message, fields); }
inline void LogError(absl::string_view message, LogFields fields = {}) { Log(LogLevel::kError, message, fields); }
inline void LogDebug(const RequestContext& ctx, absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kDebug, ctx, message, fields);
}
inline void LogInfo(const RequestContext& ctx, absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kInfo, ctx, message, fields);
}
inline void LogWarning(const RequestContext& ctx, absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kWarning, ctx, message, fields);
}
inline void LogError(const RequestContext& ctx, absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kError, ctx, message, fields);
}

// At most one line per `interval` from one place in the code:
//   static LogLimiter limiter(absl::Seconds(10));
//   if (uint64_t skipped; limiter.Allow(&skipped)) LogWarning("retrying", {{"skipped", skipped}});
// Thread safe and lock-free.
class LogLimiter {
 public:
  explicit LogLimiter(absl::Duration interval, const Clock* clock = RealClock());
  // Whether to log now. `skipped`, when given, receives how many calls were refused since the last one allowed.
  bool Allow(uint64_t* skipped = nullptr);

 private:
  const int64_t interval_ns_;
  const Clock* clock_;
  std::atomic<int64_t> next_ns_;
  std::atomic<uint64_t> skipped_{0};
};

}  // namespace alcove
