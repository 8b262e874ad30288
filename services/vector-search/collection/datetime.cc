#include "services/vector-search/collection/datetime.h"

#include <absl/time/civil_time.h>

namespace alcove::vector_search {
namespace {

// Takes `digits` decimal digits off the front; nullopt when there are fewer.
std::optional<int> TakeNumber(absl::string_view& text, size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool TakeOne(absl::string_view& text, absl::string_view allowed) {
  if (text.empty() || allowed.find(text[0]) == absl::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::optional<int64_t> ParseRfc3339(absl::string_view text) {
  const auto year = TakeNumber(text, 4);
  if (!year || *year < 1 || !TakeOne(text, "-")) return std::nullopt;
  const auto month = TakeNumber(text, 2);
  if (!month || !TakeOne(text, "-")) return std::nullopt;
  const auto day = TakeNumber(text, 2);
  if (!day || !TakeOne(text, "Tt ")) return std::nullopt;
  const auto hour = TakeNumber(text, 2);
  if (!hour || *hour > 23 || !TakeOne(text, ":")) return std::nullopt;
  const auto minute = TakeNumber(text, 2);
  if (!minute || *minute > 59 || !TakeOne(text, ":")) return std::nullopt;
  const auto second = TakeNumber(text, 2);
  if (!second || *second > 60) return std::nullopt;
  const absl::CivilDay date(*year, *month, *day);
  if (date.month() != *month || date.day() != *day) return std::nullopt;  // 2023-02-30 is no date

  int64_t micros = 0;
  if (TakeOne(text, ".")) {
    int64_t scale = 100'000;
    bool any = false;
    while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
      micros += (text[0] - '0') * scale;
      scale /= 10;
      text.remove_prefix(1);
      any = true;
    }
    if (!any) return std::nullopt;
  }

  int64_t offset_minutes = 0;
  if (!TakeOne(text, "Zz")) {
    if (text.empty()) return std::nullopt;
    const bool negative = text[0] == '-';
    if (!TakeOne(text, "+-")) return std::nullopt;
    const auto hours = TakeNumber(text, 2);
    if (!hours || *hours > 23 || !TakeOne(text, ":")) return std::nullopt;
    const auto minutes = TakeNumber(text, 2);
    if (!minutes || *minutes > 59) return std::nullopt;
    offset_minutes = (*hours * 60 + *minutes) * (negative ? -1 : 1);
  }
  if (!text.empty()) return std::nullopt;

  const int64_t days = date - absl::CivilDay(1970, 1, 1);
  const int64_t seconds = days * 86400 + *hour * 3600 + *minute * 60 + *second - offset_minutes * 60;
  return seconds * 1'000'000 + micros;
}

}  // namespace alcove::vector_search
