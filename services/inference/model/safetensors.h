// Reader of the safetensors format (https://github.com/huggingface/safetensors, "Format"): an 8-byte little-endian
// header length, a JSON header, then one buffer the header's offsets index completely and without overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

namespace alcove::inference {

enum class DType { kBool, kU8, kI8, kI16, kU16, kF16, kBF16, kI32, kU32, kF32, kF64, kI64, kU64 };

// "F32" and so on, as the format spells it.
absl::string_view DTypeName(DType type);
// Bytes of one element.
size_t DTypeSize(DType type);

// One tensor, row-major, little-endian. `data` points into the file and is not necessarily aligned.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  absl::Span<const uint8_t> data;

  // Product of the shape; 1 for a scalar.
  int64_t elements() const;
};

// The largest header that is read; the reference implementation has the same limit.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

using TensorMap = absl::flat_hash_map<std::string, TensorView>;

// Reads the directory of a safetensors file held in memory. The views point into `file`, which must outlive them; the
// buffer itself is not touched. Any malformed header — truncated, not JSON, unknown type, offsets out of range,
// overlapping, leaving holes, or not matching shape × element size — is INVALID_ARGUMENT naming the tensor.
absl::StatusOr<TensorMap> ParseSafetensors(absl::Span<const uint8_t> file);

// Copies a floating-point tensor (F32, F16, BF16, F64) as f32 into `out`, which has exactly tensor.elements() entries.
// INVALID_ARGUMENT for other types.
absl::Status CopyAsFloat(const TensorView& tensor, absl::Span<float> out);

}  // namespace alcove::inference
