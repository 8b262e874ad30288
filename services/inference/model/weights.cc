#include "services/inference/model/weights.h"

#include <filesystem>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "libs/common/status.h"
#include "services/inference/model/json.h"

namespace alcove::inference {

absl::Status Weights::AddFile(const std::string& path) {
  ALCOVE_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  absl::StatusOr<TensorMap> tensors = ParseSafetensors(file.bytes());
  if (!tensors.ok()) return Annotate(tensors.status(), path);
  for (auto& [name, view] : *tensors) {
    if (!tensors_.emplace(name, std::move(view)).second) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": tensor \"", name, "\" is also in another file"));
    }
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::StatusOr<Weights> Weights::Open(const std::string& folder) {
  Weights weights;
  weights.folder_ = folder;
  const std::string single = folder + "/model.safetensors";
  const std::string index = folder + "/model.safetensors.index.json";
  if (std::filesystem::exists(single)) {
    ALCOVE_RETURN_IF_ERROR(weights.AddFile(single));
    return weights;
  }
  if (!std::filesystem::exists(index)) {
    return absl::NotFoundError(absl::StrCat("model folder ", folder, " has no model.safetensors"));
  }
  ALCOVE_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::ReadFile(index));
  ALCOVE_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(document.root(), index));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> map, root.Object("weight_map"));
  if (!map) return absl::InvalidArgumentError(absl::StrCat(index, ": field \"weight_map\" is missing"));
  std::set<std::string> shards;
  for (const simdjson::dom::key_value_pair& field : map->fields()) {
    std::string_view shard;
    if (field.value.get(shard) != simdjson::SUCCESS || shard.empty() || shard.find('/') != std::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat(index, ": \"", View(field.key), "\" does not name a file in the folder"));
    }
    shards.emplace(shard);
  }
  for (const std::string& shard : shards) ALCOVE_RETURN_IF_ERROR(weights.AddFile(absl::StrCat(folder, "/", shard)));
  return weights;
}

absl::StatusOr<std::vector<float>> Weights::ReadFloat(absl::string_view name, absl::Span<const int64_t> shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return absl::NotFoundError(absl::StrCat("tensor \"", name, "\" is missing from the weights in ", folder_));
  }
  const TensorView& view = found->second;
  if (absl::MakeConstSpan(view.shape) != shape) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", name, "\" in ", folder_, " has shape [",
                                                   absl::StrJoin(view.shape, ","), "], config.json needs [",
                                                   absl::StrJoin(shape, ","), "]"));
  }
  std::vector<float> values(view.elements());
  if (absl::Status status = CopyAsFloat(view, absl::MakeSpan(values)); !status.ok()) {
    return Annotate(status, absl::StrCat("tensor \"", name, "\" in ", folder_));
  }
  return values;
}

int64_t Weights::parameters() const {
  int64_t count = 0;
  for (const auto& [name, view] : tensors_) count += view.elements();
  return count;
}

}  // namespace alcove::inference
