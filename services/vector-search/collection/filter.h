// Conditions on payload: the tree a request states, checked against a collection's schema into a form that can be
// evaluated (filter_plan.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "services/vector-search/collection/geo.h"

namespace alcove::vector_search {

inline constexpr int kMaxFilterDepth = 8;             // filters within filters, the outermost included
inline constexpr size_t kMaxFilterValues = 1024;      // of one any_of or has_id
inline constexpr size_t kMaxFilterConditions = 4096;  // in the whole tree
inline constexpr size_t kMaxTextConditionBytes = 32 << 10;
inline constexpr size_t kMaxTextConditionWords = 256;

// A value in a condition. JSON knows one kind of number.
using Literal = std::variant<std::monostate, bool, double, std::string>;

struct Filter;

struct MatchCondition {
  std::string field;
  std::vector<Literal> any_of;  // one of them must be equal
};

struct RangeCondition {
  std::string field;
  std::optional<Literal> gt, gte, lt, lte;
};

// Words of a text field (text/tokenizer.h, without language and stop words).
enum class TextMode : uint8_t {
  kAll = 1,     // every word occurs
  kAny = 2,     // one of them does
  kPhrase = 3,  // they follow one another, within one text of a list
};
struct TextCondition {
  std::string field;
  std::string text;
  TextMode mode = TextMode::kAll;
};

// A geo field has a place inside the shape.
struct GeoCondition {
  std::string field;
  std::variant<GeoCircle, GeoBox, GeoPolygon> shape;
};

struct HasIdCondition {
  std::vector<std::string> ids;
};

struct IsEmptyCondition {
  std::string field;
};

using Condition =
    std::variant<MatchCondition, RangeCondition, HasIdCondition, IsEmptyCondition, TextCondition, GeoCondition, Filter>;

// All of `must`, at least one of `should` if there are any, none of `must_not`. An empty filter matches everything.
struct Filter {
  std::vector<Condition> must;
  std::vector<Condition> should;
  std::vector<Condition> must_not;

  // Out of line because Condition is incomplete here.
  Filter();
  Filter(const Filter&);
  Filter(Filter&&) noexcept;
  Filter& operator=(const Filter&);
  Filter& operator=(Filter&&) noexcept;
  ~Filter();

  bool empty() const;
};

}  // namespace alcove::vector_search
