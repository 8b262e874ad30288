#include "services/vector-search/coordinator/validate.h"

#include <cmath>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/vector-search/log/point_record.h"

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
  for (const auto& [field, unused] : config.vectors)
    absl::StrAppend(&known, known.empty() ? "\"" : ", \"", field, "\"");
  return InvalidField("vector_name", absl::StrCat("the collection has no vector field \"", name, "\"; it has ", known));
}

absl::Status ValidatePoints(const CollectionConfig& config, absl::Span<const StoredPoint> points) {
  if (points.empty() || points.size() > kMaxUpsertPoints) {
    return InvalidField("points", absl::StrCat("must be 1 to ", kMaxUpsertPoints, " points, not ", points.size()));
  }
  size_t bytes = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const StoredPoint& point = points[i];
    const std::string field = absl::StrCat("points[", i, "]");
    ALCOVE_RETURN_IF_ERROR(ValidatePointId(field + ".id", point.id));
    if (point.vectors.empty()) {
      return InvalidField(field + ".vector", absl::StrCat("point \"", point.id, "\" has no vector"));
    }
    for (size_t v = 0; v < point.vectors.size(); ++v) {
      const NamedVector& vector = point.vectors[v];
      const std::string label =
          vector.name.empty() ? field + ".vector" : absl::StrCat(field, ".named_vectors[\"", vector.name, "\"]");
      const auto found = FindVectorField(config, vector.name);
      if (!found.ok()) {
        return InvalidField(label, absl::StrCat("point \"", point.id, "\": the collection has no such vector field"));
      }
      for (size_t other = 0; other < v; ++other) {
        if (point.vectors[other].name == vector.name) return InvalidField(label, "is given twice");
      }
      ALCOVE_RETURN_IF_ERROR(ValidateVector(label, **found, vector.values));
      bytes += vector.values.size() * sizeof(float);
    }
    if (absl::Status status = ValidatePayload(point.payload); !status.ok()) {
      return InvalidField(field + ".payload", absl::StrCat("point \"", point.id, "\": ", status.message()));
    }
    if (absl::Status status = CheckPayloadTypes(config, point.id, point.payload); !status.ok()) {
      return Annotate(std::move(status), field);
    }
    bytes += point.id.size() + point.payload.size();
    if (bytes > kMaxUpsertBytes) {
      return InvalidField("points",
                          absl::StrCat("are more than ", kMaxUpsertBytes >> 20, " MiB in all: split the call"));
    }
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
