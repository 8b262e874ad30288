#include "services/vector-search/shard/sparse_fields.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/container/inlined_vector.h>
#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/vector-search/collection/field_values.h"

namespace alcove::vector_search {
namespace {

using Texts = absl::InlinedVector<absl::string_view, 4>;

Texts TextsAt(const std::string* payload, absl::string_view path) {
  Texts texts;
  if (payload != nullptr) {
    ForEachKeyword(*payload, path, [&](absl::string_view text) { texts.push_back(text); });
  }
  return texts;
}

}  // namespace

absl::Status CheckComponents(absl::Span<const uint32_t> indices, absl::Span<const float> values) {
  if (indices.size() != values.size()) {
    return absl::InvalidArgumentError(absl::StrCat("has ", indices.size(), " indices and ", values.size(), " values"));
  }
  if (indices.size() > kMaxSparseComponents) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", indices.size(), " components, the limit is ", kMaxSparseComponents));
  }
  for (size_t i = 0; i < indices.size(); ++i) {
    if (i > 0 && indices[i] <= indices[i - 1]) {
      return absl::InvalidArgumentError(absl::StrCat("index ", indices[i], " is not above the one before it"));
    }
    if (!std::isfinite(values[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("component ", indices[i], " is ", std::isnan(values[i]) ? "NaN" : "infinite"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SparseFields>> SparseFields::Make(const CollectionConfig& config) {
  auto out = std::make_unique<SparseFields>();
  for (const auto& [name, settings] : config.sparse) {
    Field field{name, settings, nullptr, nullptr, nullptr};
    const SparseOptions options{settings.k1, settings.b, settings.idf};
    if (settings.is_text()) {
      ALCOVE_ASSIGN_OR_RETURN(field.tokenizer, Tokenizer::Make(settings.text));
      field.text = std::make_unique<TextIndex>(options);
    } else {
      field.vectors = std::make_unique<SparseVectorIndex>(options);
    }
    out->fields_.push_back(std::move(field));
  }
  return out;
}

size_t SparseFields::Find(absl::string_view name) const {
  const auto at = std::lower_bound(fields_.begin(), fields_.end(), name,
                                   [](const Field& field, absl::string_view wanted) { return field.name < wanted; });
  return at != fields_.end() && at->name == name ? static_cast<size_t>(at - fields_.begin()) : kNone;
}

absl::Status SparseFields::CheckVectors(absl::Span<const SparseVector> vectors) const {
  for (const SparseVector& vector : vectors) {
    const size_t field = Find(vector.name);
    if (field == kNone || is_text(field)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", vector.name, "\" is no field of sparse vectors"));
    }
    if (absl::Status status = CheckComponents(vector.indices, vector.values); !status.ok()) {
      return Annotate(std::move(status), absl::StrCat("sparse vector \"", vector.name, "\""));
    }
  }
  return absl::OkStatus();
}

void SparseFields::SetPayload(Row row, const std::string* before, const std::string* after) {
  for (Field& field : fields_) {
    if (field.text == nullptr) continue;
    const Texts old_texts = TextsAt(before, field.config.text_field);
    const Texts new_texts = TextsAt(after, field.config.text_field);
    if (old_texts == new_texts) continue;
    field.text->Replace(row, CountWords(*field.tokenizer, old_texts), CountWords(*field.tokenizer, new_texts));
  }
}

void SparseFields::SetVectors(Row row, absl::Span<const SparseVector> vectors, bool others_stay) {
  for (Field& field : fields_) {
    if (field.vectors == nullptr) continue;
    const auto given =
        std::find_if(vectors.begin(), vectors.end(), [&](const SparseVector& v) { return v.name == field.name; });
    if (given != vectors.end()) {
      field.vectors->Set(row, {given->indices, given->values});
    } else if (!others_stay) {
      field.vectors->Remove(row);
    }
  }
}

void SparseFields::RemoveVector(Row row, absl::string_view name) {
  if (const size_t field = Find(name); field != kNone && !is_text(field)) fields_[field].vectors->Remove(row);
}

SparseComponents SparseFields::Get(size_t field, Row row) const {
  return is_text(field) ? SparseComponents() : fields_[field].vectors->Get(row);
}

SparseStatistics SparseFields::Statistics(size_t number, const SearchQuery& query) const {
  const Field& field = fields_[number];
  if (field.text != nullptr) return field.text->Statistics(CountWords(*field.tokenizer, {query.text}));
  return field.vectors->Statistics(query.sparse);
}

std::vector<SparseHit> SparseFields::Search(size_t number, const SearchQuery& query, size_t k, const RowBitmap* filter,
                                            SparseIndex::Stop stop) const {
  const Field& field = fields_[number];
  const SparseStatistics* const statistics = query.statistics ? &*query.statistics : nullptr;
  if (field.text != nullptr) {
    return field.text->Search(CountWords(*field.tokenizer, {query.text}), statistics, k, filter, stop);
  }
  return field.vectors->Search(query.sparse, statistics, k, filter, stop);
}

size_t SparseFields::MemoryBytes() const {
  size_t bytes = 0;
  for (const Field& field : fields_) {
    bytes += field.text != nullptr ? field.text->MemoryBytes() : field.vectors->MemoryBytes();
  }
  return bytes;
}

}  // namespace alcove::vector_search
