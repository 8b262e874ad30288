#include "services/gateway/openai/embeddings_request.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include <simdjson.h>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"

namespace alcove::gateway {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kKeptParserBytes = 1 << 20;
constexpr size_t kMaxDepth = 16;

std::string At(size_t index) { return absl::StrCat("input[", index, "]"); }

absl::StatusOr<std::vector<uint32_t>> ReadTokens(dom::array list, const std::string& field) {
  std::vector<uint32_t> tokens;
  tokens.reserve(list.size());
  for (const dom::element item : list) {
    uint64_t token = 0;
    if (item.get(token) || token > std::numeric_limits<uint32_t>::max()) {
      return InvalidField(field, "expected token ids: whole numbers from 0");
    }
    tokens.push_back(static_cast<uint32_t>(token));
  }
  if (tokens.empty()) return InvalidField(field, "must not be empty");
  return tokens;
}

absl::Status ReadInputList(dom::array list, EmbeddingsRequest& request) {
  const size_t size = list.size();
  if (size == 0) return InvalidField("input", "must not be empty");
  const bool flat_tokens = list.at(0).is_int64() || list.at(0).is_uint64();
  if (flat_tokens) {
    ALCOVE_ASSIGN_OR_RETURN(std::vector<uint32_t> tokens, ReadTokens(list, "input"));
    request.tokens.push_back(std::move(tokens));
    return absl::OkStatus();
  }
  if (size > kMaxEmbeddingInputs) {
    return InvalidField("input", absl::StrCat(size, " inputs are too many; at most ", kMaxEmbeddingInputs));
  }
  size_t at = 0;
  for (const dom::element item : list) {
    const size_t index = at++;
    std::string_view text;
    dom::array tokens;
    if (!item.get(text)) {
      if (text.empty()) return InvalidField(At(index), "must not be empty");
      request.texts.emplace_back(text);
    } else if (!item.get(tokens)) {
      ALCOVE_ASSIGN_OR_RETURN(std::vector<uint32_t> ids, ReadTokens(tokens, At(index)));
      request.tokens.push_back(std::move(ids));
    } else {
      return InvalidField(At(index), "expected a text or a list of token ids");
    }
  }
  if (!request.texts.empty() && !request.tokens.empty()) {
    return InvalidField("input", "texts and token ids cannot be mixed");
  }
  return absl::OkStatus();
}

absl::Status ReadMember(std::string_view key, dom::element value, EmbeddingsRequest& request) {
  std::string_view text;
  if (key == "input") {
    dom::array list;
    if (!value.get(text)) {
      if (text.empty()) return InvalidField("input", "must not be empty");
      request.texts.emplace_back(text);
      return absl::OkStatus();
    }
    if (!value.get(list)) return ReadInputList(list, request);
    return InvalidField("input", "expected a text, a list of texts, or token ids");
  }
  if (value.is_null()) return absl::OkStatus();
  if (key == "model") {
    if (value.get(text)) return InvalidField("model", "expected a text");
    request.model = std::string(text);
  } else if (key == "encoding_format") {
    if (value.get(text) || (text != "float" && text != "base64")) {
      return InvalidField("encoding_format", "expected \"float\" or \"base64\"");
    }
    request.base64 = text == "base64";
  } else if (key == "dimensions") {
    uint64_t dimensions = 0;
    if (value.get(dimensions) || dimensions == 0 || dimensions > 65536) {
      return InvalidField("dimensions", "expected a whole number from 1 to 65536");
    }
    request.dimensions = static_cast<uint32_t>(dimensions);
  }
  return absl::OkStatus();
}

absl::StatusOr<EmbeddingsRequest> Read(dom::parser& parser, std::string& json) {
  dom::element root;
  if (parser.allocate(std::max<size_t>(json.size(), 1024), kMaxDepth)) {
    return absl::ResourceExhaustedError("no memory to read the body");
  }
  if (const auto error = parser.parse(json.data(), json.size(), false).get(root)) {
    return absl::InvalidArgumentError(absl::StrCat("malformed JSON: ", simdjson::error_message(error)));
  }
  dom::object object;
  if (root.get(object)) return absl::InvalidArgumentError("the body must be a JSON object");
  EmbeddingsRequest request;
  bool seen_input = false;
  for (const auto [key, value] : object) {
    if (key == "input" && std::exchange(seen_input, true)) return InvalidField("input", "given twice");
    ALCOVE_RETURN_IF_ERROR(ReadMember(key, value, request));
  }
  if (!seen_input) return InvalidField("input", "must be given");
  if (request.model.empty())
    return InvalidField("model", "must be given; \"default\" takes the server's default model");
  return request;
}

}  // namespace

absl::StatusOr<EmbeddingsRequest> ParseEmbeddingsRequest(std::string& json) {
  if (json.empty()) return absl::InvalidArgumentError("the body is empty; expected a JSON object");
  json.reserve(json.size() + simdjson::SIMDJSON_PADDING);
  if (json.size() > kKeptParserBytes) {
    dom::parser parser;
    return Read(parser, json);
  }
  thread_local dom::parser parser;
  return Read(parser, json);
}

}  // namespace alcove::gateway
