// JSON files of a model folder, read with limits. A thin wrapper over simdjson's DOM that turns its error codes into
// statuses naming the file and the field.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <simdjson.h>

namespace alcove::inference {

// simdjson speaks std::string_view, which Debian's Abseil does not alias.
inline absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// A parsed document. Elements handed out are valid for its life. Move-only; not thread safe.
class JsonDocument {
 public:
  // The largest JSON file that is read, in bytes.
  static constexpr size_t kMaxFileBytes = 256u << 20;

  // INVALID_ARGUMENT "<name>: …" when `text` is not JSON or nests deeper than 64 levels.
  static absl::StatusOr<JsonDocument> Parse(absl::string_view text, absl::string_view name);
  // NOT_FOUND when the file is missing.
  static absl::StatusOr<JsonDocument> ReadFile(const std::string& path);

  simdjson::dom::element root() const { return root_; }
  const std::string& name() const { return name_; }

 private:
  JsonDocument() = default;

  std::string name_;
  std::unique_ptr<simdjson::dom::parser> parser_;
  simdjson::dom::element root_;
};

// Fields of a JSON object. An absent or null field yields nullopt; a field of another type is INVALID_ARGUMENT
// "<name>: field "x" is not …".
class JsonObject {
 public:
  // `name` is used in messages only.
  static absl::StatusOr<JsonObject> From(const simdjson::dom::element& element, absl::string_view name);

  absl::StatusOr<std::optional<int64_t>> Int(absl::string_view key) const;
  absl::StatusOr<std::optional<double>> Number(absl::string_view key) const;
  absl::StatusOr<std::optional<bool>> Bool(absl::string_view key) const;
  absl::StatusOr<std::optional<std::string>> String(absl::string_view key) const;
  absl::StatusOr<std::optional<simdjson::dom::array>> Array(absl::string_view key) const;
  absl::StatusOr<std::optional<JsonObject>> Object(absl::string_view key) const;

  // As Int, but the field must be there and lie in [low, high].
  absl::StatusOr<int64_t> RequiredInt(absl::string_view key, int64_t low, int64_t high) const;

  const simdjson::dom::object& fields() const { return object_; }
  const std::string& name() const { return name_; }

 private:
  JsonObject(simdjson::dom::object object, std::string name) : object_(object), name_(std::move(name)) {}
  std::optional<simdjson::dom::element> Find(absl::string_view key) const;
  absl::Status WrongType(absl::string_view key, absl::string_view wanted) const;

  simdjson::dom::object object_;
  std::string name_;
};

}  // namespace alcove::inference
