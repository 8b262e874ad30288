// The models this process serves, by name.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>
#include <absl/types/span.h>

#include "services/inference/engine/embedding_model.h"
#include "services/inference/scheduler/executor.h"

namespace alcove::inference {

// A model to load.
struct ModelSource {
  std::string name;    // 1..128 of [A-Za-z0-9._/-]
  std::string folder;  // a Hugging Face folder
};

// "name=folder" or "folder", which is named after its last part. INVALID_ARGUMENT when the name is empty or has other
// characters.
absl::StatusOr<ModelSource> ParseModelSource(absl::string_view text);

// A loaded model. Immutable, thread safe.
class LoadedModel final : public BatchRunner {
 public:
  LoadedModel(ModelSource source, std::unique_ptr<const EmbeddingModel> model, absl::Time loaded_at)
      : source_(std::move(source)), model_(std::move(model)), loaded_at_(loaded_at) {}

  const std::string& name() const { return source_.name; }
  const EmbeddingModel& embedding() const { return *model_; }
  absl::Time loaded_at() const { return loaded_at_; }

  size_t dimension() const override { return model_->dimension(); }
  void Run(absl::Span<const absl::Span<const int32_t>> sequences, Workspace& workspace, float* out) const override {
    model_->Embed(sequences, workspace, out);
  }

 private:
  ModelSource source_;
  std::unique_ptr<const EmbeddingModel> model_;
  absl::Time loaded_at_;
};

// Immutable once loaded, thread safe.
class ModelCatalog {
 public:
  // Loads every source; the first is the default model. `ops` outlives the catalog. INVALID_ARGUMENT for a repeated
  // name or no source at all; otherwise the error of the folder that cannot be loaded, with the model's name.
  static absl::StatusOr<std::unique_ptr<const ModelCatalog>> Load(const std::vector<ModelSource>& sources,
                                                                  const EncoderOps& ops);

  // The model of that name, or the default model for an empty name. NOT_FOUND.
  absl::StatusOr<const LoadedModel*> Find(absl::string_view name) const;
  bool IsDefault(const LoadedModel& model) const { return &model == default_; }
  // In order of name.
  std::vector<const LoadedModel*> All() const;

 private:
  std::map<std::string, std::unique_ptr<const LoadedModel>> models_;
  const LoadedModel* default_ = nullptr;
};

}  // namespace alcove::inference
