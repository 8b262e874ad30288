// The weight files of a model folder: model.safetensors, or the shards model.safetensors.index.json names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "services/inference/model/mapped_file.h"
#include "services/inference/model/safetensors.h"

namespace alcove::inference {

// Maps the files; tensors are read when they are asked for. Thread safe once open.
class Weights {
 public:
  // NOT_FOUND naming the file when none is there; INVALID_ARGUMENT naming it when it is malformed.
  static absl::StatusOr<Weights> Open(const std::string& folder);

  bool Has(absl::string_view name) const { return tensors_.contains(name); }

  // The tensor as f32, row-major. NOT_FOUND naming tensor and folder when it is missing; INVALID_ARGUMENT when its
  // shape is not `shape` or its type is no floating-point type.
  absl::StatusOr<std::vector<float>> ReadFloat(absl::string_view name, absl::Span<const int64_t> shape) const;

  // Sum of the elements of all tensors.
  int64_t parameters() const;

 private:
  absl::Status AddFile(const std::string& path);

  std::string folder_;
  std::vector<MappedFile> files_;
  TensorMap tensors_;
};

}  // namespace alcove::inference
