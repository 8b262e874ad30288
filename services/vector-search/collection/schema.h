// What a collection is: its vector fields, the types of its payload fields and their limits.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "services/vector-search/text/tokenizer.h"

namespace alcove::vector_search {

inline constexpr size_t kMaxCollectionNameBytes = 128;
inline constexpr size_t kMaxDescriptionBytes = 1024;
inline constexpr size_t kMaxVectorFields = 16;
inline constexpr size_t kMaxSparseFields = 8;
inline constexpr size_t kMaxFieldNameBytes = 128;
inline constexpr size_t kMaxSchemaFields = 256;
inline constexpr uint32_t kMaxVectorDimension = 65536;
inline constexpr size_t kMaxEmbeddingModelBytes = 256;

enum class Metric : uint8_t { kCosine = 1, kDot = 2, kL2 = 3 };
enum class Codes : uint8_t { kF32 = 1, kF16 = 2, kInt8 = 3, kInt4 = 4, kBit1 = 5 };
// How vectors are kept beside their codes; kInt8 and kInt6 count the bits of both.
enum class VectorStorage : uint8_t { kF32 = 1, kF16 = 2, kInt8 = 3, kInt6 = 4 };
enum class FieldType : uint8_t {
  kKeyword = 1,   // text or list of texts
  kInteger = 2,   // whole number within ±2^53 or list of them
  kFloat = 3,     // number or list of them
  kBool = 4,      // true or false
  kDatetime = 5,  // RFC 3339 text
  kGeo = 6,       // object {lat, lon} or list of them
  kText = 7,      // text or list of texts, matched by words
};

// "keyword", "integer" …: as people write them.
absl::string_view FieldTypeName(FieldType type);
absl::string_view MetricName(Metric metric);

// What `codes` are kept beside when nothing else is asked for.
VectorStorage DefaultStorage(Codes codes);

struct VectorField {
  uint32_t dimension = 0;  // 1..65,536
  Metric metric = Metric::kCosine;
  uint32_t m = 16;                 // 4..64
  uint32_t ef_construction = 128;  // max(8, m)..4,096
  uint32_t ef_search = 64;         // 1..10,000
  Codes codes = Codes::kInt8;
  VectorStorage storage = VectorStorage::kF32;
  bool on_disk = false;  // vectors in files

  friend bool operator==(const VectorField&, const VectorField&) = default;
};

// A field searched by an inverted index: the words of a payload field by BM25, or sparse vectors that clients give.
struct SparseField {
  std::string text_field;  // dotted path of the text; empty: clients give vectors
  TextSettings text;       // how texts are cut into words
  float k1 = 1.2f;         // of BM25, above 0 and at most 10
  float b = 0.75f;         // of BM25, 0 to 1
  bool idf = false;        // vectors: query weights are multiplied by the inverse document frequency

  bool is_text() const { return !text_field.empty(); }
  friend bool operator==(const SparseField&, const SparseField&) = default;
};

struct CollectionConfig {
  std::map<std::string, VectorField> vectors;  // by name; "" is the unnamed default
  std::map<std::string, SparseField> sparse;   // by name, none of which is the name of a vector field
  std::map<std::string, FieldType> schema;     // by dotted path
  std::string embedding_model;
  std::string description;

  friend bool operator==(const CollectionConfig&, const CollectionConfig&) = default;
};

// INVALID_ARGUMENT unless 1 to 128 of a-z, A-Z, 0-9, '_', '-', '.'.
absl::Status ValidateCollectionName(absl::string_view name);

// INVALID_ARGUMENT names the field and its bounds.
absl::Status ValidateConfig(const CollectionConfig& config);

// The text the catalogue keeps: payload bytes (payload.h) of an object. Decoding refuses what encoding never writes:
// DATA_LOSS for damage, FAILED_PRECONDITION for settings of a newer version.
std::string EncodeConfig(const CollectionConfig& config);
absl::StatusOr<CollectionConfig> DecodeConfig(absl::string_view bytes);

// Checks the payload's fields against the schema: INVALID_ARGUMENT naming point, field and expected type. Fields that
// are absent or null pass. `payload` passed ValidatePayload.
absl::Status CheckPayloadTypes(const CollectionConfig& config, absl::string_view point_id, absl::string_view payload);

}  // namespace alcove::vector_search
