#include "services/vector-search/log/point_record.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "services/vector-search/log/record_bytes.h"

namespace alcove::vector_search {
namespace {

using store::RecordKind;

// 2 has kSetVectors; every other operation is still written as 1.
constexpr uint8_t kFormatVersion = 2;

bool HasVectors(OperationKind kind) { return kind == OperationKind::kUpsert || kind == OperationKind::kSetVectors; }
bool HasPayload(OperationKind kind) { return kind == OperationKind::kUpsert || kind == OperationKind::kSetPayload; }

absl::Status OutOfBounds(absl::string_view id, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("point \"", id.substr(0, kMaxPointIdBytes), "\": ", what));
}

absl::Status Check(const PointOperation& op) {
  if (op.id.empty() || op.id.size() > kMaxPointIdBytes) {
    return OutOfBounds(op.id,
                       absl::StrCat("the id has ", op.id.size(), " bytes; 1 to ", kMaxPointIdBytes, " are allowed"));
  }
  if (op.kind < OperationKind::kUpsert || op.kind > OperationKind::kSetVectors) {
    return OutOfBounds(op.id, "unknown kind of operation");
  }
  if (op.payload.size() > kMaxPayloadBytes) {
    return OutOfBounds(op.id,
                       absl::StrCat("the payload has ", op.payload.size(), " bytes; at most ", kMaxPayloadBytes));
  }
  if (!HasVectors(op.kind)) return absl::OkStatus();
  for (const absl::string_view name : op.removed) {
    if (name.size() > kMaxVectorNameBytes) return OutOfBounds(op.id, "a vector's name is too long");
  }
  if (op.dense.size() + op.sparse.size() + op.removed.size() > kMaxVectorsPerPoint) {
    return OutOfBounds(op.id, absl::StrCat("more than ", kMaxVectorsPerPoint, " vectors"));
  }
  for (const DenseVector& v : op.dense) {
    if (v.name.size() > kMaxVectorNameBytes) return OutOfBounds(op.id, "a vector's name is too long");
    if (v.values.size() == 0 || v.values.size() > kMaxDimension) {
      return OutOfBounds(op.id, absl::StrCat("vector \"", v.name, "\" has ", v.values.size(), " dimensions; 1 to ",
                                             kMaxDimension, " are allowed"));
    }
  }
  for (const SparseVector& v : op.sparse) {
    if (v.name.size() > kMaxVectorNameBytes) return OutOfBounds(op.id, "a vector's name is too long");
    if (v.indices.size() != v.values.size() || v.indices.size() > kMaxSparseEntries) {
      return OutOfBounds(
          op.id, absl::StrCat("sparse vector \"", v.name, "\" has ", v.indices.size(), " indices and ", v.values.size(),
                              " values; equal counts up to ", kMaxSparseEntries, " are allowed"));
    }
    for (size_t i = 1; i < v.indices.size(); ++i) {
      if (v.indices[i] <= v.indices[i - 1]) {
        return OutOfBounds(op.id, absl::StrCat("indices of sparse vector \"", v.name, "\" are not ascending"));
      }
    }
  }
  return absl::OkStatus();
}

void WriteVectors(const PointOperation& op, std::string* out) {
  PutVarint(op.dense.size(), out);
  for (const DenseVector& v : op.dense) {
    PutString(v.name, out);
    PutVarint(v.values.size(), out);
    out->append(v.values.bytes(), v.values.size() * sizeof(float));
  }
  PutVarint(op.sparse.size(), out);
  for (const SparseVector& v : op.sparse) {
    PutString(v.name, out);
    PutVarint(v.indices.size(), out);
    // Gaps are small where coordinates are dense: one byte instead of four.
    uint32_t previous = 0;
    for (const uint32_t index : v.indices) {
      PutVarint(index - previous, out);
      previous = index;
    }
    out->append(reinterpret_cast<const char*>(v.values.data()), v.values.size() * sizeof(float));
  }
}

bool ReadSparse(ByteReader* in, SparseVector* v) {
  uint64_t count = 0;
  // An entry takes at least five bytes: a gap and a float.
  if (!in->String(kMaxVectorNameBytes, &v->name) || !in->Count(kMaxSparseEntries, 5, &count)) return false;
  v->indices.reserve(count);
  uint64_t index = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t gap = 0;
    if (!in->Varint(&gap) || gap > UINT32_MAX || (i > 0 && gap == 0)) return false;
    index += gap;
    if (index > UINT32_MAX) return false;
    v->indices.push_back(static_cast<uint32_t>(index));
  }
  absl::string_view floats;
  if (!in->Bytes(count * sizeof(float), &floats)) return false;
  v->values.resize(count);
  if (count > 0) std::memcpy(v->values.data(), floats.data(), floats.size());
  return true;
}

bool ReadVectors(ByteReader* in, PointOperation* op) {
  uint64_t count = 0;
  if (!in->Count(kMaxVectorsPerPoint, 6, &count)) return false;
  op->dense.resize(count);
  for (DenseVector& v : op->dense) {
    uint64_t dimension = 0;
    absl::string_view floats;
    if (!in->String(kMaxVectorNameBytes, &v.name) || !in->Count(kMaxDimension, sizeof(float), &dimension) ||
        dimension == 0 || !in->Bytes(dimension * sizeof(float), &floats)) {
      return false;
    }
    v.values = FloatBytes(floats.data(), dimension);
  }
  if (!in->Count(kMaxVectorsPerPoint - op->dense.size(), 2, &count)) return false;
  op->sparse.resize(count);
  for (SparseVector& v : op->sparse) {
    if (!ReadSparse(in, &v)) return false;
  }
  return true;
}

absl::Status Damaged(absl::string_view key, absl::string_view what) {
  return absl::DataLossError(absl::StrCat("record of point \"", key.substr(0, kMaxPointIdBytes), "\": ", what));
}

RecordKind KindOf(OperationKind kind) {
  switch (kind) {
    case OperationKind::kUpsert: return RecordKind::kPut;
    case OperationKind::kDelete: return RecordKind::kDelete;
    case OperationKind::kSetPayload:
    case OperationKind::kSetVectors: return RecordKind::kMerge;
  }
  return RecordKind::kPut;
}

}  // namespace

float FloatBytes::operator[](size_t i) const {
  float value;
  std::memcpy(&value, data_ + i * sizeof(float), sizeof(float));
  return value;
}

void FloatBytes::CopyTo(float* out) const {
  if (size_ > 0) std::memcpy(out, data_, size_ * sizeof(float));
}

std::vector<float> FloatBytes::ToVector() const {
  std::vector<float> out(size_);
  CopyTo(out.data());
  return out;
}

absl::StatusOr<RecordKind> AppendOperation(const PointOperation& op, std::string* out) {
  ALCOVE_RETURN_IF_ERROR(Check(op));
  out->push_back(op.kind == OperationKind::kSetVectors ? 2 : 1);
  out->push_back(static_cast<char>(op.kind));
  PutVarint(op.version, out);
  if (HasVectors(op.kind)) WriteVectors(op, out);
  if (op.kind == OperationKind::kSetVectors) {
    PutVarint(op.removed.size(), out);
    for (const absl::string_view name : op.removed) PutString(name, out);
  }
  if (op.kind == OperationKind::kSetPayload) out->push_back(static_cast<char>(op.payload_mode));
  if (HasPayload(op.kind)) PutString(op.payload, out);
  return KindOf(op.kind);
}

absl::StatusOr<EncodedOperation> EncodeOperation(const PointOperation& op) {
  EncodedOperation encoded;
  size_t bytes = op.payload.size() + 32;
  for (const DenseVector& v : op.dense) bytes += v.name.size() + v.values.size() * sizeof(float) + 8;
  encoded.data.reserve(bytes);
  ALCOVE_ASSIGN_OR_RETURN(encoded.kind, AppendOperation(op, &encoded.data));
  encoded.key = std::string(op.id);
  return encoded;
}

absl::StatusOr<PointOperation> DecodeOperation(RecordKind kind, absl::string_view key, absl::string_view data) {
  if (key.empty() || key.size() > kMaxPointIdBytes) return Damaged(key, "the id's length is out of bounds");
  ByteReader in(data);
  uint8_t format = 0;
  uint8_t op_kind = 0;
  PointOperation op;
  op.id = key;
  if (!in.Byte(&format)) return Damaged(key, "it is empty");
  if (format == 0) return Damaged(key, "format version 0 does not exist");
  if (format > kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat("record of point \"", key, "\" has format version ",
                                                      static_cast<int>(format), "; this release reads up to ",
                                                      static_cast<int>(kFormatVersion), ": run the newer release"));
  }
  if (!in.Byte(&op_kind) || op_kind < 1 || op_kind > (format == 1 ? 3 : 4)) {
    return Damaged(key, "unknown kind of operation");
  }
  op.kind = static_cast<OperationKind>(op_kind);
  if (KindOf(op.kind) != kind) return Damaged(key, "its kind contradicts the log's");
  if (!in.Varint(&op.version)) return Damaged(key, "the version does not fit");
  if (HasVectors(op.kind) && !ReadVectors(&in, &op)) return Damaged(key, "the vectors do not fit");
  if (op.kind == OperationKind::kSetVectors) {
    uint64_t count = 0;
    if (!in.Count(kMaxVectorsPerPoint - op.dense.size() - op.sparse.size(), 1, &count)) {
      return Damaged(key, "the removed vectors do not fit");
    }
    op.removed.resize(count);
    for (absl::string_view& name : op.removed) {
      if (!in.String(kMaxVectorNameBytes, &name)) return Damaged(key, "the removed vectors do not fit");
    }
  }
  if (op.kind == OperationKind::kSetPayload) {
    uint8_t mode = 0;
    if (!in.Byte(&mode) || mode < 1 || mode > 2) return Damaged(key, "unknown payload mode");
    op.payload_mode = static_cast<PayloadMode>(mode);
  }
  if (HasPayload(op.kind) && !in.String(kMaxPayloadBytes, &op.payload)) {
    return Damaged(key, "the payload does not fit");
  }
  if (!in.empty()) return Damaged(key, "bytes follow its end");
  return op;
}

namespace {

// Puts the vectors of `change` in the place of those of the same names.
void FoldVectors(PointOperation& change, PointOperation& point) {
  const auto drop = [&](absl::string_view name) {
    const auto same = [&](const auto& vector) { return vector.name == name; };
    point.dense.erase(std::remove_if(point.dense.begin(), point.dense.end(), same), point.dense.end());
    point.sparse.erase(std::remove_if(point.sparse.begin(), point.sparse.end(), same), point.sparse.end());
  };
  for (const absl::string_view name : change.removed) drop(name);
  for (DenseVector& vector : change.dense) {
    drop(vector.name);
    point.dense.push_back(vector);
  }
  for (SparseVector& vector : change.sparse) {
    drop(vector.name);
    point.sparse.push_back(std::move(vector));
  }
}

}  // namespace

store::MergeFunction PointMerge(PayloadMerge merge_payload) {
  return [merge_payload = std::move(merge_payload)](
             absl::string_view key, const absl::string_view* base,
             absl::string_view change) -> absl::StatusOr<std::optional<std::string>> {
    if (base == nullptr) return std::optional<std::string>();
    ALCOVE_ASSIGN_OR_RETURN(PointOperation point, DecodeOperation(RecordKind::kPut, key, *base));
    ALCOVE_ASSIGN_OR_RETURN(PointOperation set, DecodeOperation(RecordKind::kMerge, key, change));
    point.version = set.version;
    std::string merged;
    if (set.kind == OperationKind::kSetVectors) {
      FoldVectors(set, point);
    } else if (set.payload_mode == PayloadMode::kReplace) {
      point.payload = set.payload;
    } else {
      if (!merge_payload)
        return absl::InvalidArgumentError("the log holds payload merges: a function for them is needed");
      ALCOVE_ASSIGN_OR_RETURN(merged, merge_payload(point.payload, set.payload));
      point.payload = merged;
    }
    ALCOVE_ASSIGN_OR_RETURN(EncodedOperation folded, EncodeOperation(point));
    return std::optional<std::string>(std::move(folded.data));
  };
}

}  // namespace alcove::vector_search
