#include "services/inference/model/model_config.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "libs/common/status.h"
#include "services/inference/model/json.h"

namespace alcove::inference {
namespace {

constexpr int64_t kMaxDimension = 1 << 20;

absl::StatusOr<Activation> ParseActivation(const std::string& name, const std::string& path) {
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return Activation::kGeluTanh;
  if (name == "relu") return Activation::kRelu;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": hidden_act \"", name, "\" is not supported; supported: gelu, gelu_new, relu"));
}

// An optional file: nullopt when it is absent.
absl::StatusOr<std::optional<JsonDocument>> ReadOptional(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  ALCOVE_ASSIGN_OR_RETURN(JsonDocument document, JsonDocument::ReadFile(path));
  return std::optional<JsonDocument>(std::move(document));
}

absl::StatusOr<Pooling> ReadPooling(const std::string& path) {
  ALCOVE_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::ReadFile(path));
  ALCOVE_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(document.root(), path));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<bool> include_prompt, root.Bool("include_prompt"));
  if (!include_prompt.value_or(true)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": include_prompt = false is not supported"));
  }
  std::vector<std::string> modes;
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> named, root.String("pooling_mode"));
  if (named) {
    modes.push_back(*named);
  } else {
    for (const simdjson::dom::key_value_pair& field : root.fields()) {
      bool on = false;
      if (absl::StartsWith(View(field.key), "pooling_mode_") && field.value.get(on) == simdjson::SUCCESS && on) {
        modes.emplace_back(field.key.substr(13));
      }
    }
  }
  if (modes.size() == 1) {
    if (modes[0] == "mean_tokens" || modes[0] == "mean") return Pooling::kMean;
    if (modes[0] == "cls_token" || modes[0] == "cls") return Pooling::kCls;
    if (modes[0] == "max_tokens" || modes[0] == "max") return Pooling::kMax;
  }
  return absl::InvalidArgumentError(absl::StrCat(path, ": pooling \"", absl::StrJoin(modes, "+"),
                                                 "\" is not supported; supported: one of mean, cls, max"));
}

absl::Status ReadModules(const std::string& folder, EmbeddingConfig& config) {
  const std::string path = folder + "/modules.json";
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonDocument> document, ReadOptional(path));
  if (!document) {
    if (std::filesystem::exists(folder + "/1_Pooling/config.json")) {
      ALCOVE_ASSIGN_OR_RETURN(config.pooling, ReadPooling(folder + "/1_Pooling/config.json"));
    }
    return absl::OkStatus();
  }
  simdjson::dom::array modules;
  if (document->root().get(modules) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a JSON array"));
  }
  for (const simdjson::dom::element& element : modules) {
    ALCOVE_ASSIGN_OR_RETURN(const JsonObject module, JsonObject::From(element, path));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> type, module.String("type"));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> subfolder, module.String("path"));
    const std::string name = type.value_or("");
    if (absl::EndsWith(name, ".Transformer")) continue;
    if (absl::EndsWith(name, ".Normalize")) {
      config.normalize = true;
    } else if (absl::EndsWith(name, ".Pooling")) {
      const std::string where = subfolder.value_or("");
      if (absl::StrContains(where, "..") || absl::StartsWith(where, "/")) {
        return absl::InvalidArgumentError(absl::StrCat(path, ": module path \"", where, "\" leaves the folder"));
      }
      ALCOVE_ASSIGN_OR_RETURN(config.pooling, ReadPooling(absl::StrCat(folder, "/", where, "/config.json")));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": module \"", name, "\" is not supported; supported: Transformer, Pooling, Normalize"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadLengthLimit(const std::string& folder, const EncoderConfig& encoder, EmbeddingConfig& config) {
  config.max_tokens = encoder.max_positions;
  for (const auto& [file, key] : {std::pair("sentence_bert_config.json", "max_seq_length"),
                                  std::pair("tokenizer_config.json", "model_max_length")}) {
    const std::string path = absl::StrCat(folder, "/", file);
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonDocument> document, ReadOptional(path));
    if (!document) continue;
    ALCOVE_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(document->root(), path));
    // model_max_length is 1e30 in files that mean "no limit", so it is read as a number.
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<double> limit, root.Number(key));
    if (!limit) continue;
    if (!(*limit >= 1)) return absl::InvalidArgumentError(absl::StrCat(path, ": ", key, " is not positive"));
    if (*limit < static_cast<double>(config.max_tokens)) config.max_tokens = static_cast<size_t>(*limit);
    break;
  }
  return absl::OkStatus();
}

absl::Status ReadPrompts(const std::string& folder, EmbeddingConfig& config) {
  const std::string path = folder + "/config_sentence_transformers.json";
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonDocument> document, ReadOptional(path));
  if (!document) return absl::OkStatus();
  ALCOVE_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(document->root(), path));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<JsonObject> prompts, root.Object("prompts"));
  if (!prompts) return absl::OkStatus();
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> default_name, root.String("default_prompt_name"));
  if (default_name) {
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> prompt, prompts->String(*default_name));
    if (!prompt) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": default_prompt_name \"", *default_name, "\" is not among the prompts"));
    }
    config.default_prompt = *prompt;
  }
  config.query_prompt = config.default_prompt;
  config.document_prompt = config.default_prompt;
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> query, prompts->String("query"));
  if (query) config.query_prompt = *query;
  // sentence-transformers tries these names in this order.
  for (const char* name : {"document", "passage", "corpus"}) {
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> prompt, prompts->String(name));
    if (!prompt) continue;
    config.document_prompt = *prompt;
    break;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EncoderConfig> ReadEncoderConfig(const std::string& folder) {
  const std::string path = folder + "/config.json";
  if (!std::filesystem::exists(path)) {
    return absl::NotFoundError(absl::StrCat("model folder ", folder, " has no config.json"));
  }
  ALCOVE_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::ReadFile(path));
  ALCOVE_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(document.root(), path));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> model_type, root.String("model_type"));
  if (model_type.value_or("") != "bert") {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": model_type \"", model_type.value_or(""), "\" is not supported; supported: bert"));
  }
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> positions, root.String("position_embedding_type"));
  if (positions.value_or("absolute") != "absolute") {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": position_embedding_type \"", *positions, "\" is not supported; supported: absolute"));
  }

  EncoderConfig config;
  config.architecture = "BertModel";
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<simdjson::dom::array> architectures, root.Array("architectures"));
  std::string_view architecture;
  if (architectures && architectures->at(0).get(architecture) == simdjson::SUCCESS) config.architecture = architecture;

  const auto size = [&root](absl::string_view key) { return root.RequiredInt(key, 1, kMaxDimension); };
  ALCOVE_ASSIGN_OR_RETURN(const int64_t vocabulary, root.RequiredInt("vocab_size", 1, 16 * kMaxDimension));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t hidden, size("hidden_size"));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t layers, root.RequiredInt("num_hidden_layers", 1, 1024));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t heads, size("num_attention_heads"));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t intermediate, size("intermediate_size"));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t max_positions, size("max_position_embeddings"));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<int64_t> types, root.Int("type_vocab_size"));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<double> eps, root.Number("layer_norm_eps"));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<int64_t> pad, root.Int("pad_token_id"));
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<std::string> activation, root.String("hidden_act"));
  if (hidden % heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": hidden_size ", hidden, " is not a multiple of num_attention_heads ", heads));
  }
  if (eps && !(*eps > 0 && *eps < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": layer_norm_eps is outside (0, 1)"));
  }
  if (types && (*types < 1 || *types > kMaxDimension)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": type_vocab_size is outside 1..", kMaxDimension));
  }
  config.vocabulary_size = static_cast<size_t>(vocabulary);
  config.hidden_size = static_cast<size_t>(hidden);
  config.layers = static_cast<size_t>(layers);
  config.heads = static_cast<size_t>(heads);
  config.intermediate_size = static_cast<size_t>(intermediate);
  config.max_positions = static_cast<size_t>(max_positions);
  config.token_types = static_cast<size_t>(types.value_or(2));
  config.layer_norm_eps = static_cast<float>(eps.value_or(1e-12));
  config.pad_token_id = static_cast<int32_t>(pad.value_or(0));
  ALCOVE_ASSIGN_OR_RETURN(config.activation, ParseActivation(activation.value_or("gelu"), path));
  return config;
}

absl::StatusOr<EmbeddingConfig> ReadEmbeddingConfig(const std::string& folder, const EncoderConfig& encoder) {
  EmbeddingConfig config;
  ALCOVE_RETURN_IF_ERROR(ReadModules(folder, config));
  ALCOVE_RETURN_IF_ERROR(ReadLengthLimit(folder, encoder, config));
  ALCOVE_RETURN_IF_ERROR(ReadPrompts(folder, config));
  return config;
}

}  // namespace alcove::inference
