// How payload values become the keys indexes hold and plans compare.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>

#include <absl/strings/string_view.h>

#include "services/vector-search/collection/datetime.h"
#include "services/vector-search/collection/geo.h"
#include "services/vector-search/collection/payload.h"
#include "services/vector-search/collection/schema.h"

namespace alcove::vector_search {

// Keeps the order of doubles: a < b exactly when OrderedKey(a) < OrderedKey(b); -0 equals 0. Not for NaN.
inline int64_t OrderedKey(double value) {
  value += 0.0;  // -0 becomes 0
  int64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits ^ (static_cast<int64_t>(static_cast<uint64_t>(bits >> 63) >> 1));
}

// Calls visit(value) for the value at `path`, or for each element when it is a list; not for nulls.
template <typename Visit>
void ForEachValue(absl::string_view payload, absl::string_view path, Visit visit) {
  const std::optional<ValueView> value = FindPath(payload, path);
  if (!value) return;
  if (value->kind() != ValueKind::kList) {
    if (value->kind() != ValueKind::kNull) visit(*value);
    return;
  }
  for (ListView it = value->list(); !it.done(); it.Next()) {
    if (it.value().kind() != ValueKind::kNull) visit(it.value());
  }
}

// Calls visit(key) for each number or time a field holds: whole numbers as they are, floats by OrderedKey, times in
// microseconds. Values of another type (written before the schema knew the field) are passed over.
template <typename Visit>
void ForEachNumber(FieldType type, absl::string_view payload, absl::string_view path, Visit visit) {
  ForEachValue(payload, path, [&](ValueView value) {
    switch (type) {
      case FieldType::kInteger:
        if (value.kind() == ValueKind::kInteger) visit(value.integer());
        break;
      case FieldType::kFloat:
        if (value.is_number()) visit(OrderedKey(value.number()));
        break;
      case FieldType::kDatetime:
        if (value.kind() == ValueKind::kString) {
          if (const auto time = ParseRfc3339(value.string())) visit(*time);
        }
        break;
      default: break;
    }
  });
}

// The place an object {"lat": …, "lon": …} names.
inline std::optional<GeoPoint> ParsePlace(ValueView value) {
  if (value.kind() != ValueKind::kObject) return std::nullopt;
  const auto lat = value.object().Find("lat");
  const auto lon = value.object().Find("lon");
  if (!lat || !lon || !lat->is_number() || !lon->is_number()) return std::nullopt;
  const GeoPoint place{lat->number(), lon->number()};
  return place.valid() ? std::optional(place) : std::nullopt;
}

// Calls visit(place) for each place a geo field holds.
template <typename Visit>
void ForEachPlace(absl::string_view payload, absl::string_view path, Visit visit) {
  ForEachValue(payload, path, [&](ValueView value) {
    if (const auto place = ParsePlace(value)) visit(*place);
  });
}

// Calls visit(text) for each text a keyword or text field holds.
template <typename Visit>
void ForEachKeyword(absl::string_view payload, absl::string_view path, Visit visit) {
  ForEachValue(payload, path, [&](ValueView value) {
    if (value.kind() == ValueKind::kString) visit(value.string());
  });
}

// Absent, null or an empty list.
inline bool IsEmptyField(absl::string_view payload, absl::string_view path) {
  const std::optional<ValueView> value = FindPath(payload, path);
  if (!value || value->kind() == ValueKind::kNull) return true;
  return value->kind() == ValueKind::kList && value->list().done();
}

}  // namespace alcove::vector_search
