// Files the tests of this service share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "services/inference/model/mapped_file.h"
#include "services/inference/model/safetensors.h"

namespace alcove::inference::testing {

// services/inference/testdata/<name> in the source tree.
std::string TestDataPath(absl::string_view name);

// The folder of all-MiniLM-L6-v2: $ALCOVE_TEST_MODEL, or .local/models/all-MiniLM-L6-v2 in the source tree. NOT_FOUND
// saying how to get it when it is not there.
absl::StatusOr<std::string> RealModelFolder();

// A safetensors file of expected values.
class GoldenTensors {
 public:
  // Ends the process with a message when the file cannot be read.
  explicit GoldenTensors(const std::string& path);
  std::vector<float> Floats(absl::string_view name) const;
  std::vector<int32_t> Ints(absl::string_view name) const;

 private:
  const TensorView& Get(absl::string_view name) const;
  MappedFile file_;
  TensorMap tensors_;
};

// Strings of a JSON array of strings.
std::vector<std::string> ReadStrings(const std::string& path);

// A fresh folder below the test's temporary folder.
std::string MakeTempFolder(absl::string_view name);
void WriteFile(const std::string& path, absl::string_view content);

}  // namespace alcove::inference::testing
