#include "services/vector-search/collection/filter_plan.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/vector-search/collection/field_values.h"
#include "services/vector-search/text/tokenizer.h"

namespace alcove::vector_search {

Filter::Filter() = default;
Filter::Filter(const Filter&) = default;
Filter::Filter(Filter&&) noexcept = default;
Filter& Filter::operator=(const Filter&) = default;
Filter& Filter::operator=(Filter&&) noexcept = default;
Filter::~Filter() = default;
bool Filter::empty() const { return must.empty() && should.empty() && must_not.empty(); }

FieldList::FieldList(const CollectionConfig& config) {
  fields.reserve(config.schema.size());
  for (const auto& [path, type] : config.schema) fields.push_back({path, type});
}

absl::StatusOr<size_t> FieldList::Find(absl::string_view label, absl::string_view path) const {
  const auto at = std::lower_bound(fields.begin(), fields.end(), path,
                                   [](const Field& f, absl::string_view p) { return f.path < p; });
  if (at != fields.end() && at->path == path) return static_cast<size_t>(at - fields.begin());
  std::vector<std::string> names;
  std::string known;
  for (const Field& field : fields) {
    names.push_back(field.path);
    if (known.size() + field.path.size() <= 200) absl::StrAppend(&known, known.empty() ? "" : ", ", field.path);
  }
  const absl::string_view nearest = ClosestMatch(path, names);
  return InvalidField(
      label, absl::StrCat("field \"", path.substr(0, kMaxFieldNameBytes), "\" is not in the collection's schema; ",
                          nearest.empty() ? "" : absl::StrCat("did you mean \"", nearest, "\"? "),
                          "it has: ", known.empty() ? "none" : known));
}

namespace {

using Kind = FilterPlan::Kind;

absl::string_view LiteralName(const Literal& literal) {
  switch (literal.index()) {
    case 0: return "null";
    case 1: return "a bool";
    case 2: return "a number";
    default: return "a text";
  }
}

template <typename T>
void SortUnique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

class Planner {
 public:
  explicit Planner(const FieldList& fields) : fields_(fields) {}

  absl::StatusOr<FilterPlan> Group(const Filter& filter, int depth) {
    FilterPlan plan;
    if (filter.empty()) return plan;
    if (depth > kMaxFilterDepth) {
      return InvalidField("filter", absl::StrCat("filters may be nested at most ", kMaxFilterDepth, " deep"));
    }
    plan.kind = Kind::kGroup;
    for (const auto& [conditions, out] : {std::pair{&filter.must, &plan.must}, std::pair{&filter.should, &plan.should},
                                          std::pair{&filter.must_not, &plan.must_not}}) {
      out->reserve(conditions->size());
      for (const Condition& condition : *conditions) {
        if (++conditions_ > kMaxFilterConditions) {
          return InvalidField("filter", absl::StrCat("at most ", kMaxFilterConditions, " conditions"));
        }
        ALCOVE_ASSIGN_OR_RETURN(FilterPlan child, One(condition, depth));
        out->push_back(std::move(child));
      }
    }
    return plan;
  }

 private:
  absl::StatusOr<FilterPlan> One(const Condition& condition, int depth) {
    if (const auto* match = std::get_if<MatchCondition>(&condition)) return Match(*match);
    if (const auto* range = std::get_if<RangeCondition>(&condition)) return Range(*range);
    if (const auto* has_id = std::get_if<HasIdCondition>(&condition)) return HasId(*has_id);
    if (const auto* is_empty = std::get_if<IsEmptyCondition>(&condition)) return IsEmpty(*is_empty);
    if (const auto* text = std::get_if<TextCondition>(&condition)) return Text(*text);
    if (const auto* geo = std::get_if<GeoCondition>(&condition)) return Geo(*geo);
    return Group(std::get<Filter>(condition), depth + 1);
  }

  absl::StatusOr<size_t> Resolve(absl::string_view path) const { return fields_.Find("filter", path); }

  absl::Status WrongType(size_t field, const Literal& literal, absl::string_view expected) const {
    const FieldList::Field& f = fields_.fields[field];
    return InvalidField("filter", absl::StrCat("field \"", f.path, "\" is of type ", FieldTypeName(f.type),
                                               ": it takes ", expected, ", not ", LiteralName(literal)));
  }

  absl::StatusOr<int64_t> TimeKey(size_t field, const Literal& literal) const {
    const auto* text = std::get_if<std::string>(&literal);
    if (text == nullptr) return WrongType(field, literal, "an RFC 3339 text");
    const auto time = ParseRfc3339(*text);
    if (!time) {
      return InvalidField("filter", absl::StrCat("field \"", fields_.fields[field].path, "\": \"", text->substr(0, 64),
                                                 "\" is not an RFC 3339 time such as 2024-05-01T12:00:00Z"));
    }
    return *time;
  }

  absl::StatusOr<double> Number(size_t field, const Literal& literal) const {
    const auto* number = std::get_if<double>(&literal);
    if (number == nullptr) return WrongType(field, literal, "a number");
    if (!std::isfinite(*number)) {
      return InvalidField("filter", absl::StrCat("field \"", fields_.fields[field].path, "\": numbers must be finite"));
    }
    return *number;
  }

  absl::StatusOr<FilterPlan> Match(const MatchCondition& match) const {
    ALCOVE_ASSIGN_OR_RETURN(const size_t field, Resolve(match.field));
    if (match.any_of.empty()) {
      return InvalidField("filter", absl::StrCat("match on \"", match.field, "\" needs `value` or `any_of`"));
    }
    if (match.any_of.size() > kMaxFilterValues) {
      return InvalidField("filter", absl::StrCat("any_of on \"", match.field, "\" has ", match.any_of.size(),
                                                 " values, the limit is ", kMaxFilterValues));
    }
    FilterPlan plan;
    plan.field = field;
    for (const Literal& literal : match.any_of) {
      switch (fields_.fields[field].type) {
        case FieldType::kKeyword: {
          plan.kind = Kind::kKeyword;
          const auto* text = std::get_if<std::string>(&literal);
          if (text == nullptr) return WrongType(field, literal, "a text");
          plan.keywords.push_back(*text);
          break;
        }
        case FieldType::kBool: {
          plan.kind = Kind::kBool;
          const auto* value = std::get_if<bool>(&literal);
          if (value == nullptr) return WrongType(field, literal, "true or false");
          (*value ? plan.want_true : plan.want_false) = true;
          break;
        }
        case FieldType::kInteger: {
          plan.kind = Kind::kNumbers;
          ALCOVE_ASSIGN_OR_RETURN(const double value, Number(field, literal));
          // A fraction equals no whole number; neither does one no integer field can hold.
          if (value == std::trunc(value) && std::fabs(value) <= static_cast<double>(kMaxExactInteger)) {
            plan.numbers.push_back(static_cast<int64_t>(value));
          }
          break;
        }
        case FieldType::kFloat: {
          plan.kind = Kind::kNumbers;
          ALCOVE_ASSIGN_OR_RETURN(const double value, Number(field, literal));
          plan.numbers.push_back(OrderedKey(value));
          break;
        }
        case FieldType::kDatetime: {
          plan.kind = Kind::kNumbers;
          ALCOVE_ASSIGN_OR_RETURN(const int64_t time, TimeKey(field, literal));
          plan.numbers.push_back(time);
          break;
        }
        case FieldType::kGeo:
          return InvalidField("filter", absl::StrCat("field \"", match.field,
                                                     "\" is of type geo: it takes geo_radius, geo_box or geo_polygon"));
        case FieldType::kText:
          return InvalidField("filter",
                              absl::StrCat("field \"", match.field, "\" is of type text: it takes match_text"));
      }
    }
    SortUnique(plan.numbers);
    SortUnique(plan.keywords);
    return plan;
  }

  // The smallest (for lower bounds) or largest key that meets one bound.
  absl::StatusOr<std::optional<int64_t>> BoundKey(size_t field, const Literal& literal, bool lower,
                                                  bool inclusive) const {
    int64_t key = 0;
    switch (fields_.fields[field].type) {
      case FieldType::kInteger: {
        ALCOVE_ASSIGN_OR_RETURN(const double value, Number(field, literal));
        const double edge = lower ? std::ceil(value) : std::floor(value);
        const bool whole = edge == value;
        constexpr double kBeyond = 9.1e15;  // past ±2^53 every integer field is on one side
        key = static_cast<int64_t>(std::clamp(edge, -kBeyond, kBeyond));
        if (!whole) inclusive = true;  // already moved to the next whole number inside
        break;
      }
      case FieldType::kFloat: {
        ALCOVE_ASSIGN_OR_RETURN(const double value, Number(field, literal));
        key = OrderedKey(value);
        break;
      }
      case FieldType::kDatetime: {
        ALCOVE_ASSIGN_OR_RETURN(key, TimeKey(field, literal));
        break;
      }
      default: return absl::InternalError("range on a type without order");
    }
    // Keys stay far from the ends of int64, so one step cannot overflow.
    return inclusive ? key : lower ? key + 1 : key - 1;
  }

  absl::StatusOr<FilterPlan> Range(const RangeCondition& range) const {
    ALCOVE_ASSIGN_OR_RETURN(const size_t field, Resolve(range.field));
    const FieldType type = fields_.fields[field].type;
    if (type != FieldType::kInteger && type != FieldType::kFloat && type != FieldType::kDatetime) {
      return InvalidField("filter", absl::StrCat("field \"", range.field, "\" is of type ", FieldTypeName(type),
                                                 ": ranges need integer, float or datetime"));
    }
    if (!range.gt && !range.gte && !range.lt && !range.lte) {
      return InvalidField("filter", absl::StrCat("range on \"", range.field, "\" needs gt, gte, lt or lte"));
    }
    FilterPlan plan;
    plan.kind = Kind::kRange;
    plan.field = field;
    struct Bound {
      const std::optional<Literal>& literal;
      bool lower, inclusive;
    };
    for (const Bound& bound : {Bound{range.gt, true, false}, Bound{range.gte, true, true},
                               Bound{range.lt, false, false}, Bound{range.lte, false, true}}) {
      if (!bound.literal) continue;
      ALCOVE_ASSIGN_OR_RETURN(const auto key, BoundKey(field, *bound.literal, bound.lower, bound.inclusive));
      if (bound.lower) {
        plan.low = std::max(plan.low, *key);
      } else {
        plan.high = std::min(plan.high, *key);
      }
    }
    if (plan.low > plan.high) plan.kind = Kind::kNone;
    return plan;
  }

  absl::StatusOr<FilterPlan> HasId(const HasIdCondition& has_id) const {
    if (has_id.ids.size() > kMaxFilterValues) {
      return InvalidField("filter",
                          absl::StrCat("has_id has ", has_id.ids.size(), " ids, the limit is ", kMaxFilterValues));
    }
    FilterPlan plan;
    plan.kind = has_id.ids.empty() ? Kind::kNone : Kind::kHasId;
    plan.ids.insert(has_id.ids.begin(), has_id.ids.end());
    return plan;
  }

  absl::StatusOr<FilterPlan> IsEmpty(const IsEmptyCondition& is_empty) const {
    FilterPlan plan;
    ALCOVE_ASSIGN_OR_RETURN(plan.field, Resolve(is_empty.field));
    plan.kind = Kind::kIsEmpty;
    return plan;
  }

  absl::StatusOr<FilterPlan> Text(const TextCondition& text) const {
    FilterPlan plan;
    ALCOVE_ASSIGN_OR_RETURN(plan.field, Resolve(text.field));
    if (const FieldType type = fields_.fields[plan.field].type; type != FieldType::kText) {
      return InvalidField("filter", absl::StrCat("field \"", text.field, "\" is of type ", FieldTypeName(type),
                                                 ": match_text needs text"));
    }
    if (text.text.size() > kMaxTextConditionBytes) {
      return InvalidField("filter", absl::StrCat("match_text on \"", text.field, "\" has ", text.text.size(),
                                                 " bytes, the limit is ", kMaxTextConditionBytes));
    }
    plan.kind = Kind::kText;
    plan.text_mode = text.mode;
    plan.words = Tokenizer::Plain().Words(text.text);
    if (plan.words.empty()) {
      return InvalidField("filter", absl::StrCat("match_text on \"", text.field, "\" needs at least one word"));
    }
    if (plan.words.size() > kMaxTextConditionWords) {
      return InvalidField("filter", absl::StrCat("match_text on \"", text.field, "\" has ", plan.words.size(),
                                                 " words, the limit is ", kMaxTextConditionWords));
    }
    if (plan.text_mode != TextMode::kPhrase) SortUnique(plan.words);
    return plan;
  }

  absl::StatusOr<FilterPlan> Geo(const GeoCondition& geo) const {
    FilterPlan plan;
    ALCOVE_ASSIGN_OR_RETURN(plan.field, Resolve(geo.field));
    if (const FieldType type = fields_.fields[plan.field].type; type != FieldType::kGeo) {
      return InvalidField("filter", absl::StrCat("field \"", geo.field, "\" is of type ", FieldTypeName(type),
                                                 ": this condition needs geo"));
    }
    const absl::Status valid = std::visit([](const auto& shape) { return ValidateGeo(shape); }, geo.shape);
    if (!valid.ok()) return InvalidField("filter", absl::StrCat("field \"", geo.field, "\": ", valid.message()));
    plan.kind = Kind::kGeo;
    plan.shape = std::make_shared<const GeoShape>(geo.shape);
    return plan;
  }

  const FieldList& fields_;
  size_t conditions_ = 0;
};

}  // namespace

absl::StatusOr<FilterPlan> PlanFilter(const CollectionConfig& config, const FieldList& fields, const Filter& filter) {
  return Planner(fields).Group(filter, 1);
}

bool MatchesText(const FilterPlan& plan, absl::string_view payload, absl::string_view path) {
  const std::vector<std::string>& words = plan.words;
  bool found = false;
  std::vector<bool> seen(words.size());
  size_t missing = words.size();
  ForEachKeyword(payload, path, [&](absl::string_view text) {
    if (found) return;
    if (plan.text_mode == TextMode::kPhrase) {
      const std::vector<std::string> text_words = Tokenizer::Plain().Words(text);
      found = std::search(text_words.begin(), text_words.end(), words.begin(), words.end()) != text_words.end();
      return;
    }
    Tokenizer::Plain().ForEach(text, [&](const Token& token) {
      const auto at = std::lower_bound(words.begin(), words.end(), token.text);
      if (at == words.end() || *at != token.text) return true;
      const auto i = static_cast<size_t>(at - words.begin());
      if (!seen[i]) --missing;
      seen[i] = true;
      found = plan.text_mode == TextMode::kAny || missing == 0;
      return !found;
    });
  });
  return found;
}

bool MatchesPoint(const FilterPlan& plan, const FieldList& fields, absl::string_view id, absl::string_view payload) {
  const auto matches = [&](const FilterPlan& child) { return MatchesPoint(child, fields, id, payload); };
  bool found = false;
  switch (plan.kind) {
    case Kind::kAll: return true;
    case Kind::kNone: return false;
    case Kind::kKeyword:
      ForEachKeyword(payload, fields.fields[plan.field].path, [&](absl::string_view text) {
        found = found || std::binary_search(plan.keywords.begin(), plan.keywords.end(), text);
      });
      return found;
    case Kind::kBool: {
      const auto value = FindPath(payload, fields.fields[plan.field].path);
      return value && value->is_bool() && (value->boolean() ? plan.want_true : plan.want_false);
    }
    case Kind::kNumbers:
      ForEachNumber(fields.fields[plan.field].type, payload, fields.fields[plan.field].path, [&](int64_t key) {
        found = found || std::binary_search(plan.numbers.begin(), plan.numbers.end(), key);
      });
      return found;
    case Kind::kRange:
      ForEachNumber(fields.fields[plan.field].type, payload, fields.fields[plan.field].path,
                    [&](int64_t key) { found = found || (key >= plan.low && key <= plan.high); });
      return found;
    case Kind::kHasId: return plan.ids.contains(id);
    case Kind::kIsEmpty: return IsEmptyField(payload, fields.fields[plan.field].path);
    case Kind::kText: return MatchesText(plan, payload, fields.fields[plan.field].path);
    case Kind::kGeo:
      ForEachPlace(payload, fields.fields[plan.field].path,
                   [&](GeoPoint place) { found = found || plan.shape->Contains(place); });
      return found;
    case Kind::kGroup:
      return std::all_of(plan.must.begin(), plan.must.end(), matches) &&
             (plan.should.empty() || std::any_of(plan.should.begin(), plan.should.end(), matches)) &&
             std::none_of(plan.must_not.begin(), plan.must_not.end(), matches);
  }
  return false;
}

}  // namespace alcove::vector_search
