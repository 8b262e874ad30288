// W3C Trace Context (https://www.w3.org/TR/trace-context/, level 1): parsing, formatting and child spans. Input comes
// from clients; anything malformed is treated as absent, as the specification asks.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <absl/strings/string_view.h>

namespace alcove {

// Where a request stands in a distributed trace. A value type; the default has no trace (valid() is false).
struct TraceContext {
  static constexpr uint8_t kSampled = 0x01;

  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  uint8_t flags = 0;
  std::string state;  // tracestate header value, at most 512 bytes; empty when absent

  bool valid() const;  // both ids are non-zero
  bool sampled() const { return (flags & kSampled) != 0; }
  std::string trace_id_hex() const;  // 32 lower-case digits
  std::string span_id_hex() const;   // 16 lower-case digits
  friend bool operator==(const TraceContext&, const TraceContext&) = default;
};

// Reads a traceparent value ("00-<32 hex>-<16 hex>-<2 hex>"). Later versions are read as far as version 00 goes.
// nullopt when the value is malformed, has upper-case digits, version ff, or an all-zero id.
std::optional<TraceContext> ParseTraceparent(absl::string_view header);

// The traceparent value of `trace`, always version 00; empty when !trace.valid().
std::string FormatTraceparent(const TraceContext& trace);

// The tracestate value in canonical form: members in order, at most 32 of them and 512 bytes (whole members are dropped
// from the end). Empty when the value is malformed or has a key twice.
std::string SanitizeTracestate(absl::string_view header);

// A new trace with random ids, not sampled unless asked.
TraceContext NewTrace(bool sampled = false);
// The same trace with a new span id; a new trace when `parent` is not valid.
TraceContext ChildSpan(const TraceContext& parent);

// A request id: 32 random lower-case hex digits.
std::string NewRequestId();

// 64 random bits from a per-thread generator seeded by the kernel. Unpredictable enough for ids and jitter, not for
// keys.
uint64_t RandomBits();

}  // namespace alcove
