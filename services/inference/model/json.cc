#include "services/inference/model/json.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/inference/model/mapped_file.h"

namespace alcove::inference {
namespace {
constexpr size_t kMaxDepth = 64;

// simdjson refuses integers beyond 64 bits, and files that mean "no limit" hold 10^30 written out. Written as decimal
// fractions they are read as doubles.
std::string WithLongIntegersAsFractions(absl::string_view text) {
  constexpr size_t kMostDigits = 18;
  std::string out;
  out.reserve(text.size() + 16);
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    end = begin + 1;
    if (text[begin] == '"') {
      while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, text.size());
    } else if (absl::ascii_isdigit(text[begin])) {
      while (end < text.size() && (absl::ascii_isalnum(text[end]) || absl::StrContains(".+-", text[end]))) ++end;
    }
    const absl::string_view token = text.substr(begin, end - begin);
    absl::StrAppend(&out, token);
    if (token.size() > kMostDigits && std::all_of(token.begin(), token.end(), absl::ascii_isdigit)) {
      out.append(".0");
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<JsonDocument> JsonDocument::Parse(absl::string_view text, absl::string_view name) {
  JsonDocument document;
  document.name_ = std::string(name);
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": larger than ", kMaxFileBytes, " bytes"));
  }
  document.parser_ = std::make_unique<simdjson::dom::parser>(kMaxFileBytes);
  simdjson::error_code error = document.parser_->allocate(std::max<size_t>(text.size(), 64), kMaxDepth);
  if (error == simdjson::SUCCESS) {
    error = document.parser_->parse(text.data(), text.size(), /*realloc_if_needed=*/true).get(document.root_);
  }
  if (error == simdjson::NUMBER_ERROR) {
    const std::string rewritten = WithLongIntegersAsFractions(text);
    error = document.parser_->parse(rewritten).get(document.root_);
  }
  if (error != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": not valid JSON: ", simdjson::error_message(error)));
  }
  return document;
}

absl::StatusOr<JsonDocument> JsonDocument::ReadFile(const std::string& path) {
  ALCOVE_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  return Parse({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path);
}

absl::StatusOr<JsonObject> JsonObject::From(const simdjson::dom::element& element, absl::string_view name) {
  simdjson::dom::object object;
  if (element.get(object) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": not a JSON object"));
  }
  return JsonObject(object, std::string(name));
}

std::optional<simdjson::dom::element> JsonObject::Find(absl::string_view key) const {
  simdjson::dom::element element;
  if (object_.at_key(std::string_view(key.data(), key.size())).get(element) != simdjson::SUCCESS || element.is_null()) {
    return std::nullopt;
  }
  return element;
}

absl::Status JsonObject::WrongType(absl::string_view key, absl::string_view wanted) const {
  return absl::InvalidArgumentError(absl::StrCat(name_, ": field \"", key, "\" is not ", wanted));
}

absl::StatusOr<std::optional<int64_t>> JsonObject::Int(absl::string_view key) const {
  const std::optional<simdjson::dom::element> element = Find(key);
  if (!element) return std::nullopt;
  int64_t value = 0;
  if (element->get(value) != simdjson::SUCCESS) return WrongType(key, "an integer");
  return value;
}

absl::StatusOr<std::optional<double>> JsonObject::Number(absl::string_view key) const {
  const std::optional<simdjson::dom::element> element = Find(key);
  if (!element) return std::nullopt;
  double value = 0;
  if (element->get(value) != simdjson::SUCCESS) return WrongType(key, "a number");
  return value;
}

absl::StatusOr<std::optional<bool>> JsonObject::Bool(absl::string_view key) const {
  const std::optional<simdjson::dom::element> element = Find(key);
  if (!element) return std::nullopt;
  bool value = false;
  if (element->get(value) != simdjson::SUCCESS) return WrongType(key, "true or false");
  return value;
}

absl::StatusOr<std::optional<std::string>> JsonObject::String(absl::string_view key) const {
  const std::optional<simdjson::dom::element> element = Find(key);
  if (!element) return std::nullopt;
  std::string_view value;
  if (element->get(value) != simdjson::SUCCESS) return WrongType(key, "a string");
  return std::string(value);
}

absl::StatusOr<std::optional<simdjson::dom::array>> JsonObject::Array(absl::string_view key) const {
  const std::optional<simdjson::dom::element> element = Find(key);
  if (!element) return std::nullopt;
  simdjson::dom::array value;
  if (element->get(value) != simdjson::SUCCESS) return WrongType(key, "an array");
  return value;
}

absl::StatusOr<std::optional<JsonObject>> JsonObject::Object(absl::string_view key) const {
  const std::optional<simdjson::dom::element> element = Find(key);
  if (!element) return std::nullopt;
  simdjson::dom::object value;
  if (element->get(value) != simdjson::SUCCESS) return WrongType(key, "an object");
  return JsonObject(value, absl::StrCat(name_, ": ", key));
}

absl::StatusOr<int64_t> JsonObject::RequiredInt(absl::string_view key, int64_t low, int64_t high) const {
  ALCOVE_ASSIGN_OR_RETURN(const std::optional<int64_t> value, Int(key));
  if (!value) return absl::InvalidArgumentError(absl::StrCat(name_, ": field \"", key, "\" is missing"));
  if (*value < low || *value > high) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": field \"", key, "\" is ", *value, ", outside ", low, "..", high));
  }
  return *value;
}

}  // namespace alcove::inference
