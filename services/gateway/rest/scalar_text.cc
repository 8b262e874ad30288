#include "services/gateway/rest/scalar_text.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "libs/common/text.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int64_t kMaxDurationSeconds = 315'576'000'000;
constexpr int64_t kMinTimestampSeconds = -62'135'596'800;  // 0001-01-01
constexpr int64_t kMaxTimestampSeconds = 253'402'300'799;  // 9999-12-31T23:59:59

template <typename T>
std::optional<T> ParseWhole(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// The grammar of RFC 8259 numbers: from_chars alone also takes "inf", "1." and hexadecimal-like tails.
bool IsJsonNumber(std::string_view text) {
  size_t at = 0;
  const auto digits = [&] {
    const size_t begin = at;
    while (at < text.size() && absl::ascii_isdigit(text[at])) ++at;
    return at - begin;
  };
  if (at < text.size() && text[at] == '-') ++at;
  const size_t integer_begin = at;
  const size_t integer_digits = digits();
  if (integer_digits == 0 || (integer_digits > 1 && text[integer_begin] == '0')) return false;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

std::string Nanos(int32_t nanos) {
  if (nanos == 0) return "";
  if (nanos % 1'000'000 == 0) return absl::StrFormat(".%03d", nanos / 1'000'000);
  if (nanos % 1'000 == 0) return absl::StrFormat(".%06d", nanos / 1'000);
  return absl::StrFormat(".%09d", nanos);
}

// "CACHE_MODE_" of CacheMode: what every value of an enum that follows the style begins with.
std::string EnumPrefix(const EnumDescriptor& type) {
  std::string prefix;
  const std::string& name = type.name();
  for (size_t i = 0; i < name.size(); ++i) {
    if (i > 0 && absl::ascii_isupper(name[i]) && !absl::ascii_isupper(name[i - 1])) prefix.push_back('_');
    prefix.push_back(absl::ascii_toupper(name[i]));
  }
  return prefix + "_";
}

absl::Status Expected(const FieldDescriptor& field) {
  return absl::InvalidArgumentError(absl::StrCat("expected ", ExpectedText(field)));
}

}  // namespace

std::optional<int64_t> ParseInt64(std::string_view text) { return ParseWhole<int64_t>(text); }
std::optional<uint64_t> ParseUint64(std::string_view text) { return ParseWhole<uint64_t>(text); }

std::optional<double> ParseDouble(std::string_view text) {
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (!IsJsonNumber(text)) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range && std::abs(value) < 1) return 0.0;  // underflow
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string> ParseBase64(std::string_view text) {
  // Abseil skips white space inside; proto3 JSON has none.
  for (const char c : text) {
    if (absl::ascii_isspace(c)) return std::nullopt;
  }
  std::string out;
  const bool url_safe = text.find_first_of("-_") != std::string_view::npos;
  const bool ok = url_safe ? absl::WebSafeBase64Unescape(ToAbsl(text), &out) : absl::Base64Unescape(ToAbsl(text), &out);
  if (!ok) return std::nullopt;
  return out;
}

std::optional<google::protobuf::Timestamp> ParseTimestamp(std::string_view text) {
  // Only the fixed layout: absl alone would also take "infinite-future", five-digit years and spaces.
  static constexpr std::string_view kLayout = "0000-00-00T00:00:00";
  if (text.size() <= kLayout.size()) return std::nullopt;
  for (size_t i = 0; i < kLayout.size(); ++i) {
    if (kLayout[i] == '0' ? !absl::ascii_isdigit(text[i]) : text[i] != kLayout[i]) return std::nullopt;
  }
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, ToAbsl(text), &time, &error)) return std::nullopt;
  const int64_t seconds = absl::ToUnixSeconds(time);
  if (seconds < kMinTimestampSeconds || seconds > kMaxTimestampSeconds) return std::nullopt;
  google::protobuf::Timestamp value;
  value.set_seconds(seconds);
  value.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return value;
}

std::optional<google::protobuf::Duration> ParseDuration(std::string_view text) {
  if (text.size() < 2 || text.back() != 's') return std::nullopt;
  text.remove_suffix(1);
  const bool negative = text.front() == '-';
  if (negative) text.remove_prefix(1);
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  if (whole.empty() || !absl::ascii_isdigit(whole[0])) return std::nullopt;
  const std::optional<int64_t> seconds = ParseInt64(whole);
  if (!seconds || *seconds > kMaxDurationSeconds) return std::nullopt;
  int32_t nanos = 0;
  if (dot != std::string_view::npos) {
    const std::string_view fraction = text.substr(dot + 1);
    if (fraction.empty() || fraction.size() > 9) return std::nullopt;
    for (size_t i = 0; i < 9; ++i) {
      const char c = i < fraction.size() ? fraction[i] : '0';
      if (!absl::ascii_isdigit(c)) return std::nullopt;
      nanos = nanos * 10 + (c - '0');
    }
  }
  google::protobuf::Duration value;
  value.set_seconds(negative ? -*seconds : *seconds);
  value.set_nanos(negative ? -nanos : nanos);
  return value;
}

const EnumValueDescriptor* ParseEnum(const EnumDescriptor& type, std::string_view text) {
  if (const EnumValueDescriptor* exact = type.FindValueByName(std::string(text))) return exact;
  if (const std::optional<int64_t> number = ParseInt64(text)) {
    return *number == static_cast<int32_t>(*number) ? type.FindValueByNumber(static_cast<int>(*number)) : nullptr;
  }
  const std::string upper = absl::AsciiStrToUpper(ToAbsl(text));
  if (const EnumValueDescriptor* value = type.FindValueByName(upper)) return value;
  return type.FindValueByName(EnumPrefix(type) + upper);
}

std::string FormatTimestamp(const google::protobuf::Timestamp& value) {
  const absl::Time time = absl::FromUnixSeconds(value.seconds());
  return absl::StrCat(absl::FormatTime("%E4Y-%m-%dT%H:%M:%S", time, absl::UTCTimeZone()), Nanos(value.nanos()), "Z");
}

std::string FormatDuration(const google::protobuf::Duration& value) {
  const bool negative = value.seconds() < 0 || value.nanos() < 0;
  return absl::StrCat(negative ? "-" : "", std::abs(value.seconds()), Nanos(std::abs(value.nanos())), "s");
}

bool StoreInteger(Message& message, const FieldDescriptor& field, int64_t value) {
  if (value >= 0) return StoreUnsigned(message, field, static_cast<uint64_t>(value));
  const Reflection& reflection = *message.GetReflection();
  const bool add = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      if (value < std::numeric_limits<int32_t>::min()) return false;
      const auto narrow = static_cast<int32_t>(value);
      add ? reflection.AddInt32(&message, &field, narrow) : reflection.SetInt32(&message, &field, narrow);
      return true;
    }
    case FieldDescriptor::CPPTYPE_INT64:
      add ? reflection.AddInt64(&message, &field, value) : reflection.SetInt64(&message, &field, value);
      return true;
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE: return StoreDouble(message, field, static_cast<double>(value));
    default: return false;
  }
}

bool StoreUnsigned(Message& message, const FieldDescriptor& field, uint64_t value) {
  const Reflection& reflection = *message.GetReflection();
  const bool add = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      if (value > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) return false;
      const auto narrow = static_cast<int32_t>(value);
      add ? reflection.AddInt32(&message, &field, narrow) : reflection.SetInt32(&message, &field, narrow);
      return true;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return false;
      const auto narrow = static_cast<int64_t>(value);
      add ? reflection.AddInt64(&message, &field, narrow) : reflection.SetInt64(&message, &field, narrow);
      return true;
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      if (value > std::numeric_limits<uint32_t>::max()) return false;
      const auto narrow = static_cast<uint32_t>(value);
      add ? reflection.AddUInt32(&message, &field, narrow) : reflection.SetUInt32(&message, &field, narrow);
      return true;
    }
    case FieldDescriptor::CPPTYPE_UINT64:
      add ? reflection.AddUInt64(&message, &field, value) : reflection.SetUInt64(&message, &field, value);
      return true;
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE: return StoreDouble(message, field, static_cast<double>(value));
    default: return false;
  }
}

bool StoreDouble(Message& message, const FieldDescriptor& field, double value) {
  const Reflection& reflection = *message.GetReflection();
  const bool add = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_FLOAT: {
      if (std::isfinite(value) && std::abs(value) >= kLargestFloatInput) return false;
      const auto narrow = static_cast<float>(value);
      add ? reflection.AddFloat(&message, &field, narrow) : reflection.SetFloat(&message, &field, narrow);
      return true;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE:
      add ? reflection.AddDouble(&message, &field, value) : reflection.SetDouble(&message, &field, value);
      return true;
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      if (value != std::trunc(value)) return false;  // NaN too
      if (value < 0) {
        return value >= -0x1p63 && StoreInteger(message, field, static_cast<int64_t>(value));
      }
      return value < 0x1p64 && StoreUnsigned(message, field, static_cast<uint64_t>(value));
    default: return false;
  }
}

std::string ExpectedText(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return "a whole number from -2147483648 to 2147483647";
    case FieldDescriptor::CPPTYPE_INT64: return "a whole number of 64 bits";
    case FieldDescriptor::CPPTYPE_UINT32: return "a whole number from 0 to 4294967295";
    case FieldDescriptor::CPPTYPE_UINT64: return "a whole number from 0 to 2^64-1";
    case FieldDescriptor::CPPTYPE_FLOAT: return "a number within the range of 32-bit floats";
    case FieldDescriptor::CPPTYPE_DOUBLE: return "a number";
    case FieldDescriptor::CPPTYPE_BOOL: return "true or false";
    case FieldDescriptor::CPPTYPE_STRING: return field.type() == FieldDescriptor::TYPE_BYTES ? "base64" : "a string";
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::string text = "one of";
      const EnumDescriptor& type = *field.enum_type();
      for (int i = 0; i < type.value_count(); ++i) {
        if (type.value(i)->number() != 0) absl::StrAppend(&text, " ", type.value(i)->name());
      }
      return text;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (field.message_type()->full_name() == "google.protobuf.Timestamp") {
        return "an RFC 3339 time such as 2024-05-01T12:00:00Z";
      }
      if (field.message_type()->full_name() == "google.protobuf.Duration") return "a duration such as \"1.5s\"";
      return "an object";
  }
  return "a value";
}

absl::Status SetFieldFromText(Message& message, const FieldDescriptor& field, std::string_view text) {
  const Reflection& reflection = *message.GetReflection();
  const bool add = field.is_repeated();
  bool ok = true;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      if (const std::optional<uint64_t> whole = ParseUint64(text)) {
        ok = StoreUnsigned(message, field, *whole);
      } else if (const std::optional<int64_t> negative = ParseInt64(text)) {
        ok = StoreInteger(message, field, *negative);
      } else {
        const std::optional<double> number = ParseDouble(text);
        ok = number && StoreDouble(message, field, *number);
      }
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const std::optional<double> number = ParseDouble(text);
      ok = number && StoreDouble(message, field, *number);
      break;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      ok = text == "true" || text == "false";
      if (ok) {
        add ? reflection.AddBool(&message, &field, text == "true")
            : reflection.SetBool(&message, &field, text == "true");
      }
      break;
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string value(text);
      if (field.type() == FieldDescriptor::TYPE_BYTES) {
        std::optional<std::string> bytes = ParseBase64(text);
        if (!bytes) return Expected(field);
        value = *std::move(bytes);
      } else if (!IsValidUtf8(ToAbsl(text))) {
        return absl::InvalidArgumentError("not UTF-8");
      }
      add ? reflection.AddString(&message, &field, std::move(value))
          : reflection.SetString(&message, &field, std::move(value));
      break;
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumValueDescriptor* value = ParseEnum(*field.enum_type(), text);
      if (value == nullptr) return Expected(field);
      add ? reflection.AddEnum(&message, &field, value) : reflection.SetEnum(&message, &field, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const std::string& type = field.message_type()->full_name();
      Message* child = add ? reflection.AddMessage(&message, &field) : reflection.MutableMessage(&message, &field);
      if (type == "google.protobuf.Timestamp") {
        const auto value = ParseTimestamp(text);
        if (!value) return Expected(field);
        child->CopyFrom(*value);
      } else if (type == "google.protobuf.Duration") {
        const auto value = ParseDuration(text);
        if (!value) return Expected(field);
        child->CopyFrom(*value);
      } else {
        const FieldDescriptor* wrapped = field.message_type()->FindFieldByName("value");
        const bool wrapper = field.message_type()->file()->name() == "google/protobuf/wrappers.proto";
        if (!wrapper || wrapped == nullptr) return Expected(field);
        return SetFieldFromText(*child, *wrapped, text);
      }
      break;
    }
  }
  return ok ? absl::OkStatus() : Expected(field);
}

}  // namespace alcove::gateway
