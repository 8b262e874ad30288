#include "services/vector-search/collection/payload_index.h"

#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/vector-search/collection/field_values.h"
#include "services/vector-search/text/tokenizer.h"

namespace alcove::vector_search {
namespace {

// Calls visit(word) for each word of a text field's texts.
template <typename Visit>
void ForEachWord(absl::string_view payload, absl::string_view path, Visit visit) {
  ForEachKeyword(payload, path, [&](absl::string_view text) {
    Tokenizer::Plain().ForEach(text, [&](const Token& token) {
      visit(token.text);
      return true;
    });
  });
}

}  // namespace

absl::StatusOr<size_t> FacetField(const FieldList& fields, absl::string_view path) {
  ALCOVE_ASSIGN_OR_RETURN(const size_t field, fields.Find("field", path));
  const FieldType type = fields.fields[field].type;
  if (type != FieldType::kKeyword && type != FieldType::kInteger && type != FieldType::kBool) {
    return InvalidField("field", absl::StrCat("\"", path, "\" is of type ", FieldTypeName(type),
                                              ": counted are values of keyword, integer and bool fields"));
  }
  return field;
}

PayloadIndex::PayloadIndex(FieldList fields) : fields_(std::move(fields)), index_(fields_.fields.size()) {}

void PayloadIndex::Add(Row row, absl::string_view payload) {
  live_.Add(row);
  for (size_t i = 0; i < index_.size(); ++i) {
    const auto& [path, type] = fields_.fields[i];
    Field& field = index_[i];
    if (IsEmptyField(payload, path)) continue;
    field.filled.Add(row);
    if (type == FieldType::kKeyword) {
      ForEachKeyword(payload, path, [&](absl::string_view text) { field.keywords[text].Add(row); });
    } else if (type == FieldType::kText) {
      ForEachWord(payload, path, [&](absl::string_view word) { field.keywords[word].Add(row); });
    } else if (type == FieldType::kGeo) {
      ForEachPlace(payload, path, [&](GeoPoint place) { field.places.Add(row, place); });
    } else if (type == FieldType::kBool) {
      const auto value = FindPath(payload, path);
      if (value && value->is_bool()) (value->boolean() ? field.yes : field.no).Add(row);
    } else {
      ForEachNumber(type, payload, path, [&](int64_t key) { field.numbers.emplace(key, row); });
    }
  }
}

void PayloadIndex::Remove(Row row, absl::string_view payload) {
  live_.Remove(row);
  for (size_t i = 0; i < index_.size(); ++i) {
    const auto& [path, type] = fields_.fields[i];
    Field& field = index_[i];
    if (!field.filled.Remove(row)) continue;
    const auto remove_keyword = [&](absl::string_view text) {
      const auto at = field.keywords.find(text);
      if (at == field.keywords.end()) return;
      at->second.Remove(row);
      if (at->second.empty()) field.keywords.erase(at);
    };
    if (type == FieldType::kKeyword) {
      ForEachKeyword(payload, path, remove_keyword);
    } else if (type == FieldType::kText) {
      ForEachWord(payload, path, remove_keyword);
    } else if (type == FieldType::kGeo) {
      ForEachPlace(payload, path, [&](GeoPoint place) { field.places.Remove(row, place); });
    } else if (type == FieldType::kBool) {
      field.yes.Remove(row);
      field.no.Remove(row);
    } else {
      ForEachNumber(type, payload, path, [&](int64_t key) { field.numbers.erase({key, row}); });
    }
  }
}

RowBitmap PayloadIndex::Evaluate(const FilterPlan& plan, size_t capacity, const RowSource& rows) const {
  RowBitmap out(capacity);
  Evaluate(plan, out, rows);
  return out;
}

void PayloadIndex::EvaluateText(const FilterPlan& plan, RowBitmap& out, const RowSource& rows) const {
  const Field& field = index_[plan.field];
  if (plan.text_mode == TextMode::kAny) {
    for (const std::string& word : plan.words) {
      if (const auto at = field.keywords.find(word); at != field.keywords.end()) at->second.AddTo(out);
    }
    return;
  }
  RowBitmap candidates(out.size());
  bool first = true;
  for (const std::string& word : plan.words) {
    const auto at = field.keywords.find(word);
    if (at == field.keywords.end()) return;
    if (first) {
      at->second.AddTo(candidates);
      first = false;
      continue;
    }
    RowBitmap holds(out.size());
    at->second.AddTo(holds);
    candidates.And(holds);
  }
  if (plan.text_mode == TextMode::kAll) return out.Or(candidates);
  candidates.ForEach([&](Row row) {
    if (MatchesText(plan, rows.payload(row), fields_.fields[plan.field].path)) out.Add(row);
    return true;
  });
}

void PayloadIndex::Evaluate(const FilterPlan& plan, RowBitmap& out, const RowSource& source) const {
  const auto evaluate = [&](const FilterPlan& child) {
    RowBitmap rows(out.size());
    Evaluate(child, rows, source);
    return rows;
  };
  switch (plan.kind) {
    case FilterPlan::Kind::kAll: live_.AddTo(out); return;
    case FilterPlan::Kind::kNone: return;
    case FilterPlan::Kind::kKeyword: {
      const Field& field = index_[plan.field];
      for (const std::string& text : plan.keywords) {
        if (const auto at = field.keywords.find(text); at != field.keywords.end()) at->second.AddTo(out);
      }
      return;
    }
    case FilterPlan::Kind::kBool:
      if (plan.want_true) index_[plan.field].yes.AddTo(out);
      if (plan.want_false) index_[plan.field].no.AddTo(out);
      return;
    case FilterPlan::Kind::kNumbers: {
      const auto& numbers = index_[plan.field].numbers;
      for (const int64_t key : plan.numbers) {
        for (auto it = numbers.lower_bound({key, 0}); it != numbers.end() && it->first == key; ++it) {
          if (it->second < out.size()) out.Add(it->second);
        }
      }
      return;
    }
    case FilterPlan::Kind::kRange: {
      const auto& numbers = index_[plan.field].numbers;
      for (auto it = numbers.lower_bound({plan.low, 0}); it != numbers.end() && it->first <= plan.high; ++it) {
        if (it->second < out.size()) out.Add(it->second);
      }
      return;
    }
    case FilterPlan::Kind::kHasId:
      for (const std::string& id : plan.ids) {
        if (const Row row = source.find(id); row != kNoRow && row < out.size()) out.Add(row);
      }
      return;
    case FilterPlan::Kind::kIsEmpty: {
      RowBitmap filled(out.size());
      index_[plan.field].filled.AddTo(filled);
      live_.AddTo(out);
      out.AndNot(filled);
      return;
    }
    case FilterPlan::Kind::kText: return EvaluateText(plan, out, source);
    case FilterPlan::Kind::kGeo:
      index_[plan.field].places.Visit(*plan.shape, [&](Row row) {
        if (row < out.size()) out.Add(row);
      });
      return;
    case FilterPlan::Kind::kGroup: {
      if (plan.must.empty()) {
        live_.AddTo(out);
      } else {
        Evaluate(plan.must[0], out, source);
        for (size_t i = 1; i < plan.must.size(); ++i) out.And(evaluate(plan.must[i]));
      }
      if (!plan.should.empty()) {
        RowBitmap any(out.size());
        // Conditions only add bits to what they are given, so a union needs no temporaries; a group does not.
        for (const FilterPlan& child : plan.should) {
          if (child.kind == FilterPlan::Kind::kGroup || child.kind == FilterPlan::Kind::kIsEmpty) {
            any.Or(evaluate(child));
          } else {
            Evaluate(child, any, source);
          }
        }
        out.And(any);
      }
      for (const FilterPlan& child : plan.must_not) out.AndNot(evaluate(child));
      return;
    }
  }
}

std::vector<ValueCount> PayloadIndex::CountValues(size_t field_number, const RowBitmap* among) const {
  std::vector<ValueCount> out;
  const Field& field = index_[field_number];
  const auto add = [&](auto value, const RowSet& rows) {
    if (const size_t count = among == nullptr ? rows.size() : rows.CountIn(*among); count > 0) {
      out.push_back({std::move(value), count});
    }
  };
  switch (fields_.fields[field_number].type) {
    case FieldType::kKeyword:
      for (const auto& [text, rows] : field.keywords) add(text, rows);
      break;
    case FieldType::kBool:
      add(true, field.yes);
      add(false, field.no);
      break;
    case FieldType::kInteger:
      for (const auto& [key, row] : field.numbers) {
        if (among != nullptr && !among->Contains(row)) continue;
        if (out.empty() || std::get<int64_t>(out.back().value) != key) out.push_back({key, 0});
        ++out.back().count;
      }
      break;
    default: break;
  }
  return out;
}

size_t PayloadIndex::MemoryBytes() const {
  size_t bytes = live_.MemoryBytes();
  for (const Field& field : index_) {
    bytes += field.places.MemoryBytes() + field.yes.MemoryBytes() + field.no.MemoryBytes() + field.filled.MemoryBytes();
    // A btree node is about three quarters full.
    bytes += field.numbers.size() * sizeof(std::pair<int64_t, Row>) * 4 / 3;
    for (const auto& [text, rows] : field.keywords) bytes += sizeof(text) + text.capacity() + rows.MemoryBytes() + 40;
  }
  return bytes;
}

}  // namespace alcove::vector_search
