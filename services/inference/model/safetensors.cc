#include "services/inference/model/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <simdjson.h>

#include "libs/common/status.h"
#include "services/inference/model/json.h"

namespace alcove::inference {
namespace {

struct DTypeInfo {
  absl::string_view name;
  DType type;
  size_t size;
};
constexpr DTypeInfo kDTypes[] = {{"BOOL", DType::kBool, 1}, {"U8", DType::kU8, 1},   {"I8", DType::kI8, 1},
                                 {"I16", DType::kI16, 2},   {"U16", DType::kU16, 2}, {"F16", DType::kF16, 2},
                                 {"BF16", DType::kBF16, 2}, {"I32", DType::kI32, 4}, {"U32", DType::kU32, 4},
                                 {"F32", DType::kF32, 4},   {"F64", DType::kF64, 8}, {"I64", DType::kI64, 8},
                                 {"U64", DType::kU64, 8}};
constexpr int kMaxRank = 8;

std::optional<DTypeInfo> FindDType(absl::string_view name) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.name == name) return info;
  }
  return std::nullopt;
}

absl::Status Malformed(absl::string_view tensor, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("safetensors: tensor \"", tensor, "\": ", what));
}

struct Placed {
  uint64_t begin;
  uint64_t end;
  std::string name;
};

absl::StatusOr<TensorView> ParseEntry(absl::string_view name, const simdjson::dom::element& value,
                                      absl::Span<const uint8_t> buffer, Placed* placed) {
  simdjson::dom::object entry;
  if (value.get(entry) != simdjson::SUCCESS) return Malformed(name, "entry is not an object");
  std::string_view dtype_name;
  if (entry["dtype"].get(dtype_name) != simdjson::SUCCESS) return Malformed(name, "has no dtype");
  const std::optional<DTypeInfo> dtype = FindDType(View(dtype_name));
  if (!dtype) return Malformed(name, absl::StrCat("unknown dtype \"", View(dtype_name), "\""));

  TensorView view;
  view.dtype = dtype->type;
  simdjson::dom::array shape;
  if (entry["shape"].get(shape) != simdjson::SUCCESS) return Malformed(name, "has no shape");
  uint64_t elements = 1;
  for (const simdjson::dom::element& dim : shape) {
    uint64_t extent = 0;
    if (dim.get(extent) != simdjson::SUCCESS || extent > std::numeric_limits<int32_t>::max()) {
      return Malformed(name, "shape holds something that is not an extent of 0..2^31-1");
    }
    if (view.shape.size() == kMaxRank) return Malformed(name, absl::StrCat("has more than ", kMaxRank, " dimensions"));
    if (extent != 0 && elements > buffer.size() / extent) {
      return Malformed(name, "shape is larger than the file");
    }
    elements *= extent;
    view.shape.push_back(static_cast<int64_t>(extent));
  }

  simdjson::dom::array offsets;
  if (entry["data_offsets"].get(offsets) != simdjson::SUCCESS || offsets.size() != 2) {
    return Malformed(name, "data_offsets is not a pair");
  }
  uint64_t begin = 0;
  uint64_t end = 0;
  if (offsets.at(0).get(begin) != simdjson::SUCCESS || offsets.at(1).get(end) != simdjson::SUCCESS) {
    return Malformed(name, "data_offsets are not unsigned integers");
  }
  if (begin > end || end > buffer.size()) {
    return Malformed(name, absl::StrCat("data_offsets [", begin, ", ", end, ") lie outside the buffer of ",
                                        buffer.size(), " bytes"));
  }
  // elements ≤ buffer size, so the product cannot overflow 64 bits.
  if (elements * dtype->size != end - begin) {
    return Malformed(name, absl::StrCat("shape [", absl::StrJoin(view.shape, ","), "] of ", dtype->name, " needs ",
                                        elements * dtype->size, " bytes, data_offsets give ", end - begin));
  }
  view.data = buffer.subspan(begin, end - begin);
  *placed = Placed{begin, end, std::string(name)};
  return view;
}

float HalfToFloat(uint16_t half) {
  const int sign = half >> 15;
  const int exponent = (half >> 10) & 0x1f;
  const int mantissa = half & 0x3ff;
  float value;
  if (exponent == 0x1f) {
    value = mantissa == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    value = std::ldexp(static_cast<float>(mantissa | 0x400), exponent - 25);
  }
  return sign ? -value : value;
}

float BFloat16ToFloat(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

template <typename T>
T LoadAt(absl::Span<const uint8_t> data, size_t index) {
  T value;
  std::memcpy(&value, data.data() + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

absl::string_view DTypeName(DType type) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.type == type) return info.name;
  }
  return "?";
}

size_t DTypeSize(DType type) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.type == type) return info.size;
  }
  return 0;
}

int64_t TensorView::elements() const {
  int64_t count = 1;
  for (int64_t extent : shape) count *= extent;
  return count;
}

absl::StatusOr<TensorMap> ParseSafetensors(absl::Span<const uint8_t> file) {
  if (file.size() < 8) {
    return absl::InvalidArgumentError("safetensors: the file is shorter than its 8-byte header length");
  }
  const uint64_t header_bytes = LoadAt<uint64_t>(file, 0);
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("safetensors: header of ", header_bytes,
                                                   " bytes is larger than the limit of ", kMaxSafetensorsHeaderBytes));
  }
  if (header_bytes > file.size() - 8) {
    return absl::InvalidArgumentError(absl::StrCat("safetensors: the file ends inside its header of ", header_bytes,
                                                   " bytes; was the download complete?"));
  }
  const absl::Span<const uint8_t> buffer = file.subspan(8 + header_bytes);
  ALCOVE_ASSIGN_OR_RETURN(
      JsonDocument header,
      JsonDocument::Parse({reinterpret_cast<const char*>(file.data()) + 8, header_bytes}, "safetensors header"));
  simdjson::dom::object root;
  if (header.root().get(root) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("safetensors: the header is not a JSON object");
  }

  TensorMap tensors;
  std::vector<Placed> placed;
  for (const simdjson::dom::key_value_pair& field : root) {
    if (field.key == "__metadata__") continue;
    Placed place;
    ALCOVE_ASSIGN_OR_RETURN(TensorView view, ParseEntry(View(field.key), field.value, buffer, &place));
    if (!tensors.emplace(field.key, std::move(view)).second) return Malformed(View(field.key), "appears twice");
    placed.push_back(std::move(place));
  }
  std::sort(placed.begin(), placed.end(),
            [](const Placed& a, const Placed& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  uint64_t expected = 0;
  for (const Placed& place : placed) {
    if (place.begin < expected) return Malformed(place.name, "overlaps another tensor");
    if (place.begin > expected) return Malformed(place.name, "leaves a hole before it");
    expected = place.end;
  }
  if (expected != buffer.size()) {
    return absl::InvalidArgumentError(absl::StrCat("safetensors: tensors cover ", expected, " of ", buffer.size(),
                                                   " data bytes; was the download complete?"));
  }
  return tensors;
}

absl::Status CopyAsFloat(const TensorView& tensor, absl::Span<float> out) {
  const size_t count = out.size();
  switch (tensor.dtype) {
    case DType::kF32:
      if (count > 0) std::memcpy(out.data(), tensor.data.data(), count * sizeof(float));
      return absl::OkStatus();
    case DType::kF16:
      for (size_t i = 0; i < count; ++i) out[i] = HalfToFloat(LoadAt<uint16_t>(tensor.data, i));
      return absl::OkStatus();
    case DType::kBF16:
      for (size_t i = 0; i < count; ++i) out[i] = BFloat16ToFloat(LoadAt<uint16_t>(tensor.data, i));
      return absl::OkStatus();
    case DType::kF64:
      for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(LoadAt<double>(tensor.data, i));
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("type ", DTypeName(tensor.dtype), " is not a floating-point type"));
  }
}

}  // namespace alcove::inference
