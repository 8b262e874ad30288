// Numbers with units, UTF-8, JSON strings and near misses.
#pragma once

#include <cstdint>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>
#include <absl/types/span.h>

namespace alcove {

// "0 B", "512 B", "1.5 KiB", "64 MiB": at most one decimal, binary units.
std::string FormatBytes(uint64_t bytes);
// The shortest text ParseByteSize reads back exactly: "64MiB", "1500".
std::string FormatByteSizeExact(uint64_t bytes);
// "1048576", "64MiB", "64Mi", "1.5GB", "512k", "10 GiB": k, M, G, T (with or without B) are powers of 1000, Ki … Ti of
// 1024, letters in any case. INVALID_ARGUMENT for anything else, for negative values and beyond 2^63-1.
absl::StatusOr<uint64_t> ParseByteSize(absl::string_view text);

// For people: "350us", "12.5ms", "1.5s", "2m", "1h30m", "7d"; two units or three decimals at most.
std::string FormatDurationShort(absl::Duration duration);
// Text ParseDurationText reads back exactly, in the largest unit that divides it: "90s", "1500us", "2h".
std::string FormatDurationExact(absl::Duration duration);
// "0", "50ms", "1.5s", "1h30m", "7d", "-5s", and "inf". INVALID_ARGUMENT for a bare non-zero number and anything else.
absl::StatusOr<absl::Duration> ParseDurationText(absl::string_view text);

// Whether the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
bool IsValidUtf8(absl::string_view bytes);
// The longest prefix of at most `max_bytes` bytes that does not cut a code point.
absl::string_view TruncateUtf8(absl::string_view text, size_t max_bytes);
// The text with every ill-formed sequence replaced by U+FFFD.
std::string ToValidUtf8(absl::string_view bytes);

// Appends `bytes` as a JSON string with its quotes. Ill-formed UTF-8 becomes U+FFFD, so the result is always valid
// JSON.
void AppendJsonString(std::string& out, absl::string_view bytes);

// The candidate nearest to `word` (case does not count) when close enough to be a slip of the pen, else empty.
absl::string_view ClosestMatch(absl::string_view word, absl::Span<const std::string> candidates);

}  // namespace alcove
