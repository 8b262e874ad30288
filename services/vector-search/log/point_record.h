#pragma once

// The operations on points a shard's log carries, and their bytes (docs/formats/log_record.md). The point id is the
// log record's key; everything else is in its data. Encoding and decoding copy no vectors: views in, views out.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/store/log_store.h"

namespace alcove::vector_search {

// Limits the encoder enforces (INVALID_ARGUMENT naming the point) and the decoder believes (DATA_LOSS beyond them).
inline constexpr size_t kMaxPointIdBytes = 256;
inline constexpr size_t kMaxVectorNameBytes = 128;
inline constexpr size_t kMaxVectorsPerPoint = 64;
inline constexpr size_t kMaxDimension = 65536;
inline constexpr size_t kMaxSparseEntries = 1 << 20;
inline constexpr size_t kMaxPayloadBytes = 16 << 20;

enum class OperationKind : uint8_t {
  kUpsert = 1,      // the point's whole new state
  kDelete = 2,      // deleting a point that does not exist is allowed; a delete by filter is many of these
  kSetPayload = 3,  // vectors stay; ignored when the point does not exist
  kSetVectors = 4,  // the vectors given replace those of the same names, the others and the payload stay; as above
};

enum class PayloadMode : uint8_t {
  kReplace = 1,  // the given payload becomes the payload
  kMerge = 2,    // the given payload's top-level fields are set, the others stay
};

// Floats as they lie in a record: little-endian and not aligned. `size` floats.
class FloatBytes {
 public:
  FloatBytes() = default;
  FloatBytes(const char* data, size_t size) : data_(data), size_(size) {}
  explicit FloatBytes(absl::Span<const float> values)
      : data_(reinterpret_cast<const char*>(values.data())), size_(values.size()) {}
  size_t size() const { return size_; }
  const char* bytes() const { return data_; }
  float operator[](size_t i) const;
  // Writes size() floats.
  void CopyTo(float* out) const;
  std::vector<float> ToVector() const;

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

struct DenseVector {
  absl::string_view name;  // empty: the collection's only vector
  FloatBytes values;       // 1..kMaxDimension, finite (checked by whoever accepts the request)
};

// Coordinates ascending and unique, one value each.
struct SparseVector {
  absl::string_view name;
  std::vector<uint32_t> indices;
  std::vector<float> values;
};

// All views belong to the caller (encoding) or to the record decoded from (decoding).
struct PointOperation {
  OperationKind kind = OperationKind::kUpsert;
  absl::string_view id;  // 1..256 bytes
  uint64_t version = 0;  // free for the caller: kept and given back
  absl::InlinedVector<DenseVector, 1> dense;
  std::vector<SparseVector> sparse;
  std::vector<absl::string_view> removed;            // kSetVectors only: names of vectors the point loses
  PayloadMode payload_mode = PayloadMode::kReplace;  // kSetPayload only
  absl::string_view payload;                         // opaque bytes; empty means none
};

// A log record that owns its bytes.
struct EncodedOperation {
  store::RecordKind kind = store::RecordKind::kPut;
  std::string key;
  std::string data;

  store::LogRecord record() const { return {kind, key, data}; }
};

absl::StatusOr<EncodedOperation> EncodeOperation(const PointOperation& operation);

// Appends the record's data to `out`; the key is operation.id, the kind is returned.
absl::StatusOr<store::RecordKind> AppendOperation(const PointOperation& operation, std::string* out);

// Never reads outside its input whatever the bytes are. DATA_LOSS names what does not fit; FAILED_PRECONDITION for a
// record of a newer format version.
absl::StatusOr<PointOperation> DecodeOperation(store::RecordKind kind, absl::string_view key, absl::string_view data);

// Sets `change`'s top-level fields in `base` (both payload bytes as the caller's service writes them).
using PayloadMerge = std::function<absl::StatusOr<std::string>(absl::string_view base, absl::string_view change)>;

// What LogStore::Compact needs to fold kSetPayload and kSetVectors records into their upsert.
store::MergeFunction PointMerge(PayloadMerge merge_payload);

}  // namespace alcove::vector_search
