// Payload: the JSON object stored with a point, as compact bytes (docs/formats/payload.md). The same bytes travel in
// the log, lie in a shard's memory and go between processes; nothing keeps a tree of values.
//
// Bytes from outside are checked once with ValidatePayload; views of checked bytes then read without further checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace alcove::vector_search {

inline constexpr size_t kMaxPayloadObjectBytes = 1 << 20;  // encoded
inline constexpr int kMaxPayloadDepth = 32;                // nested lists and objects, the outermost object included
inline constexpr int64_t kMaxExactInteger = int64_t{1} << 53;

enum class ValueKind : uint8_t {
  kNull = 0,
  kFalse = 1,
  kTrue = 2,
  kInteger = 3,  // a whole number within ±2^53
  kDouble = 4,   // any other finite number
  kString = 5,   // UTF-8
  kList = 6,
  kObject = 7,  // keys ascending by bytes and unique
};

class ListView;
class ObjectView;

// One value inside checked payload bytes. Copyable; valid as long as the bytes are.
class ValueView {
 public:
  ValueView() = default;
  explicit ValueView(const char* tag) : tag_(tag) {}

  ValueKind kind() const { return static_cast<ValueKind>(*tag_); }
  bool is_number() const { return kind() == ValueKind::kInteger || kind() == ValueKind::kDouble; }
  bool is_bool() const { return kind() == ValueKind::kFalse || kind() == ValueKind::kTrue; }
  // Each of these only for values of that kind; number() takes both kinds of number.
  bool boolean() const { return kind() == ValueKind::kTrue; }
  int64_t integer() const;
  double number() const;
  absl::string_view string() const;
  ListView list() const;
  ObjectView object() const;
  // The byte after the value.
  const char* end() const;
  // Exactly the value's bytes.
  absl::string_view bytes() const { return {tag_, static_cast<size_t>(end() - tag_)}; }

 private:
  const char* tag_ = nullptr;
};

class ListView {
 public:
  ListView(const char* begin, const char* end) : at_(begin), end_(end) {}
  bool done() const { return at_ == end_; }
  ValueView value() const { return ValueView(at_); }
  void Next() { at_ = value().end(); }

 private:
  const char* at_;
  const char* end_;
};

class ObjectView {
 public:
  ObjectView(const char* begin, const char* end) : at_(begin), end_(end) {}
  bool done() const { return at_ == end_; }
  absl::string_view key() const;
  ValueView value() const;
  void Next() { at_ = value().end(); }
  // The field of that name.
  std::optional<ValueView> Find(absl::string_view name) const;

 private:
  const char* at_;
  const char* end_;
};

// The object in payload bytes that are empty (an empty object) or passed ValidatePayload.
ObjectView PayloadObject(absl::string_view payload);

// Follows a dotted path into nested objects; nullopt when a step is missing or not an object.
std::optional<ValueView> FindPath(absl::string_view payload, absl::string_view path);

// Checks bytes of unknown origin: version, structure, depth, order of keys, UTF-8, size. Empty bytes are fine.
// INVALID_ARGUMENT says what is wrong and at which byte; FAILED_PRECONDITION for a newer version.
absl::Status ValidatePayload(absl::string_view payload);

// Writes payload bytes. Keys of one object must come in ascending order.
//   PayloadBuilder b; b.BeginObject(); b.Key("age"); b.Integer(7); b.EndObject(); auto bytes = std::move(b).Finish();
// The outermost value must be one object. Errors (too deep, too large, unordered keys, NaN) are kept and come out of
// Finish().
class PayloadBuilder {
 public:
  PayloadBuilder();
  void Null();
  void Bool(bool value);
  void Integer(int64_t value);  // beyond ±2^53 it is stored as a double
  void Number(double value);    // whole numbers within ±2^53 become integers; must be finite
  void String(absl::string_view value);
  // Copies a value from other checked payload bytes.
  void Copy(ValueView value);
  void BeginList();
  void EndList();
  void BeginObject();
  void EndObject();
  void Key(absl::string_view key);

  // False once an error is kept, so that a caller can stop early.
  bool ok() const { return error_.ok(); }
  absl::StatusOr<std::string> Finish() &&;

 private:
  struct Open {
    size_t begin;  // position of the tag
    bool object;
    std::string last_key;
    bool has_key = false;
  };
  bool BeforeValue();
  void Begin(ValueKind kind);
  void End(ValueKind kind);
  void Fail(absl::string_view why);

  std::string out_;
  std::vector<Open> open_;
  bool finished_ = false;
  absl::Status error_;
};

// `change`'s top-level fields set in `base`, the others kept. Both checked.
absl::StatusOr<std::string> MergePayload(absl::string_view base, absl::string_view change);

// Which top-level fields of a payload a reply carries. `include` empty means all.
struct PayloadSelector {
  bool none = false;
  std::vector<std::string> include;
  std::vector<std::string> exclude;

  bool everything() const { return !none && include.empty() && exclude.empty(); }
};
// Empty when nothing is left. `payload` is checked.
std::string SelectPayload(absl::string_view payload, const PayloadSelector& selector);

}  // namespace alcove::vector_search
