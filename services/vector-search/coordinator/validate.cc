#include "services/vector-search/coordinator/validate.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/vector-search/log/point_record.h"
#include "services/vector-search/shard/sparse_fields.h"

namespace alcove::vector_search {

absl::Status ValidatePointId(absl::string_view field, absl::string_view id) {
  if (id.empty()) return InvalidField(field, "a point needs an id");
  if (id.size() > kMaxPointIdBytes) {
    return InvalidField(field, absl::StrCat("is ", id.size(), " bytes long, the limit is ", kMaxPointIdBytes));
  }
  if (!IsValidUtf8(id)) return InvalidField(field, "is not UTF-8");
  return absl::OkStatus();
}

absl::Status ValidateIds(absl::string_view field, absl::Span<const std::string> ids, size_t least, size_t most) {
  if (ids.size() < least || ids.size() > most) {
    return InvalidField(field, absl::StrCat("must be ", least, " to ", most, " ids, not ", ids.size()));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    ALCOVE_RETURN_IF_ERROR(ValidatePointId(absl::StrCat(field, "[", i, "]"), ids[i]));
  }
  return absl::OkStatus();
}

absl::Status ValidateVector(absl::string_view field, const VectorField& config, absl::Span<const float> vector) {
  if (vector.size() != config.dimension) {
    return InvalidField(
        field, absl::StrCat("has ", vector.size(), " components, the collection's field has ", config.dimension));
  }
  bool zero = true;
  for (size_t i = 0; i < vector.size(); ++i) {
    if (!std::isfinite(vector[i])) {
      return InvalidField(field, absl::StrCat("component ", i, " is ", std::isnan(vector[i]) ? "NaN" : "infinite"));
    }
    zero = zero && vector[i] == 0;
  }
  if (zero && config.metric == Metric::kCosine) {
    return InvalidField(field, "is a zero vector, which has no direction for the cosine metric");
  }
  return absl::OkStatus();
}

absl::StatusOr<const VectorField*> FindVectorField(const CollectionConfig& config, absl::string_view name) {
  const auto at = config.vectors.find(std::string(name));
  if (at != config.vectors.end()) return &at->second;
  std::string known;
  std::vector<std::string> names;
  for (const auto& [field, unused] : config.vectors) {
    absl::StrAppend(&known, known.empty() ? "\"" : ", \"", field, "\"");
    names.push_back(field);
  }
  const absl::string_view nearest = name.empty() ? absl::string_view() : ClosestMatch(name, names);
  return InvalidField("vector_name",
                      absl::StrCat("the collection has no vector field \"", name.substr(0, kMaxFieldNameBytes), "\"; ",
                                   nearest.empty() ? "" : absl::StrCat("did you mean \"", nearest, "\"? "), "it has ",
                                   known.empty() ? "none" : known));
}

absl::Status ValidateSparse(absl::string_view field, const SparseComponents& vector, size_t most) {
  if (vector.indices.size() > most) {
    return InvalidField(field, absl::StrCat("has ", vector.indices.size(), " components, the limit is ", most));
  }
  if (absl::Status status = CheckComponents(vector.indices, vector.values); !status.ok()) {
    return InvalidField(field, status.message());
  }
  return absl::OkStatus();
}

namespace {

std::string VectorLabel(absl::string_view field, absl::string_view name) {
  return name.empty() ? absl::StrCat(field, ".vector") : absl::StrCat(field, ".named_vectors[\"", name, "\"]");
}

// The vectors of one point, dense and sparse; adds their size.
absl::Status ValidateVectors(const CollectionConfig& config, absl::string_view field, absl::string_view id,
                             absl::Span<const NamedVector> vectors, absl::Span<const NamedSparse> sparse,
                             size_t& bytes) {
  for (size_t v = 0; v < vectors.size(); ++v) {
    const NamedVector& vector = vectors[v];
    const std::string label = VectorLabel(field, vector.name);
    const auto found = FindVectorField(config, vector.name);
    if (!found.ok()) {
      return InvalidField(label, absl::StrCat("point \"", id, "\": ", "the collection has no such vector field"));
    }
    for (size_t other = 0; other < v; ++other) {
      if (vectors[other].name == vector.name) return InvalidField(label, "is given twice");
    }
    ALCOVE_RETURN_IF_ERROR(ValidateVector(label, **found, vector.values));
    bytes += vector.values.size() * sizeof(float);
  }
  for (const NamedSparse& vector : sparse) {
    const std::string label = absl::StrCat(field, ".sparse_vectors[\"", vector.name, "\"]");
    const auto found = config.sparse.find(vector.name);
    if (found == config.sparse.end()) {
      return InvalidField(label, absl::StrCat("point \"", id, "\": the collection has no such sparse field"));
    }
    if (found->second.is_text()) {
      return InvalidField(label, absl::StrCat("point \"", id, "\": this field is made of the payload's \"",
                                              found->second.text_field, "\""));
    }
    ALCOVE_RETURN_IF_ERROR(ValidateSparse(label, vector.components, kMaxSparseComponents));
    bytes += vector.components.indices.size() * (sizeof(uint32_t) + sizeof(float));
  }
  return absl::OkStatus();
}

absl::Status ValidatePointPayload(const CollectionConfig& config, absl::string_view field, absl::string_view id,
                                  absl::string_view payload) {
  if (absl::Status status = ValidatePayload(payload); !status.ok()) {
    return InvalidField(absl::StrCat(field, ".payload"), absl::StrCat("point \"", id, "\": ", status.message()));
  }
  return Annotate(CheckPayloadTypes(config, id, payload), field);
}

absl::Status CheckBatchBytes(absl::string_view field, size_t bytes) {
  if (bytes <= kMaxUpsertBytes) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("are more than ", kMaxUpsertBytes >> 20, " MiB in all: split the call"));
}

}  // namespace

absl::Status ValidatePoints(const CollectionConfig& config, absl::Span<const StoredPoint> points) {
  if (points.empty() || points.size() > kMaxUpsertPoints) {
    return InvalidField("points", absl::StrCat("must be 1 to ", kMaxUpsertPoints, " points, not ", points.size()));
  }
  const bool texts =
      std::any_of(config.sparse.begin(), config.sparse.end(), [](const auto& field) { return field.second.is_text(); });
  size_t bytes = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const StoredPoint& point = points[i];
    const std::string field = absl::StrCat("points[", i, "]");
    ALCOVE_RETURN_IF_ERROR(ValidatePointId(field + ".id", point.id));
    if (point.vectors.empty() && point.sparse.empty() && !texts) {
      return InvalidField(field + ".vector", absl::StrCat("point \"", point.id, "\" has no vector"));
    }
    ALCOVE_RETURN_IF_ERROR(ValidateVectors(config, field, point.id, point.vectors, point.sparse, bytes));
    ALCOVE_RETURN_IF_ERROR(ValidatePointPayload(config, field, point.id, point.payload));
    bytes += point.id.size() + point.payload.size();
    ALCOVE_RETURN_IF_ERROR(CheckBatchBytes("points", bytes));
  }
  return absl::OkStatus();
}

absl::Status ValidateUpdates(const CollectionConfig& config, absl::Span<const PointChange> changes) {
  if (changes.empty() || changes.size() > kMaxUpsertPoints) {
    return InvalidField("updates", absl::StrCat("must be 1 to ", kMaxUpsertPoints, " updates, not ", changes.size()));
  }
  size_t bytes = 0;
  for (size_t i = 0; i < changes.size(); ++i) {
    const PointChange& change = changes[i];
    const std::string field = absl::StrCat("updates[", i, "]");
    ALCOVE_RETURN_IF_ERROR(ValidatePointId(field + ".id", change.id));
    if (change.vectors.empty() && change.sparse.empty() && change.remove_vectors.empty() && !change.payload) {
      return InvalidField(field, absl::StrCat("point \"", change.id, "\": nothing is to change"));
    }
    ALCOVE_RETURN_IF_ERROR(ValidateVectors(config, field, change.id, change.vectors, change.sparse, bytes));
    if (change.remove_vectors.size() > kMaxVectorFields + kMaxSparseFields) {
      return InvalidField(field + ".remove_vectors", "names more vectors than a collection can have");
    }
    for (const std::string& name : change.remove_vectors) {
      const auto sparse = config.sparse.find(name);
      if (!config.vectors.contains(name) && (sparse == config.sparse.end() || sparse->second.is_text())) {
        return InvalidField(field + ".remove_vectors",
                            absl::StrCat("the collection has no vector field \"", name.substr(0, 128), "\""));
      }
      const auto same = [&](const auto& vector) { return vector.name == name; };
      if (std::any_of(change.vectors.begin(), change.vectors.end(), same) ||
          std::any_of(change.sparse.begin(), change.sparse.end(), same)) {
        return InvalidField(field + ".remove_vectors", absl::StrCat("\"", name, "\" is given and removed"));
      }
    }
    if (change.payload) {
      ALCOVE_RETURN_IF_ERROR(ValidatePointPayload(config, field, change.id, *change.payload));
      bytes += change.payload->size();
    }
    bytes += change.id.size();
    ALCOVE_RETURN_IF_ERROR(CheckBatchBytes("updates", bytes));
  }
  return absl::OkStatus();
}

absl::Status ValidateSelector(const PayloadSelector& selector) {
  if (selector.include.size() > kMaxSelectorFields || selector.exclude.size() > kMaxSelectorFields) {
    return InvalidField("payload", absl::StrCat("may name at most ", kMaxSelectorFields, " fields"));
  }
  return absl::OkStatus();
}

}  // namespace alcove::vector_search
