#include "services/inference/testing/test_data.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include <absl/strings/str_cat.h>
#include <unistd.h>

#include "libs/testing/paths.h"
#include "services/inference/model/json.h"

namespace alcove::inference::testing {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "test data: %s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

}  // namespace

std::string TestDataPath(absl::string_view name) {
  return absl::StrCat(alcove::testing::SourceDir(), "/services/inference/testdata/", name);
}

absl::StatusOr<std::string> RealModelFolder() {
  const char* named = std::getenv("ALCOVE_TEST_MODEL");
  const std::string folder =
      named != nullptr ? named : absl::StrCat(alcove::testing::SourceDir(), "/.local/models/all-MiniLM-L6-v2");
  if (!std::filesystem::exists(folder + "/model.safetensors")) {
    return absl::NotFoundError(
        absl::StrCat("the test model is not in ", folder,
                     "; run scripts/fetch_model.sh, or set ALCOVE_TEST_MODEL to a folder that holds it"));
  }
  return folder;
}

GoldenTensors::GoldenTensors(const std::string& path)
    : file_(OrDie(MappedFile::Open(path))), tensors_(OrDie(ParseSafetensors(file_.bytes()))) {}

const TensorView& GoldenTensors::Get(absl::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    std::fprintf(stderr, "test data: %s has no tensor %s\n", file_.path().c_str(), std::string(name).c_str());
    std::abort();
  }
  return found->second;
}

std::vector<float> GoldenTensors::Floats(absl::string_view name) const {
  const TensorView& view = Get(name);
  std::vector<float> values(view.elements());
  if (!CopyAsFloat(view, absl::MakeSpan(values)).ok()) std::abort();
  return values;
}

std::vector<int32_t> GoldenTensors::Ints(absl::string_view name) const {
  const TensorView& view = Get(name);
  std::vector<int32_t> values(view.elements());
  if (view.dtype != DType::kI32) std::abort();
  std::memcpy(values.data(), view.data.data(), view.data.size());
  return values;
}

std::vector<std::string> ReadStrings(const std::string& path) {
  const JsonDocument document = OrDie(JsonDocument::ReadFile(path));
  simdjson::dom::array array;
  if (document.root().get(array) != simdjson::SUCCESS) std::abort();
  std::vector<std::string> strings;
  for (const simdjson::dom::element& element : array) {
    std::string_view text;
    if (element.get(text) != simdjson::SUCCESS) std::abort();
    strings.emplace_back(text);
  }
  return strings;
}

std::string MakeTempFolder(absl::string_view name) {
  const char* root = std::getenv("TMPDIR");
  std::string pattern = absl::StrCat(root != nullptr ? root : "/tmp", "/alcove-", name, "-XXXXXX");
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  return pattern;
}

void WriteFile(const std::string& path, absl::string_view content) {
  std::ofstream out(path, std::ios::binary);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  if (!out.good()) std::abort();
}

}  // namespace alcove::inference::testing
