#include "services/vector-search/collection/schema.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/vector-search/collection/datetime.h"
#include "services/vector-search/collection/field_values.h"
#include "services/vector-search/collection/payload.h"

namespace alcove::vector_search {
namespace {

// 2 holds sparse fields or fields of type geo or text, 3 says how vectors are kept; what needs neither is written as 1.
constexpr int64_t kTextConfigVersion = 2;
constexpr int64_t kConfigVersion = 3;

absl::Status CheckRange(absl::string_view field, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("must be ", low, " to ", high, ", not ", value));
}

// Which storage goes with which codes.
absl::Status CheckStorage(absl::string_view label, const VectorField& field) {
  const auto allowed = [&](Codes codes) {
    switch (field.storage) {
      case VectorStorage::kF32: return codes != Codes::kF16;
      case VectorStorage::kF16: return codes != Codes::kF32;
      case VectorStorage::kInt8: return codes == Codes::kInt8 || codes == Codes::kInt4;
      case VectorStorage::kInt6: return codes == Codes::kInt4;
    }
    return false;
  };
  if (!allowed(field.codes)) {
    return InvalidField(
        absl::StrCat(label, ".storage"),
        "does not go with these codes: F32 goes with F32, INT8, INT4 and BIT1, F16 with F16, INT8, INT4 "
        "and BIT1, INT8 with INT8 and INT4, INT6 with INT4");
  }
  const bool apart = field.codes != Codes::kF32 && field.codes != Codes::kF16 &&
                     !(field.codes == Codes::kInt8 && field.storage == VectorStorage::kInt8);
  if (field.on_disk && !apart) {
    return InvalidField(absl::StrCat(label, ".on_disk"),
                        "needs codes of fewer bits than the vectors: INT8, INT4 or BIT1, which stay in memory");
  }
  return absl::OkStatus();
}

bool IsKind(FieldType type, ValueView value) {
  switch (type) {
    case FieldType::kKeyword: return value.kind() == ValueKind::kString;
    case FieldType::kInteger: return value.kind() == ValueKind::kInteger;
    case FieldType::kFloat: return value.is_number();
    case FieldType::kBool: return value.is_bool();
    case FieldType::kDatetime: return value.kind() == ValueKind::kString && ParseRfc3339(value.string()).has_value();
    case FieldType::kGeo: return ParsePlace(value).has_value();
    case FieldType::kText: return value.kind() == ValueKind::kString;
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
    case FieldType::kGeo: return "geo (an object {\"lat\": -90 to 90, \"lon\": -180 to 180} or a list of them)";
    case FieldType::kText: return "text (a text or a list of texts)";
  }
  return "unknown";
}

bool AllowsList(FieldType type) { return type != FieldType::kBool && type != FieldType::kDatetime; }

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

void EncodeSparse(const std::map<std::string, SparseField>& sparse, PayloadBuilder& out) {
  out.Key("sparse");
  out.BeginObject();
  for (const auto& [name, field] : sparse) {
    out.Key(name);
    out.BeginObject();
    out.Key("b");
    out.Number(double{field.b});
    out.Key("idf");
    out.Bool(field.idf);
    out.Key("k1");
    out.Number(double{field.k1});
    out.Key("language");
    out.String(field.text.language);
    out.Key("stop_words");
    out.BeginList();
    for (const std::string& word : field.text.stop_words) out.String(word);
    out.EndList();
    out.Key("text_field");
    out.String(field.text_field);
    out.EndObject();
  }
  out.EndObject();
}

absl::Status DecodeSparse(ValueView sparse, CollectionConfig& config) {
  if (sparse.kind() != ValueKind::kObject) return Damaged("sparse");
  for (ObjectView it = sparse.object(); !it.done(); it.Next()) {
    if (it.value().kind() != ValueKind::kObject) return Damaged("sparse");
    const ObjectView object = it.value().object();
    SparseField field;
    ALCOVE_ASSIGN_OR_RETURN(field.text_field, StringField(object, "text_field"));
    ALCOVE_ASSIGN_OR_RETURN(field.text.language, StringField(object, "language"));
    const auto k1 = object.Find("k1");
    const auto b = object.Find("b");
    const auto idf = object.Find("idf");
    const auto words = object.Find("stop_words");
    if (!k1 || !k1->is_number() || !b || !b->is_number() || !idf || !idf->is_bool() || !words ||
        words->kind() != ValueKind::kList) {
      return Damaged("sparse");
    }
    field.k1 = static_cast<float>(k1->number());
    field.b = static_cast<float>(b->number());
    field.idf = idf->boolean();
    for (ListView word = words->list(); !word.done(); word.Next()) {
      if (word.value().kind() != ValueKind::kString) return Damaged("stop_words");
      field.text.stop_words.emplace_back(word.value().string());
    }
    config.sparse.emplace(it.key(), std::move(field));
  }
  return absl::OkStatus();
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
  if (config.vectors.empty() && config.sparse.empty()) {
    return InvalidField("vectors", "a collection needs at least one vector field");
  }
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
    ALCOVE_RETURN_IF_ERROR(CheckStorage(label, field));
  }
  if (config.sparse.size() > kMaxSparseFields) {
    return InvalidField("sparse", absl::StrCat("must be at most ", kMaxSparseFields, " fields"));
  }
  for (const auto& [name, field] : config.sparse) {
    const std::string label = absl::StrCat("sparse[\"", name, "\"]");
    if (name.empty() || name.size() > kMaxFieldNameBytes || !IsValidUtf8(name)) {
      return InvalidField(label, absl::StrCat("a name must be UTF-8 of 1 to ", kMaxFieldNameBytes, " bytes"));
    }
    if (config.vectors.contains(name)) return InvalidField(label, "is the name of a vector field too");
    if (field.text_field.size() > kMaxFieldNameBytes || !IsValidUtf8(field.text_field)) {
      return InvalidField(label + ".text_field",
                          absl::StrCat("a field name must be UTF-8 of at most ", kMaxFieldNameBytes, " bytes"));
    }
    if (!field.is_text() && field.text != TextSettings()) {
      return InvalidField(label + ".text", "settings of a text need `text_field`");
    }
    if (field.is_text() && field.idf) return InvalidField(label + ".idf", "is for vectors; BM25 always has it");
    ALCOVE_RETURN_IF_ERROR(ValidateTextSettings(label + ".text", field.text));
    if (!(field.k1 > 0 && field.k1 <= 10)) return InvalidField(label + ".k1", "must be above 0 and at most 10");
    if (!(field.b >= 0 && field.b <= 1)) return InvalidField(label + ".b", "must be 0 to 1");
  }
  if (config.schema.size() > kMaxSchemaFields) {
    return InvalidField("schema", absl::StrCat("must be at most ", kMaxSchemaFields, " fields"));
  }
  for (const auto& [path, type] : config.schema) {
    const std::string label = absl::StrCat("schema[\"", path, "\"]");
    if (path.empty() || path.size() > kMaxFieldNameBytes || !IsValidUtf8(path)) {
      return InvalidField(label, absl::StrCat("a field name must be UTF-8 of 1 to ", kMaxFieldNameBytes, " bytes"));
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

VectorStorage DefaultStorage(Codes codes) { return codes == Codes::kF16 ? VectorStorage::kF16 : VectorStorage::kF32; }

std::string EncodeConfig(const CollectionConfig& config) {
  PayloadBuilder out;
  int64_t version = config.sparse.empty() ? 1 : kTextConfigVersion;
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
    if (type == FieldType::kGeo || type == FieldType::kText) version = kTextConfigVersion;
  }
  out.EndObject();
  if (!config.sparse.empty()) EncodeSparse(config.sparse, out);
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
    // Written only when they say something, so that settings without them stay readable by builds before them.
    if (field.on_disk) {
      out.Key("on_disk");
      out.Bool(true);
    }
    if (field.storage != DefaultStorage(field.codes)) {
      out.Key("storage");
      out.Integer(static_cast<int64_t>(field.storage));
    }
    if (field.on_disk || field.storage != DefaultStorage(field.codes) || field.codes == Codes::kBit1) {
      version = kConfigVersion;
    }
    out.EndObject();
  }
  out.EndObject();
  out.Key("version");
  out.Integer(version);
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
    if (codes < 1 || codes > 5) return Damaged("codes");
    if (metric < 1 || metric > 3) return Damaged("metric");
    field.codes = static_cast<Codes>(codes);
    field.metric = static_cast<Metric>(metric);
    field.storage = DefaultStorage(field.codes);
    if (object.Find("storage")) {
      ALCOVE_ASSIGN_OR_RETURN(const int64_t storage, IntegerField(object, "storage"));
      if (storage < 1 || storage > 4) return Damaged("storage");
      field.storage = static_cast<VectorStorage>(storage);
    }
    if (const auto on_disk = object.Find("on_disk")) {
      if (!on_disk->is_bool()) return Damaged("on_disk");
      field.on_disk = on_disk->boolean();
    }
    config.vectors.emplace(it.key(), field);
  }
  if (const auto sparse = root.Find("sparse")) ALCOVE_RETURN_IF_ERROR(DecodeSparse(*sparse, config));
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
  for (const auto& [name, field] : config.sparse) {
    if (!field.is_text()) continue;
    const auto value = FindPath(payload, field.text_field);
    if (!value || Fits(FieldType::kText, *value)) continue;
    return InvalidField(absl::StrCat("payload.", field.text_field),
                        absl::StrCat("point \"", point_id, "\": expected ", Expected(FieldType::kText),
                                     " for sparse field \"", name, "\""));
  }
  return absl::OkStatus();
}

}  // namespace alcove::vector_search
