#include "services/gateway/rest/json_writer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/reflection.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "libs/common/text.h"
#include "services/gateway/rest/scalar_text.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::ListValue;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Struct;
using google::protobuf::Value;

constexpr int64_t kMaxExactInteger = (int64_t{1} << 53) - 1;

template <typename T>
void AppendFloating(T value, std::string& out) {
  if (!std::isfinite(value)) {
    out += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    return;
  }
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  out.append(buffer, result.ptr);
}

template <typename T>
void AppendWhole(T value, bool exact, std::string& out) {
  if (!exact) out.push_back('"');
  absl::StrAppend(&out, value);
  if (!exact) out.push_back('"');
}

void AppendUnsigned(uint64_t value, std::string& out) {
  AppendWhole(value, value <= static_cast<uint64_t>(kMaxExactInteger), out);
}

void AppendBase64(const std::string& bytes, std::string& out) {
  out.push_back('"');
  out += absl::Base64Escape(bytes);
  out.push_back('"');
}

void AppendValue(const Value& value, std::string& out);

void AppendStruct(const Struct& value, std::string& out) {
  std::vector<std::pair<const std::string*, const Value*>> sorted;
  sorted.reserve(value.fields().size());
  for (const auto& [key, item] : value.fields()) sorted.emplace_back(&key, &item);
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return *a.first < *b.first; });
  out.push_back('{');
  bool first = true;
  for (const auto& [key, item] : sorted) {
    if (!first) out.push_back(',');
    first = false;
    AppendJsonText(*key, out);
    out.push_back(':');
    AppendValue(*item, out);
  }
  out.push_back('}');
}

void AppendListValue(const ListValue& value, std::string& out) {
  out.push_back('[');
  for (int i = 0; i < value.values_size(); ++i) {
    if (i > 0) out.push_back(',');
    AppendValue(value.values(i), out);
  }
  out.push_back(']');
}

void AppendValue(const Value& value, std::string& out) {
  switch (value.kind_case()) {
    case Value::kNumberValue: AppendJsonNumber(value.number_value(), out); break;
    case Value::kStringValue: AppendJsonText(value.string_value(), out); break;
    case Value::kBoolValue: out += value.bool_value() ? "true" : "false"; break;
    case Value::kStructValue: AppendStruct(value.struct_value(), out); break;
    case Value::kListValue: AppendListValue(value.list_value(), out); break;
    case Value::kNullValue:
    case Value::KIND_NOT_SET: out += "null"; break;
  }
}

void AppendAny(const Message& message, std::string& out, bool top);

void AppendEnum(const FieldDescriptor& field, int number, std::string& out) {
  const auto* value = field.enum_type()->FindValueByNumber(number);
  if (value == nullptr) {
    absl::StrAppend(&out, number);
  } else {
    AppendJsonText(value->name(), out);
  }
}

// One element: of a repeated field when `index` ≥ 0, else the field itself.
void AppendElement(const Message& message, const FieldDescriptor& field, int index, std::string& out) {
  const Reflection& r = *message.GetReflection();
  const bool list = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      absl::StrAppend(&out, list ? r.GetRepeatedInt32(message, &field, index) : r.GetInt32(message, &field));
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      absl::StrAppend(&out, list ? r.GetRepeatedUInt32(message, &field, index) : r.GetUInt32(message, &field));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      AppendJsonInteger(list ? r.GetRepeatedInt64(message, &field, index) : r.GetInt64(message, &field), out);
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      AppendUnsigned(list ? r.GetRepeatedUInt64(message, &field, index) : r.GetUInt64(message, &field), out);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      AppendJsonNumber(list ? r.GetRepeatedFloat(message, &field, index) : r.GetFloat(message, &field), out);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      AppendJsonNumber(list ? r.GetRepeatedDouble(message, &field, index) : r.GetDouble(message, &field), out);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      out += (list ? r.GetRepeatedBool(message, &field, index) : r.GetBool(message, &field)) ? "true" : "false";
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      AppendEnum(field, list ? r.GetRepeatedEnumValue(message, &field, index) : r.GetEnumValue(message, &field), out);
      break;
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      const std::string& text = list ? r.GetRepeatedStringReference(message, &field, index, &scratch)
                                     : r.GetStringReference(message, &field, &scratch);
      if (field.type() == FieldDescriptor::TYPE_BYTES) {
        AppendBase64(text, out);
      } else {
        AppendJsonText(text, out);
      }
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      AppendAny(list ? r.GetRepeatedMessage(message, &field, index) : r.GetMessage(message, &field), out, false);
      break;
  }
}

void AppendList(const Message& message, const FieldDescriptor& field, std::string& out) {
  const Reflection& reflection = *message.GetReflection();
  out.push_back('[');
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
    bool first = true;
    for (const float value : reflection.GetRepeatedFieldRef<float>(message, &field)) {
      if (!first) out.push_back(',');
      first = false;
      AppendJsonNumber(value, out);
    }
  } else {
    const int size = reflection.FieldSize(message, &field);
    for (int i = 0; i < size; ++i) {
      if (i > 0) out.push_back(',');
      AppendElement(message, field, i, out);
    }
  }
  out.push_back(']');
}

void AppendMap(const Message& message, const FieldDescriptor& field, std::string& out) {
  const Reflection& reflection = *message.GetReflection();
  const FieldDescriptor& key_field = *field.message_type()->map_key();
  const FieldDescriptor& value_field = *field.message_type()->map_value();
  const int size = reflection.FieldSize(message, &field);
  std::vector<std::pair<std::string, const Message*>> entries;
  entries.reserve(static_cast<size_t>(size));
  for (int i = 0; i < size; ++i) {
    const Message& pair = reflection.GetRepeatedMessage(message, &field, i);
    std::string key;
    AppendElement(pair, key_field, -1, key);
    if (key.empty() || key[0] != '"') key = absl::StrCat("\"", key, "\"");
    entries.emplace_back(std::move(key), &pair);
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  out.push_back('{');
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out.push_back(',');
    out += entries[i].first;
    out.push_back(':');
    AppendElement(*entries[i].second, value_field, -1, out);
  }
  out.push_back('}');
}

bool Shown(const Message& message, const FieldDescriptor& field, bool top) {
  const Reflection& reflection = *message.GetReflection();
  if (field.is_repeated()) return top || reflection.FieldSize(message, &field) > 0;
  if (field.has_presence()) return reflection.HasField(message, &field);
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
    case FieldDescriptor::CPPTYPE_ENUM: return reflection.HasField(message, &field);
    default: return true;
  }
}

void AppendAny(const Message& message, std::string& out, bool top) {
  const Descriptor& type = *message.GetDescriptor();
  switch (type.well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_STRUCT: return AppendStruct(static_cast<const Struct&>(message), out);
    case Descriptor::WELLKNOWNTYPE_VALUE: return AppendValue(static_cast<const Value&>(message), out);
    case Descriptor::WELLKNOWNTYPE_LISTVALUE: return AppendListValue(static_cast<const ListValue&>(message), out);
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return AppendJsonText(FormatTimestamp(static_cast<const google::protobuf::Timestamp&>(message)), out);
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return AppendJsonText(FormatDuration(static_cast<const google::protobuf::Duration&>(message)), out);
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
    case Descriptor::WELLKNOWNTYPE_ANY:
    case Descriptor::WELLKNOWNTYPE_FIELDMASK: break;
    default: return AppendElement(message, *type.FindFieldByName("value"), -1, out);
  }
  out.push_back('{');
  bool first = true;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (!Shown(message, field, top)) continue;
    if (!first) out.push_back(',');
    first = false;
    out.push_back('"');
    out += field.name();
    out += "\":";
    if (field.is_map()) {
      AppendMap(message, field, out);
    } else if (field.is_repeated()) {
      AppendList(message, field, out);
    } else {
      AppendElement(message, field, -1, out);
    }
  }
  out.push_back('}');
}

}  // namespace

void AppendMessageJson(const Message& message, std::string& out) { AppendAny(message, out, true); }

std::string MessageToJson(const Message& message) {
  std::string out;
  AppendMessageJson(message, out);
  return out;
}

void AppendJsonNumber(double value, std::string& out) { AppendFloating(value, out); }
void AppendJsonNumber(float value, std::string& out) { AppendFloating(value, out); }
void AppendJsonInteger(int64_t value, std::string& out) {
  AppendWhole(value, value <= kMaxExactInteger && value >= -kMaxExactInteger, out);
}
void AppendJsonText(std::string_view text, std::string& out) { AppendJsonString(out, ToAbsl(text)); }

void JsonBuilder::Separate() {
  if (!first_) out_.push_back(',');
  first_ = false;
}

JsonBuilder& JsonBuilder::Open(char c) {
  Separate();
  out_.push_back(c);
  first_ = true;
  return *this;
}

JsonBuilder& JsonBuilder::Close(char c) {
  out_.push_back(c);
  first_ = false;
  return *this;
}

JsonBuilder& JsonBuilder::Key(std::string_view name) {
  Separate();
  AppendJsonText(name, out_);
  out_.push_back(':');
  first_ = true;
  return *this;
}

JsonBuilder& JsonBuilder::Text(std::string_view value) {
  Separate();
  AppendJsonText(value, out_);
  return *this;
}

JsonBuilder& JsonBuilder::Integer(int64_t value) {
  Separate();
  AppendJsonInteger(value, out_);
  return *this;
}

JsonBuilder& JsonBuilder::Number(double value) {
  Separate();
  AppendJsonNumber(value, out_);
  return *this;
}

JsonBuilder& JsonBuilder::Bool(bool value) {
  Separate();
  out_ += value ? "true" : "false";
  return *this;
}

JsonBuilder& JsonBuilder::Null() {
  Separate();
  out_ += "null";
  return *this;
}

JsonBuilder& JsonBuilder::Raw(std::string_view json) {
  Separate();
  out_ += json;
  return *this;
}

}  // namespace alcove::gateway
