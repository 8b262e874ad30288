#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace alcove::gateway {

// One segment of a path template.
struct TemplateSegment {
  enum class Kind { kLiteral, kStar, kDoubleStar };
  Kind kind = Kind::kLiteral;
  std::string literal;  // decoded; for kLiteral
  friend bool operator==(const TemplateSegment&, const TemplateSegment&) = default;
};

// A field of the request message bound to segments [first, first + count).
struct TemplateVariable {
  std::string field_path;  // "name" or "document.id"
  size_t first = 0;
  size_t count = 1;
  bool multi = false;  // spans several segments or a **: decoding keeps %2F
  bool rest = false;   // ends in "**": takes whatever the path has left
  friend bool operator==(const TemplateVariable&, const TemplateVariable&) = default;
};

// A path template of google.api.http, as in google/api/http.proto:
//   Template = "/" Segments [ ":" LITERAL ]     Segments = Segment { "/" Segment }
//   Segment  = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}"
// "**" matches the rest of the path (none or more segments) and must come last.
struct PathTemplate {
  std::vector<TemplateSegment> segments;
  std::vector<TemplateVariable> variables;
  std::string verb;  // without ':', empty when there is none
};

// INVALID_ARGUMENT saying what is wrong and where.
absl::StatusOr<PathTemplate> ParsePathTemplate(std::string_view text);

}  // namespace alcove::gateway
