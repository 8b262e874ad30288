#include "services/vector-search/collection/schema.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/vector-search/collection/datetime.h"
#include "services/vector-search/collection/payload.h"

namespace alcove::vector_search {
namespace {

constexpr int64_t kConfigVersion = 1;

absl::Status CheckRange(absl::string_view field, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("must be ", low, " to ", high, ", not ", value));
}

bool IsKind(FieldType type, ValueView value) {
  switch (type) {
    case FieldType::kKeyword: return value.kind() == ValueKind::kString;
    case FieldType::kInteger: return value.kind() == ValueKind::kInteger;
    case FieldType::kFloat: return value.is_number();
    case FieldType::kBool: return value.is_bool();
    case FieldType::kDatetime: return value.kind() == ValueKind::kString && ParseRfc3339(value.string()).has_value();
    case FieldType::kGeo:
    case FieldType::kText: return false;
  }
  return false;
}

absl::string_view Expected(FieldType type) {
  switch (type) {
    case FieldType::kKeyword: return "keyword (a text or a list of texts)";
    case FieldType::kInteger: return "integer (a whole number within ±2^53 or a list of them)";
    case FieldType::kFloat: return "float (a number or a list of them)";
    case FieldType::kBool: return "bool (true or false)";
    case FieldType::kDatetime: return "datetime (an RFC 3339 text such as 2024-05-01T12:00:00Z)";
    case FieldType::kGeo: return "geo";
    case FieldType::kText: return "text";
  }
  return "unknown";
}

bool AllowsList(FieldType type) {
  return type == FieldType::kKeyword || type == FieldType::kInteger || type == FieldType::kFloat;
}

bool Fits(FieldType type, ValueView value) {
  if (value.kind() == ValueKind::kNull) return true;
  if (value.kind() != ValueKind::kList) return IsKind(type, value);
  if (!AllowsList(type)) return false;
  for (ListView it = value.list(); !it.done(); it.Next()) {
    if (!IsKind(type, it.value())) return false;
  }
  return true;
}

std::string VectorFieldLabel(absl::string_view name) { return absl::StrCat("vectors[\"", name, "\"]"); }

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("collection settings in the catalogue are damaged: ", what));
}

absl::StatusOr<int64_t> IntegerField(ObjectView object, absl::string_view name) {
  const auto value = object.Find(name);
  if (!value || value->kind() != ValueKind::kInteger) return Damaged(name);
  return value->integer();
}

absl::StatusOr<std::string> StringField(ObjectView object, absl::string_view name) {
  const auto value = object.Find(name);
  if (!value || value->kind() != ValueKind::kString) return Damaged(name);
  return std::string(value->string());
}

}  // namespace

absl::string_view FieldTypeName(FieldType type) {
  switch (type) {
    case FieldType::kKeyword: return "keyword";
    case FieldType::kInteger: return "integer";
    case FieldType::kFloat: return "float";
    case FieldType::kBool: return "bool";
    case FieldType::kDatetime: return "datetime";
    case FieldType::kGeo: return "geo";
    case FieldType::kText: return "text";
  }
  return "unknown";
}

absl::string_view MetricName(Metric metric) {
  switch (metric) {
    case Metric::kCosine: return "cosine";
    case Metric::kDot: return "dot";
    case Metric::kL2: return "l2";
  }
  return "unknown";
}

absl::Status ValidateCollectionName(absl::string_view name) {
  if (name.empty()) return InvalidField("name", "a collection needs a name");
  if (name.size() > kMaxCollectionNameBytes) {
    return InvalidField("name", absl::StrCat("must be at most ", kMaxCollectionNameBytes, " bytes"));
  }
  for (const char c : name) {
    const bool allowed =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (!allowed) return InvalidField("name", "may hold only a-z, A-Z, 0-9, '_', '-' and '.'");
  }
  return absl::OkStatus();
}

absl::Status ValidateConfig(const CollectionConfig& config) {
  if (config.vectors.empty()) return InvalidField("vectors", "a collection needs at least one vector field");
  if (config.vectors.size() > kMaxVectorFields) {
    return InvalidField("vectors", absl::StrCat("must be at most ", kMaxVectorFields, " fields"));
  }
  for (const auto& [name, field] : config.vectors) {
    const std::string label = VectorFieldLabel(name);
    if (name.size() > kMaxFieldNameBytes || !IsValidUtf8(name)) {
      return InvalidField(label, absl::StrCat("a name must be UTF-8 of at most ", kMaxFieldNameBytes, " bytes"));
    }
    ALCOVE_RETURN_IF_ERROR(CheckRange(label + ".dimension", field.dimension, 1, kMaxVectorDimension));
    ALCOVE_RETURN_IF_ERROR(CheckRange(label + ".hnsw.m", field.m, 4, 64));
    ALCOVE_RETURN_IF_ERROR(
        CheckRange(label + ".hnsw.ef_construction", field.ef_construction, std::max<uint64_t>(8, field.m), 4096));
    ALCOVE_RETURN_IF_ERROR(CheckRange(label + ".hnsw.ef_search", field.ef_search, 1, 10'000));
  }
  if (config.schema.size() > kMaxSchemaFields) {
    return InvalidField("schema", absl::StrCat("must be at most ", kMaxSchemaFields, " fields"));
  }
  for (const auto& [path, type] : config.schema) {
    const std::string label = absl::StrCat("schema[\"", path, "\"]");
    if (path.empty() || path.size() > kMaxFieldNameBytes || !IsValidUtf8(path)) {
      return InvalidField(label, absl::StrCat("a field name must be UTF-8 of 1 to ", kMaxFieldNameBytes, " bytes"));
    }
    if (type == FieldType::kGeo || type == FieldType::kText) {
      return NotBuilt(absl::StrCat(label, ": an index of type ", FieldTypeName(type)));
    }
  }
  if (config.embedding_model.size() > kMaxEmbeddingModelBytes) {
    return InvalidField("embedding_model", absl::StrCat("must be at most ", kMaxEmbeddingModelBytes, " bytes"));
  }
  if (config.description.size() > kMaxDescriptionBytes) {
    return InvalidField("description", absl::StrCat("must be at most ", kMaxDescriptionBytes, " bytes"));
  }
  return absl::OkStatus();
}

std::string EncodeConfig(const CollectionConfig& config) {
  PayloadBuilder out;
  out.BeginObject();
  out.Key("description");
  out.String(config.description);
  out.Key("embedding_model");
  out.String(config.embedding_model);
  out.Key("schema");
  out.BeginObject();
  for (const auto& [path, type] : config.schema) {
    out.Key(path);
    out.Integer(static_cast<int64_t>(type));
  }
  out.EndObject();
  out.Key("vectors");
  out.BeginObject();
  for (const auto& [name, field] : config.vectors) {
    out.Key(name);
    out.BeginObject();
    out.Key("codes");
    out.Integer(static_cast<int64_t>(field.codes));
    out.Key("dimension");
    out.Integer(field.dimension);
    out.Key("ef_construction");
    out.Integer(field.ef_construction);
    out.Key("ef_search");
    out.Integer(field.ef_search);
    out.Key("m");
    out.Integer(field.m);
    out.Key("metric");
    out.Integer(static_cast<int64_t>(field.metric));
    out.EndObject();
  }
  out.EndObject();
  out.Key("version");
  out.Integer(kConfigVersion);
  out.EndObject();
  // Within its bounds by ValidateConfig, which every configuration passes before it is stored.
  return std::move(out).Finish().value_or(std::string());
}

absl::StatusOr<CollectionConfig> DecodeConfig(absl::string_view bytes) {
  if (absl::Status status = ValidatePayload(bytes); !status.ok()) {
    return status.code() == absl::StatusCode::kFailedPrecondition ? status : Damaged(status.message());
  }
  const ObjectView root = PayloadObject(bytes);
  ALCOVE_ASSIGN_OR_RETURN(const int64_t version, IntegerField(root, "version"));
  if (version > kConfigVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("collection settings have version ", version, ", this build reads up to ", kConfigVersion));
  }
  CollectionConfig config;
  ALCOVE_ASSIGN_OR_RETURN(config.description, StringField(root, "description"));
  ALCOVE_ASSIGN_OR_RETURN(config.embedding_model, StringField(root, "embedding_model"));
  const auto schema = root.Find("schema");
  const auto vectors = root.Find("vectors");
  if (!schema || schema->kind() != ValueKind::kObject) return Damaged("schema");
  if (!vectors || vectors->kind() != ValueKind::kObject) return Damaged("vectors");
  for (ObjectView it = schema->object(); !it.done(); it.Next()) {
    if (it.value().kind() != ValueKind::kInteger) return Damaged("schema");
    const int64_t type = it.value().integer();
    if (type < 1 || type > 7) return Damaged("schema");
    config.schema.emplace(it.key(), static_cast<FieldType>(type));
  }
  for (ObjectView it = vectors->object(); !it.done(); it.Next()) {
    if (it.value().kind() != ValueKind::kObject) return Damaged("vectors");
    const ObjectView object = it.value().object();
    VectorField field;
    for (auto [name, target] :
         {std::pair{"dimension", &field.dimension}, std::pair{"m", &field.m},
          std::pair{"ef_construction", &field.ef_construction}, std::pair{"ef_search", &field.ef_search}}) {
      ALCOVE_ASSIGN_OR_RETURN(const int64_t value, IntegerField(object, name));
      if (value < 0 || value > UINT32_MAX) return Damaged(name);
      *target = static_cast<uint32_t>(value);
    }
    ALCOVE_ASSIGN_OR_RETURN(const int64_t codes, IntegerField(object, "codes"));
    ALCOVE_ASSIGN_OR_RETURN(const int64_t metric, IntegerField(object, "metric"));
    if (codes < 1 || codes > 4) return Damaged("codes");
    if (metric < 1 || metric > 3) return Damaged("metric");
    field.codes = static_cast<Codes>(codes);
    field.metric = static_cast<Metric>(metric);
    config.vectors.emplace(it.key(), field);
  }
  if (absl::Status status = ValidateConfig(config); !status.ok()) return Damaged(status.message());
  return config;
}

absl::Status CheckPayloadTypes(const CollectionConfig& config, absl::string_view point_id, absl::string_view payload) {
  for (const auto& [path, type] : config.schema) {
    const auto value = FindPath(payload, path);
    if (!value || Fits(type, *value)) continue;
    return InvalidField(absl::StrCat("payload.", path),
                        absl::StrCat("point \"", point_id, "\": expected ", Expected(type)));
  }
  return absl::OkStatus();
}

std::string KnownFields(const CollectionConfig& config) {
  if (config.schema.empty()) return "none";
  std::string out;
  for (const auto& [path, type] : config.schema) {
    if (out.size() + path.size() > 200) return out + ", …";
    absl::StrAppend(&out, out.empty() ? "" : ", ", path);
  }
  return out;
}

}  // namespace alcove::vector_search
