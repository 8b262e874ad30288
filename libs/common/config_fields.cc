#include "libs/common/config_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/time/time.h>
#include <google/protobuf/duration.pb.h>

#include "libs/common/text.h"

namespace alcove::config_internal {
namespace {

absl::Status Wrong(absl::string_view path, absl::string_view why, absl::string_view where) {
  return InvalidField(path, where.empty() ? std::string(why) : absl::StrCat(why, " (", where, ")"));
}

// How a wrong value is quoted; a secret never is.
std::string Quoted(const Field& field, absl::string_view text) {
  if (Spec(field).secret()) return "the value";
  return absl::StrCat("\"", TruncateUtf8(text, 80), "\"");
}

template <typename Integer>
absl::StatusOr<Integer> ParseInteger(const Field& field, absl::string_view text) {
  if (IsBytesUnit(field)) {
    ALCOVE_ASSIGN_OR_RETURN(const uint64_t bytes, ParseByteSize(text));
    if (bytes > static_cast<uint64_t>(std::numeric_limits<Integer>::max())) {
      return absl::InvalidArgumentError(absl::StrCat(Quoted(field, text), " is too large"));
    }
    return static_cast<Integer>(bytes);
  }
  Integer value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(field, text), " is not a whole number that fits the setting"));
  }
  return value;
}

absl::StatusOr<int> ParseEnum(const Field& field, absl::string_view text) {
  const google::protobuf::EnumDescriptor& type = *field.enum_type();
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    const std::string& name = type.value(i)->name();
    names.push_back(name);
    // DURABILITY_FULL is also "full": the name without the words all values share.
    if (absl::EqualsIgnoreCase(name, text) || absl::EndsWithIgnoreCase(name, absl::StrCat("_", text))) {
      return type.value(i)->number();
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(Quoted(field, text), " is not one of ", absl::StrJoin(names, ", ")));
}

absl::Status SetDuration(absl::string_view text, Message& duration) {
  ALCOVE_ASSIGN_OR_RETURN(const absl::Duration value, ParseDurationText(text));
  if (value == absl::InfiniteDuration() || value == -absl::InfiniteDuration()) {
    return absl::InvalidArgumentError("a duration must be finite");
  }
  absl::Duration rest;
  const int64_t seconds = absl::IDivDuration(value, absl::Seconds(1), &rest);
  google::protobuf::Duration parsed;
  parsed.set_seconds(seconds);
  parsed.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  duration.CopyFrom(parsed);
  return absl::OkStatus();
}

absl::Duration GetDuration(const Message& message) {
  google::protobuf::Duration duration;
  duration.CopyFrom(message);
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

// Sets a scalar field, or appends to a list of scalars.
absl::Status SetScalar(const Field& field, absl::string_view text, Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const bool list = field.is_repeated();
  Message* const m = &message;
  if (IsDuration(field)) {
    return SetDuration(text, list ? *reflection.AddMessage(m, &field) : *reflection.MutableMessage(m, &field));
  }
  switch (field.cpp_type()) {
    case Field::CPPTYPE_BOOL: {
      const bool on = absl::EqualsIgnoreCase(text, "true");
      if (!on && !absl::EqualsIgnoreCase(text, "false")) {
        return absl::InvalidArgumentError(absl::StrCat(Quoted(field, text), " is neither true nor false"));
      }
      list ? reflection.AddBool(m, &field, on) : reflection.SetBool(m, &field, on);
      return absl::OkStatus();
    }
    case Field::CPPTYPE_INT32: {
      ALCOVE_ASSIGN_OR_RETURN(const int32_t value, ParseInteger<int32_t>(field, text));
      list ? reflection.AddInt32(m, &field, value) : reflection.SetInt32(m, &field, value);
      return absl::OkStatus();
    }
    case Field::CPPTYPE_UINT32: {
      ALCOVE_ASSIGN_OR_RETURN(const uint32_t value, ParseInteger<uint32_t>(field, text));
      list ? reflection.AddUInt32(m, &field, value) : reflection.SetUInt32(m, &field, value);
      return absl::OkStatus();
    }
    case Field::CPPTYPE_INT64: {
      ALCOVE_ASSIGN_OR_RETURN(const int64_t value, ParseInteger<int64_t>(field, text));
      list ? reflection.AddInt64(m, &field, value) : reflection.SetInt64(m, &field, value);
      return absl::OkStatus();
    }
    case Field::CPPTYPE_UINT64: {
      ALCOVE_ASSIGN_OR_RETURN(const uint64_t value, ParseInteger<uint64_t>(field, text));
      list ? reflection.AddUInt64(m, &field, value) : reflection.SetUInt64(m, &field, value);
      return absl::OkStatus();
    }
    case Field::CPPTYPE_FLOAT:
    case Field::CPPTYPE_DOUBLE: {
      double value = 0;
      if (!absl::SimpleAtod(text, &value) || !std::isfinite(value)) {
        return absl::InvalidArgumentError(absl::StrCat(Quoted(field, text), " is not a finite number"));
      }
      if (field.cpp_type() == Field::CPPTYPE_FLOAT) {
        const auto narrow = static_cast<float>(value);
        list ? reflection.AddFloat(m, &field, narrow) : reflection.SetFloat(m, &field, narrow);
      } else {
        list ? reflection.AddDouble(m, &field, value) : reflection.SetDouble(m, &field, value);
      }
      return absl::OkStatus();
    }
    case Field::CPPTYPE_ENUM: {
      ALCOVE_ASSIGN_OR_RETURN(const int value, ParseEnum(field, text));
      list ? reflection.AddEnumValue(m, &field, value) : reflection.SetEnumValue(m, &field, value);
      return absl::OkStatus();
    }
    case Field::CPPTYPE_STRING:
      if (field.type() == Field::TYPE_BYTES) break;
      if (!IsValidUtf8(text)) return absl::InvalidArgumentError("the value is not UTF-8");
      list ? reflection.AddString(m, &field, std::string(text)) : reflection.SetString(m, &field, std::string(text));
      return absl::OkStatus();
    case Field::CPPTYPE_MESSAGE: break;
  }
  return absl::InternalError("a setting of this type cannot be loaded");
}

absl::Status SetMap(const YamlNode& node, const Field& field, const std::string& path, const Where& where,
                    Message& message) {
  const Field& value_field = *field.message_type()->map_value();
  for (const YamlEntry& entry : node.entries) {
    if (entry.value.kind != YamlNode::Kind::kScalar) {
      return Wrong(JoinPath(path, entry.key), "a value of a map must be a text", where(entry.line));
    }
    Message* pair = message.GetReflection()->AddMessage(&message, &field);
    pair->GetReflection()->SetString(pair, field.message_type()->map_key(), entry.key);
    const absl::Status status = SetScalar(value_field, entry.value.text, *pair);
    if (!status.ok()) return Wrong(JoinPath(path, entry.key), status.message(), where(entry.line));
  }
  return absl::OkStatus();
}

absl::Status SetList(const YamlNode& node, const Field& field, const std::string& path, const Where& where,
                     Message& message, int depth) {
  for (size_t i = 0; i < node.items.size(); ++i) {
    const YamlNode& item = node.items[i];
    const std::string item_path = absl::StrCat(path, "[", i, "]");
    if (field.cpp_type() == Field::CPPTYPE_MESSAGE && !IsDuration(field)) {
      Message* element = message.GetReflection()->AddMessage(&message, &field);
      ALCOVE_RETURN_IF_ERROR(ApplyDefaults(*element, depth + 1));
      ALCOVE_RETURN_IF_ERROR(MergeNode(item, item_path, where, *element, depth + 1));
      continue;
    }
    if (item.kind != YamlNode::Kind::kScalar) {
      return Wrong(item_path, "an element must be a single value", where(item.line));
    }
    const absl::Status status = SetScalar(field, item.text, message);
    if (!status.ok()) return Wrong(item_path, status.message(), where(item.line));
    const std::string violation = CheckValue(message, field, static_cast<int>(i));
    if (!violation.empty()) return Wrong(item_path, violation, where(item.line));
  }
  return absl::OkStatus();
}

double NumberOf(const Message& message, const Field& field, int index) {
  const google::protobuf::Reflection& r = *message.GetReflection();
  const bool list = index >= 0;
  if (IsDuration(field)) {
    return absl::ToDoubleSeconds(
        GetDuration(list ? r.GetRepeatedMessage(message, &field, index) : r.GetMessage(message, &field)));
  }
  switch (field.cpp_type()) {
    case Field::CPPTYPE_INT32: return list ? r.GetRepeatedInt32(message, &field, index) : r.GetInt32(message, &field);
    case Field::CPPTYPE_UINT32:
      return list ? r.GetRepeatedUInt32(message, &field, index) : r.GetUInt32(message, &field);
    case Field::CPPTYPE_INT64:
      return static_cast<double>(list ? r.GetRepeatedInt64(message, &field, index) : r.GetInt64(message, &field));
    case Field::CPPTYPE_UINT64:
      return static_cast<double>(list ? r.GetRepeatedUInt64(message, &field, index) : r.GetUInt64(message, &field));
    case Field::CPPTYPE_FLOAT: return list ? r.GetRepeatedFloat(message, &field, index) : r.GetFloat(message, &field);
    case Field::CPPTYPE_DOUBLE:
      return list ? r.GetRepeatedDouble(message, &field, index) : r.GetDouble(message, &field);
    default: return 0;
  }
}

std::string TextOf(const Message& message, const Field& field, int index) {
  const google::protobuf::Reflection& r = *message.GetReflection();
  return index >= 0 ? r.GetRepeatedString(message, &field, index) : r.GetString(message, &field);
}

void CollectLevelNames(const Schema& level, std::vector<std::string>& names) {
  for (int i = 0; i < level.field_count(); ++i) names.push_back(level.field(i)->name());
}

}  // namespace

const config::v1::FieldSpec& Spec(const Field& field) { return field.options().GetExtension(config::v1::field); }

bool IsDuration(const Field& field) {
  return field.cpp_type() == Field::CPPTYPE_MESSAGE && field.message_type()->full_name() == "google.protobuf.Duration";
}

bool IsSection(const Field& field) {
  return field.cpp_type() == Field::CPPTYPE_MESSAGE && !field.is_repeated() && !IsDuration(field);
}

bool IsBytesUnit(const Field& field) { return Spec(field).unit() == "bytes"; }

std::string JoinPath(absl::string_view path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

void ForEachLeaf(const Schema& schema, absl::string_view path,
                 const std::function<void(const std::string&, const Field&)>& visit, int depth) {
  if (depth >= kMaxSchemaDepth) return;
  for (int i = 0; i < schema.field_count(); ++i) {
    const Field& field = *schema.field(i);
    const std::string field_path = JoinPath(path, field.name());
    if (IsSection(field)) {
      ForEachLeaf(*field.message_type(), field_path, visit, depth + 1);
    } else {
      visit(field_path, field);
    }
  }
}

absl::Status UnknownKey(const Schema& root, const Schema& level, absl::string_view path, absl::string_view name,
                        absl::string_view where) {
  std::vector<std::string> names;
  CollectLevelNames(level, names);
  std::string suggestion;
  if (const absl::string_view near = ClosestMatch(name, names); !near.empty()) suggestion = JoinPath(path, near);
  // "port" at the top is probably meant as "http.port".
  if (suggestion.empty()) {
    ForEachLeaf(root, "", [&](const std::string& leaf, const Field& field) {
      if (suggestion.empty() && field.name() == name) suggestion = &root == &level ? JoinPath(path, leaf) : leaf;
    });
  }
  const std::string shown = JoinPath(path, TruncateUtf8(name, 80));
  if (suggestion.empty()) return Wrong(shown, "unknown setting; --help lists all", where);
  return Wrong(shown, absl::StrCat("unknown setting; did you mean \"", suggestion, "\"?"), where);
}

absl::Status MergeNode(const YamlNode& node, absl::string_view path, const Where& where, Message& message, int depth) {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  if (node.kind != YamlNode::Kind::kMap) {
    return Wrong(path.empty() ? "configuration" : path, "must be a map of settings", where(node.line));
  }
  if (depth >= kMaxSchemaDepth) return Wrong(path, "nested too deep", where(node.line));
  const Schema& schema = *message.GetDescriptor();
  for (const YamlEntry& entry : node.entries) {
    const Field* field = schema.FindFieldByName(entry.key);
    if (field == nullptr) return UnknownKey(schema, schema, path, entry.key, where(entry.line));
    ALCOVE_RETURN_IF_ERROR(SetField(entry.value, *field, JoinPath(path, entry.key), where, message, depth));
  }
  return absl::OkStatus();
}

absl::Status SetField(const YamlNode& node, const Field& field, const std::string& path, const Where& where,
                      Message& message, int depth) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (IsSection(field)) {
    return MergeNode(node, path, where, *reflection.MutableMessage(&message, &field), depth + 1);
  }
  if (field.is_repeated()) {
    const YamlNode::Kind wanted = field.is_map() ? YamlNode::Kind::kMap : YamlNode::Kind::kList;
    if (node.kind != wanted && node.kind != YamlNode::Kind::kNull) {
      return Wrong(path, field.is_map() ? "must be a map" : "must be a list", where(node.line));
    }
    reflection.ClearField(&message, &field);
    ALCOVE_RETURN_IF_ERROR(field.is_map() ? SetMap(node, field, path, where, message)
                                          : SetList(node, field, path, where, message, depth));
  } else {
    if (node.kind == YamlNode::Kind::kNull) return Wrong(path, "has no value", where(node.line));
    if (node.kind != YamlNode::Kind::kScalar) return Wrong(path, "must be a single value", where(node.line));
    const absl::Status status = SetScalar(field, node.text, message);
    if (!status.ok()) return Wrong(path, status.message(), where(node.line));
  }
  const std::string violation = CheckValue(message, field, -1);
  return violation.empty() ? absl::OkStatus() : Wrong(path, violation, where(node.line));
}

absl::Status SetPath(absl::string_view path, absl::string_view text, const Where& where, Message& message) {
  const Schema& root = *message.GetDescriptor();
  Message* section = &message;
  const Field* field = nullptr;
  std::string done;
  for (const absl::string_view name : absl::StrSplit(path, '.')) {
    if (field != nullptr) {
      if (!IsSection(*field)) {
        return Wrong(JoinPath(done, name), absl::StrCat("unknown setting; \"", done, "\" has no parts"), where(0));
      }
      section = section->GetReflection()->MutableMessage(section, field);
    }
    field = section->GetDescriptor()->FindFieldByName(std::string(name));
    if (field == nullptr) return UnknownKey(root, *section->GetDescriptor(), done, name, where(0));
    done = JoinPath(done, name);
  }
  return SetFieldText(text, *field, done, where, *section);
}

absl::Status SetFieldText(absl::string_view text, const Field& field, const std::string& path, const Where& where,
                          Message& message) {
  const bool structured = field.cpp_type() == Field::CPPTYPE_MESSAGE && !IsDuration(field);
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  YamlNode node = YamlNode::Scalar(text);
  if (structured || (field.is_repeated() && absl::StartsWith(trimmed, "["))) {
    absl::StatusOr<YamlNode> parsed = ParseYaml(text);
    if (!parsed.ok()) return Wrong(path, parsed.status().message(), where(0));
    node = *std::move(parsed);
  } else if (field.is_repeated()) {
    node = YamlNode();
    node.kind = YamlNode::Kind::kList;
    for (const absl::string_view item : absl::StrSplit(trimmed, ',', absl::SkipWhitespace())) {
      node.items.push_back(YamlNode::Scalar(absl::StripAsciiWhitespace(item)));
    }
  }
  return SetField(
      node, field, path, [&](int) { return where(0); }, message);
}

absl::Status ApplyDefaults(Message& message, int depth) {
  if (depth >= kMaxSchemaDepth) return absl::InternalError("the schema is nested too deep");
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const Schema& schema = *message.GetDescriptor();
  for (int i = 0; i < schema.field_count(); ++i) {
    const Field& field = *schema.field(i);
    if (IsSection(field)) {
      ALCOVE_RETURN_IF_ERROR(ApplyDefaults(*reflection.MutableMessage(&message, &field), depth + 1));
      continue;
    }
    const std::string& text = Spec(field).default_();
    const bool set =
        field.is_repeated() ? reflection.FieldSize(message, &field) > 0 : reflection.HasField(message, &field);
    if (text.empty() || set) continue;
    const absl::Status status = SetFieldText(
        text, field, field.full_name(), [](int) { return "default of the schema"; }, message);
    if (!status.ok()) return absl::InternalError(status.message());
  }
  return absl::OkStatus();
}

std::string BoundText(const Field& field, double bound) {
  const bool is_list_size = field.is_repeated();
  if (IsDuration(field) && !is_list_size) return FormatDurationExact(absl::Seconds(bound));
  if (IsBytesUnit(field) && bound >= 0) return FormatByteSizeExact(static_cast<uint64_t>(bound));
  return absl::StrFormat("%.15g", bound);
}

std::string CheckValue(const Message& message, const Field& field, int index) {
  const config::v1::FieldSpec& spec = Spec(field);
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  double number = 0;
  std::string what;
  if (field.is_repeated() && index < 0) {
    number = reflection.FieldSize(message, &field);
    what = absl::StrCat("has ", static_cast<int64_t>(number), " elements, which");
  } else if (field.cpp_type() == Field::CPPTYPE_STRING) {
    const std::string text = TextOf(message, field, index);
    const auto& choices = spec.one_of();
    const bool unset = text.empty() && spec.default_().empty() && index < 0;
    if (!choices.empty() && !unset && std::find(choices.begin(), choices.end(), text) == choices.end()) {
      return absl::StrCat(Quoted(field, text), " is not one of ", absl::StrJoin(choices, ", "));
    }
    if (field.is_repeated()) return "";  // min and max bound the number of elements
    number = static_cast<double>(text.size());
    what = absl::StrCat("has ", text.size(), " characters, which");
  } else if (field.cpp_type() == Field::CPPTYPE_BOOL || field.cpp_type() == Field::CPPTYPE_ENUM ||
             (field.cpp_type() == Field::CPPTYPE_MESSAGE && !IsDuration(field)) || field.is_repeated()) {
    return "";
  } else {
    number = NumberOf(message, field, index);
    what = ValueText(message, field, index);
  }
  if (spec.has_min() && number < spec.min()) {
    return absl::StrCat(what, " is less than the minimum ", BoundText(field, spec.min()));
  }
  if (spec.has_max() && number > spec.max()) {
    return absl::StrCat(what, " is more than the maximum ", BoundText(field, spec.max()));
  }
  return "";
}

void CheckMessage(const Message& message, absl::string_view path, std::vector<FieldViolation>& violations, int depth) {
  if (depth >= kMaxSchemaDepth) return;
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const Schema& schema = *message.GetDescriptor();
  for (int i = 0; i < schema.field_count(); ++i) {
    const Field& field = *schema.field(i);
    const std::string field_path = JoinPath(path, field.name());
    if (IsSection(field)) {
      CheckMessage(reflection.GetMessage(message, &field), field_path, violations, depth + 1);
      continue;
    }
    if (std::string violation = CheckValue(message, field, -1); !violation.empty()) {
      violations.push_back({field_path, std::move(violation)});
    }
    if (field.is_repeated()) {
      for (int k = 0; k < reflection.FieldSize(message, &field); ++k) {
        const std::string item_path = absl::StrCat(field_path, "[", k, "]");
        if (field.cpp_type() == Field::CPPTYPE_MESSAGE) {
          if (!IsDuration(field) && !field.is_map()) {
            CheckMessage(reflection.GetRepeatedMessage(message, &field, k), item_path, violations, depth + 1);
          }
        } else if (std::string violation = CheckValue(message, field, k); !violation.empty()) {
          violations.push_back({item_path, std::move(violation)});
        }
      }
    }
    if (!Spec(field).required()) continue;
    bool missing = false;
    if (field.is_repeated()) {
      missing = reflection.FieldSize(message, &field) == 0;
    } else if (field.cpp_type() == Field::CPPTYPE_STRING) {
      missing = TextOf(message, field, -1).empty();
    } else if (field.cpp_type() != Field::CPPTYPE_BOOL && field.cpp_type() != Field::CPPTYPE_ENUM) {
      missing = NumberOf(message, field, -1) == 0;
    }
    if (missing) violations.push_back({field_path, "must be set"});
  }
}

std::string ValueText(const Message& message, const Field& field, int index) {
  const google::protobuf::Reflection& r = *message.GetReflection();
  const bool list = index >= 0;
  if (IsDuration(field)) {
    return FormatDurationExact(
        GetDuration(list ? r.GetRepeatedMessage(message, &field, index) : r.GetMessage(message, &field)));
  }
  switch (field.cpp_type()) {
    case Field::CPPTYPE_BOOL:
      return (list ? r.GetRepeatedBool(message, &field, index) : r.GetBool(message, &field)) ? "true" : "false";
    case Field::CPPTYPE_STRING: return TextOf(message, field, index);
    case Field::CPPTYPE_ENUM:
      return (list ? r.GetRepeatedEnum(message, &field, index) : r.GetEnum(message, &field))->name();
    case Field::CPPTYPE_INT64:
    case Field::CPPTYPE_UINT64: {
      const uint64_t bits =
          field.cpp_type() == Field::CPPTYPE_INT64
              ? static_cast<uint64_t>(list ? r.GetRepeatedInt64(message, &field, index) : r.GetInt64(message, &field))
              : (list ? r.GetRepeatedUInt64(message, &field, index) : r.GetUInt64(message, &field));
      if (field.cpp_type() == Field::CPPTYPE_INT64 && static_cast<int64_t>(bits) < 0) {
        return absl::StrCat(static_cast<int64_t>(bits));
      }
      return IsBytesUnit(field) ? FormatByteSizeExact(bits) : absl::StrCat(bits);
    }
    default: {
      const double number = NumberOf(message, field, index);
      if (IsBytesUnit(field) && number >= 0) return FormatByteSizeExact(static_cast<uint64_t>(number));
      // The shortest text that reads back to the same number.
      char buffer[32];
      const auto end = field.cpp_type() == Field::CPPTYPE_FLOAT
                           ? std::to_chars(buffer, buffer + sizeof(buffer), static_cast<float>(number))
                           : std::to_chars(buffer, buffer + sizeof(buffer), number);
      return std::string(buffer, end.ptr);
    }
  }
}

}  // namespace alcove::config_internal
