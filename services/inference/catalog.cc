#include "services/inference/catalog.h"

#include <algorithm>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>

#include "libs/common/clock.h"
#include "libs/common/log.h"
#include "libs/common/status.h"

namespace alcove::inference {

absl::StatusOr<ModelSource> ParseModelSource(absl::string_view text) {
  constexpr size_t kMaxName = 128;
  ModelSource source;
  const size_t equals = text.find('=');
  if (equals != absl::string_view::npos) {
    source.name = std::string(text.substr(0, equals));
    source.folder = std::string(text.substr(equals + 1));
  } else {
    source.folder = std::string(text);
    absl::string_view path = text;
    while (absl::ConsumeSuffix(&path, "/")) {
    }
    source.name = std::string(path.substr(path.rfind('/') + 1));
  }
  const auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-' || c == '/'; };
  if (source.name.empty() || source.name.size() > kMaxName ||
      !std::all_of(source.name.begin(), source.name.end(), allowed)) {
    return InvalidField("model", absl::StrCat("\"", text, "\" gives no name of 1 to ", kMaxName,
                                              " letters, digits and ._-/; write name=folder"));
  }
  if (source.folder.empty()) return InvalidField("model", absl::StrCat("\"", text, "\" names no folder"));
  return source;
}

absl::StatusOr<std::unique_ptr<const ModelCatalog>> ModelCatalog::Load(const std::vector<ModelSource>& sources,
                                                                       const EncoderOps& ops) {
  if (sources.empty()) return InvalidField("model", "no model is given");
  auto catalog = std::make_unique<ModelCatalog>();
  for (const ModelSource& source : sources) {
    if (catalog->models_.contains(source.name)) {
      return InvalidField("model", absl::StrCat("the name \"", source.name, "\" is given twice"));
    }
    const absl::Time begun = RealClock()->Now();
    auto model = EmbeddingModel::Load(source.folder, ops);
    if (!model.ok()) return Annotate(model.status(), absl::StrCat("model \"", source.name, "\""));
    const absl::Time loaded = RealClock()->Now();
    LogInfo("model loaded", {{"model", source.name},
                             {"folder", source.folder},
                             {"parameters", (*model)->parameters()},
                             {"bytes", static_cast<int64_t>((*model)->memory_bytes())},
                             {"device", ops.name()},
                             {"precision", ops.precision()},
                             {"seconds", absl::ToDoubleSeconds(loaded - begun)}});
    auto entry = std::make_unique<const LoadedModel>(source, *std::move(model), loaded);
    if (catalog->default_ == nullptr) catalog->default_ = entry.get();
    catalog->models_.emplace(source.name, std::move(entry));
  }
  return catalog;
}

absl::StatusOr<const LoadedModel*> ModelCatalog::Find(absl::string_view name) const {
  if (name.empty()) return default_;
  const auto found = models_.find(std::string(name));
  if (found == models_.end()) return NotFound("model", name);
  return found->second.get();
}

std::vector<const LoadedModel*> ModelCatalog::All() const {
  std::vector<const LoadedModel*> all;
  for (const auto& [name, model] : models_) all.push_back(model.get());
  return all;
}

}  // namespace alcove::inference
