#include "services/vector-search/collection/payload_index.h"

#include <utility>

#include "services/vector-search/collection/field_values.h"

namespace alcove::vector_search {

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
    if (type == FieldType::kKeyword) {
      ForEachKeyword(payload, path, [&](absl::string_view text) {
        const auto at = field.keywords.find(text);
        if (at == field.keywords.end()) return;
        at->second.Remove(row);
        if (at->second.empty()) field.keywords.erase(at);
      });
    } else if (type == FieldType::kBool) {
      field.yes.Remove(row);
      field.no.Remove(row);
    } else {
      ForEachNumber(type, payload, path, [&](int64_t key) { field.numbers.erase({key, row}); });
    }
  }
}

RowBitmap PayloadIndex::Evaluate(const FilterPlan& plan, size_t capacity,
                                 absl::FunctionRef<Row(absl::string_view)> find_id) const {
  RowBitmap out(capacity);
  Evaluate(plan, out, find_id);
  return out;
}

void PayloadIndex::Evaluate(const FilterPlan& plan, RowBitmap& out,
                            absl::FunctionRef<Row(absl::string_view)> find_id) const {
  const auto evaluate = [&](const FilterPlan& child) {
    RowBitmap rows(out.size());
    Evaluate(child, rows, find_id);
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
        if (const Row row = find_id(id); row != kNoRow && row < out.size()) out.Add(row);
      }
      return;
    case FilterPlan::Kind::kIsEmpty: {
      RowBitmap filled(out.size());
      index_[plan.field].filled.AddTo(filled);
      live_.AddTo(out);
      out.AndNot(filled);
      return;
    }
    case FilterPlan::Kind::kGroup: {
      if (plan.must.empty()) {
        live_.AddTo(out);
      } else {
        Evaluate(plan.must[0], out, find_id);
        for (size_t i = 1; i < plan.must.size(); ++i) out.And(evaluate(plan.must[i]));
      }
      if (!plan.should.empty()) {
        RowBitmap any(out.size());
        // Conditions only add bits to what they are given, so a union needs no temporaries; a group does not.
        for (const FilterPlan& child : plan.should) {
          if (child.kind == FilterPlan::Kind::kGroup || child.kind == FilterPlan::Kind::kIsEmpty) {
            any.Or(evaluate(child));
          } else {
            Evaluate(child, any, find_id);
          }
        }
        out.And(any);
      }
      for (const FilterPlan& child : plan.must_not) out.AndNot(evaluate(child));
      return;
    }
  }
}

size_t PayloadIndex::MemoryBytes() const {
  size_t bytes = live_.MemoryBytes();
  for (const Field& field : index_) {
    bytes += field.yes.MemoryBytes() + field.no.MemoryBytes() + field.filled.MemoryBytes();
    // A btree node is about three quarters full.
    bytes += field.numbers.size() * sizeof(std::pair<int64_t, Row>) * 4 / 3;
    for (const auto& [text, rows] : field.keywords) bytes += sizeof(text) + text.capacity() + rows.MemoryBytes() + 40;
  }
  return bytes;
}

}  // namespace alcove::vector_search
