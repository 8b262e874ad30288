#include "libs/common/text.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>

namespace alcove {
namespace {

constexpr absl::string_view kBinaryUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

// "1.50" → "1.5", "2.00" → "2"
std::string TrimDecimals(std::string number) {
  if (number.find('.') == std::string::npos) return number;
  number.erase(number.find_last_not_of('0') + 1);
  if (number.back() == '.') number.pop_back();
  return number;
}

// The length of the well-formed UTF-8 sequence at the front of `text`, 0 when there is none (RFC 3629, table 3-7 of
// the Unicode standard).
size_t SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto continues = [&](size_t i, uint8_t low = 0x80, uint8_t high = 0xbf) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  if (text.empty()) return 0;
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const uint8_t low = lead == 0xe0 ? 0xa0 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : 0xbf;
    return continues(1, low, high) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const uint8_t low = lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xf4 ? 0x8f : 0xbf;
    return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

constexpr absl::string_view kReplacement = "\xef\xbf\xbd";

}  // namespace

std::string FormatBytes(uint64_t bytes) {
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kBinaryUnits)) {
    value /= 1024;
    ++unit;
  }
  return absl::StrCat(TrimDecimals(absl::StrFormat("%.1f", value)), " ", kBinaryUnits[unit]);
}

std::string FormatByteSizeExact(uint64_t bytes) {
  size_t unit = 0;
  uint64_t value = bytes;
  while (value >= 1024 && value % 1024 == 0 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? absl::StrCat(bytes) : absl::StrCat(value, kBinaryUnits[unit]);
}

absl::StatusOr<uint64_t> ParseByteSize(absl::string_view text) {
  const auto error = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text.substr(0, 64),
                     "\" is not a size; write a number of bytes, or a number with a unit such as 64MiB or 1.5GB"));
  };
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  const size_t number_end =
      std::find_if(trimmed.begin(), trimmed.end(), [](char c) { return !absl::ascii_isdigit(c) && c != '.'; }) -
      trimmed.begin();
  const absl::string_view number = trimmed.substr(0, number_end);
  std::string unit = absl::AsciiStrToLower(absl::StripAsciiWhitespace(trimmed.substr(number_end)));
  if (number.empty() || !absl::ascii_isdigit(number[0])) return error();

  double multiplier = 1;
  if (!unit.empty() && unit.back() == 'b') unit.pop_back();
  if (!unit.empty()) {
    const bool binary = unit.size() == 2 && unit[1] == 'i';
    const size_t power = absl::string_view("kmgtp").find(unit[0]);
    if (power == absl::string_view::npos || (unit.size() != 1 && !binary)) return error();
    multiplier = std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
  }

  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  if (uint64_t whole = 0; absl::SimpleAtoi(number, &whole)) {
    const auto factor = static_cast<uint64_t>(multiplier);
    if (whole > kMax / factor) return error();
    return whole * factor;
  }
  double value = 0;
  if (!absl::SimpleAtod(number, &value) || !(value * multiplier < static_cast<double>(kMax))) return error();
  return static_cast<uint64_t>(std::llround(value * multiplier));
}

std::string FormatDurationShort(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "inf";
  if (duration < absl::ZeroDuration()) return absl::StrCat("-", FormatDurationShort(-duration));
  if (duration == absl::ZeroDuration()) return "0";
  const auto with_unit = [](double value, absl::string_view unit) {
    const int decimals = value < 10 ? 3 : value < 100 ? 2 : 1;
    return absl::StrCat(TrimDecimals(absl::StrFormat("%.*f", decimals, value)), unit);
  };
  if (duration < absl::Microseconds(1)) return with_unit(absl::ToDoubleNanoseconds(duration), "ns");
  if (duration < absl::Milliseconds(1)) return with_unit(absl::ToDoubleMicroseconds(duration), "us");
  if (duration < absl::Seconds(1)) return with_unit(absl::ToDoubleMilliseconds(duration), "ms");
  if (duration < absl::Minutes(1)) return with_unit(absl::ToDoubleSeconds(duration), "s");
  const auto two = [](int64_t big, absl::string_view big_unit, int64_t small, absl::string_view small_unit) {
    return small == 0 ? absl::StrCat(big, big_unit) : absl::StrCat(big, big_unit, small, small_unit);
  };
  const int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds < 3600) return two(seconds / 60, "m", seconds % 60, "s");
  const int64_t minutes = seconds / 60;
  if (minutes < 24 * 60) return two(minutes / 60, "h", minutes % 60, "m");
  const int64_t hours = minutes / 60;
  return two(hours / 24, "d", hours % 24, "h");
}

std::string FormatDurationExact(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "inf";
  if (duration < absl::ZeroDuration()) return absl::StrCat("-", FormatDurationExact(-duration));
  if (duration == absl::ZeroDuration()) return "0s";
  struct Unit {
    absl::Duration length;
    absl::string_view name;
  };
  static const Unit kUnits[] = {{absl::Hours(1), "h"},
                                {absl::Minutes(1), "m"},
                                {absl::Seconds(1), "s"},
                                {absl::Milliseconds(1), "ms"},
                                {absl::Microseconds(1), "us"}};
  for (const Unit& unit : kUnits) {
    if (duration % unit.length == absl::ZeroDuration()) return absl::StrCat(duration / unit.length, unit.name);
  }
  return absl::StrCat(absl::ToInt64Nanoseconds(duration), "ns");
}

absl::StatusOr<absl::Duration> ParseDurationText(absl::string_view text) {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  const auto error = [&] {
    return absl::InvalidArgumentError(absl::StrCat("\"", text.substr(0, 64),
                                                   "\" is not a duration; write a number with a unit such as 500us, "
                                                   "50ms, 1.5s, 2m, 1h30m or 7d"));
  };
  if (trimmed.size() > 64) return error();
  // absl::ParseDuration knows everything but days: rewrite a leading number of days as hours.
  std::string rewritten(trimmed);
  if (const size_t d = trimmed.find('d'); d != absl::string_view::npos) {
    double days = 0;
    if (!absl::SimpleAtod(trimmed.substr(0, d), &days) || !std::isfinite(days)) return error();
    rewritten = absl::StrFormat("%.9fh%s", days * 24, trimmed.substr(d + 1));
  }
  absl::Duration duration;
  if (!absl::ParseDuration(rewritten, &duration)) return error();
  return duration;
}

bool IsValidUtf8(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = SequenceLength(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

absl::string_view TruncateUtf8(absl::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  // A code point is at most four bytes, so a cut one begins at most three bytes before the end.
  for (int i = 0; i < 3 && end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80; ++i) --end;
  return text.substr(0, end);
}

std::string ToValidUtf8(absl::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t length = SequenceLength(bytes);
    if (length == 0) {
      absl::StrAppend(&out, kReplacement);
      bytes.remove_prefix(1);
    } else {
      absl::StrAppend(&out, bytes.substr(0, length));
      bytes.remove_prefix(length);
    }
  }
  return out;
}

void AppendJsonString(std::string& out, absl::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  out.push_back('"');
  while (!bytes.empty()) {
    const auto byte = static_cast<uint8_t>(bytes[0]);
    if (byte >= 0x80) {
      const size_t length = SequenceLength(bytes);
      absl::StrAppend(&out, length == 0 ? kReplacement : bytes.substr(0, length));
      bytes.remove_prefix(std::max<size_t>(length, 1));
      continue;
    }
    switch (byte) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (byte < 0x20 || byte == 0x7f) {
          out += "\\u00";
          out.push_back(kDigits[byte >> 4]);
          out.push_back(kDigits[byte & 15]);
        } else {
          out.push_back(static_cast<char>(byte));
        }
    }
    bytes.remove_prefix(1);
  }
  out.push_back('"');
}

absl::string_view ClosestMatch(absl::string_view word, absl::Span<const std::string> candidates) {
  constexpr size_t kMaxWord = 128;
  if (word.empty() || word.size() > kMaxWord) return {};
  const std::string wanted = absl::AsciiStrToLower(word);
  absl::string_view best;
  size_t best_distance = 1 + std::max<size_t>(1, word.size() / 3);
  for (const std::string& candidate : candidates) {
    if (candidate.empty() || candidate.size() > kMaxWord) continue;
    const std::string other = absl::AsciiStrToLower(candidate);
    // Edit distance with swaps of neighbours (optimal string alignment), three rows at a time.
    std::vector<size_t> before(other.size() + 1), previous(other.size() + 1), current(other.size() + 1);
    for (size_t j = 0; j <= other.size(); ++j) previous[j] = j;
    for (size_t i = 1; i <= wanted.size(); ++i) {
      current[0] = i;
      for (size_t j = 1; j <= other.size(); ++j) {
        const size_t substitute = previous[j - 1] + (wanted[i - 1] == other[j - 1] ? 0 : 1);
        current[j] = std::min({previous[j] + 1, current[j - 1] + 1, substitute});
        if (i > 1 && j > 1 && wanted[i - 1] == other[j - 2] && wanted[i - 2] == other[j - 1]) {
          current[j] = std::min(current[j], before[j - 2] + 1);
        }
      }
      std::swap(before, previous);
      std::swap(previous, current);
    }
    if (previous[other.size()] < best_distance) {
      best_distance = previous[other.size()];
      best = candidate;
    }
  }
  return best;
}

}  // namespace alcove
