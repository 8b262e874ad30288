#include "services/gateway/rest/json_reader.h"

#include <bitset>
#include <cmath>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/reflection.h>
#include <google/protobuf/struct.pb.h>
#include <simdjson.h>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/charconv.h"
#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/gateway/rest/scalar_text.h"
#include "services/gateway/rest/short_decimal.h"
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
namespace od = simdjson::ondemand;

// Buffers above this are not kept for the thread's next request.
constexpr size_t kKeptParserBytes = 1 << 20;
constexpr size_t kMaxFieldsPerMessage = 256;

// Names of a message's fields in every accepted spelling.
struct FieldIndex {
  absl::flat_hash_map<std::string, const FieldDescriptor*> by_name;
  std::vector<std::string> names;

  explicit FieldIndex(const Descriptor& type) {
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* field = type.field(i);
      by_name.try_emplace(field->json_name(), field);
      by_name.insert_or_assign(field->name(), field);
      names.push_back(field->name());
    }
  }
};

const FieldIndex& IndexOf(const Descriptor& type) {
  thread_local absl::flat_hash_map<const Descriptor*, std::unique_ptr<FieldIndex>> indexes;
  std::unique_ptr<FieldIndex>& index = indexes[&type];
  if (index == nullptr) index = std::make_unique<FieldIndex>(type);
  return *index;
}

std::string_view TypeName(od::json_type type) {
  switch (type) {
    case od::json_type::array: return "a list";
    case od::json_type::object: return "an object";
    case od::json_type::number: return "a number";
    case od::json_type::string: return "a string";
    case od::json_type::boolean: return "true or false";
    case od::json_type::null: return "null";
  }
  return "something else";
}

// simdjson 3.0 misreads numbers of more than 19 digits that begin with zeros (0.5000000000000000000000001 as 1e-6), so
// what it has found to be a long number is read again.
simdjson::error_code GetDouble(od::value& value, double& out) {
  constexpr size_t kLong = 19;
  const std::string_view token = value.raw_json_token();
  if (const auto error = value.get_double().get(out)) return error;
  if (token.size() <= kLong) return simdjson::SUCCESS;
  const auto [end, error] = absl::from_chars(token.data(), token.data() + token.size(), out);
  // Too small for a double is zero or near it, as for shorter numbers.
  const bool too_large = error == std::errc::result_out_of_range && std::abs(out) > 1;
  return too_large ? simdjson::NUMBER_ERROR : simdjson::SUCCESS;
}

class Reader {
 public:
  explicit Reader(int max_depth) : max_depth_(max_depth) {}

  absl::Status ReadDocument(od::parser& parser, std::string& json, Message& message) {
    // The index pass already finds bytes that are no JSON text at all: bad UTF-8, an open string, nothing.
    if (auto error = parser.iterate(json).get(document_)) {
      return absl::InvalidArgumentError(absl::StrCat("malformed JSON: ", Plain(error)));
    }
    begin_ = json.data();
    od::json_type type;
    if (auto error = document_.type().get(type)) return Malformed(error);
    if (type != od::json_type::object) {
      return absl::InvalidArgumentError(absl::StrCat("the body must be a JSON object, not ", ToAbsl(TypeName(type))));
    }
    od::object object;
    if (auto error = document_.get_object().get(object)) return Malformed(error);
    if (message.GetDescriptor()->well_known_type() == Descriptor::WELLKNOWNTYPE_STRUCT) {
      ALCOVE_RETURN_IF_ERROR(ReadStruct(object, static_cast<Struct&>(message)));
    } else {
      ALCOVE_RETURN_IF_ERROR(ReadFields(object, message));
    }
    const char* after = nullptr;
    if (!document_.current_location().get(after) && after < json.data() + json.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("malformed JSON: something follows the object at byte ", after - begin_));
    }
    return absl::OkStatus();
  }

 private:
  struct PathItem {
    std::string_view name;  // empty: an index
    size_t index = 0;
  };
  // Keeps path_ and the depth true for the lifetime of one step down.
  class Step {
   public:
    Step(Reader& reader, PathItem item) : reader_(reader) { reader_.path_.push_back(item); }
    ~Step() { reader_.path_.pop_back(); }

   private:
    Reader& reader_;
  };

  std::string Path() const {
    std::string path;
    for (const PathItem& item : path_) {
      if (item.name.data() == nullptr) {
        absl::StrAppend(&path, "[", item.index, "]");
      } else {
        absl::StrAppend(&path, path.empty() ? "" : ".", ToAbsl(item.name));
      }
    }
    return path;
  }
  static PathItem Name(std::string_view name) { return {name.data() != nullptr ? name : std::string_view(""), 0}; }
  static PathItem Index(size_t index) { return {std::string_view(), index}; }

  static std::string Plain(simdjson::error_code error) { return simdjson::error_message(error); }

  absl::Status Malformed(simdjson::error_code error) {
    if (error == simdjson::INCORRECT_TYPE) return Wrong("a value of another type");
    const char* at = nullptr;
    std::string where;
    if (!document_.current_location().get(at) && at >= begin_) where = absl::StrCat(" near byte ", at - begin_);
    return absl::InvalidArgumentError(absl::StrCat("malformed JSON", where, ": ", Plain(error)));
  }
  absl::Status Violation(std::string_view what) { return InvalidField(Path(), ToAbsl(what)); }
  absl::Status Wrong(std::string_view expected) { return Violation("expected " + std::string(expected)); }
  absl::Status WrongType(const FieldDescriptor& field, od::json_type got) {
    return Violation(absl::StrCat("expected ", ExpectedText(field), ", not ", ToAbsl(TypeName(got))));
  }

  absl::Status Enter() {
    return depth_ >= max_depth_ ? Violation(absl::StrCat("nested more than ", max_depth_, " deep")) : absl::OkStatus();
  }

  absl::Status ReadFields(od::object& object, Message& message) {
    ALCOVE_RETURN_IF_ERROR(Enter());
    ++depth_;
    const Descriptor& type = *message.GetDescriptor();
    const FieldIndex& index = IndexOf(type);
    std::bitset<kMaxFieldsPerMessage> seen;
    for (auto entry : object) {
      std::string_view key;
      if (auto error = entry.unescaped_key().get(key)) return Malformed(error);
      od::value value;
      if (auto error = entry.value().get(value)) return Malformed(error);
      const Step step(*this, Name(key));
      const auto it = index.by_name.find(ToAbsl(key));
      if (it == index.by_name.end()) {
        const absl::string_view nearest = ClosestMatch(ToAbsl(key), index.names);
        return Violation(nearest.empty() ? std::string("unknown field")
                                         : absl::StrCat("unknown field; did you mean \"", nearest, "\"?"));
      }
      const FieldDescriptor& field = *it->second;
      const size_t ordinal = static_cast<size_t>(field.index()) % kMaxFieldsPerMessage;
      if (seen[ordinal]) return Violation("given twice");
      seen[ordinal] = true;
      ALCOVE_RETURN_IF_ERROR(ReadField(value, message, field));
    }
    --depth_;
    return absl::OkStatus();
  }

  absl::Status ReadField(od::value& value, Message& message, const FieldDescriptor& field) {
    od::json_type type;
    if (auto error = value.type().get(type)) return Malformed(error);
    if (type == od::json_type::null && !TakesNull(field)) return ConsumeNull(value);
    if (const auto* oneof = field.real_containing_oneof()) {
      if (message.GetReflection()->HasOneof(message, oneof)) {
        return Violation(absl::StrCat("only one of the fields of ", oneof->name(), " may be given"));
      }
    }
    if (field.is_map()) return ReadMap(value, type, message, field);
    if (!field.is_repeated()) return ReadSingle(value, type, message, field);
    if (type != od::json_type::array) return Violation("expected a list, not " + std::string(TypeName(type)));
    return ReadList(value, message, field);
  }

  static bool TakesNull(const FieldDescriptor& field) {
    return !field.is_repeated() && field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
           field.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_VALUE;
  }

  absl::Status ConsumeNull(od::value& value) {
    bool null = false;
    if (auto error = value.is_null().get(null)) return Malformed(error);
    return null ? absl::OkStatus() : Wrong("null");
  }

  absl::Status ReadList(od::value& value, Message& message, const FieldDescriptor& field) {
    ALCOVE_RETURN_IF_ERROR(Enter());
    ++depth_;
    od::array array;
    if (auto error = value.get_array().get(array)) return Malformed(error);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
      ALCOVE_RETURN_IF_ERROR(ReadFloats(array, message, field));
    } else {
      size_t at = 0;
      for (auto element : array) {
        od::value item;
        if (auto error = element.get(item)) return Malformed(error);
        const Step step(*this, Index(at++));
        od::json_type type;
        if (auto error = item.type().get(type)) return Malformed(error);
        const bool takes_null = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
                                field.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_VALUE;
        if (type == od::json_type::null && !takes_null) return WrongType(field, type);
        ALCOVE_RETURN_IF_ERROR(ReadSingle(item, type, message, field));
      }
    }
    --depth_;
    return absl::OkStatus();
  }

  // Vectors are most of what large bodies hold: no path bookkeeping per component.
  absl::Status ReadFloats(od::array& array, Message& message, const FieldDescriptor& field) {
    auto floats = message.GetReflection()->GetMutableRepeatedFieldRef<float>(&message, &field);
    for (auto element : array) {
      od::value item;
      if (auto error = element.get(item)) return Malformed(error);
      if (const std::optional<float> plain = ReadShortDecimal(item.raw_json_token())) {
        floats.Add(*plain);
        continue;
      }
      double number = 0;
      const simdjson::error_code error = GetDouble(item, number);
      if (error == simdjson::SUCCESS && std::abs(number) < kLargestFloatInput) {
        floats.Add(static_cast<float>(number));
        continue;
      }
      const Step step(*this, Index(static_cast<size_t>(floats.size())));
      if (error == simdjson::SUCCESS) return Wrong(ExpectedText(field));
      if (error != simdjson::INCORRECT_TYPE) return Malformed(error);
      od::json_type type;
      if (auto type_error = item.type().get(type)) return Malformed(type_error);
      if (type == od::json_type::null) return WrongType(field, type);
      ALCOVE_RETURN_IF_ERROR(ReadSingle(item, type, message, field));
    }
    return absl::OkStatus();
  }

  // One value into a singular field, or appended to a repeated one.
  absl::Status ReadSingle(od::value& value, od::json_type type, Message& message, const FieldDescriptor& field) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) return ReadMessageField(value, type, message, field);
    switch (type) {
      case od::json_type::string: {
        if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) return WrongType(field, type);
        std::string_view text;
        if (auto error = value.get_string().get(text)) return Malformed(error);
        if (absl::Status status = SetFieldFromText(message, field, text); !status.ok()) {
          return Violation(FromAbsl(status.message()));
        }
        return absl::OkStatus();
      }
      case od::json_type::boolean: {
        if (field.cpp_type() != FieldDescriptor::CPPTYPE_BOOL) return WrongType(field, type);
        bool flag = false;
        if (auto error = value.get_bool().get(flag)) return Malformed(error);
        const Reflection& reflection = *message.GetReflection();
        field.is_repeated() ? reflection.AddBool(&message, &field, flag) : reflection.SetBool(&message, &field, flag);
        return absl::OkStatus();
      }
      case od::json_type::number: return ReadNumber(value, message, field);
      default: return WrongType(field, type);
    }
  }

  absl::Status ReadNumber(od::value& value, Message& message, const FieldDescriptor& field) {
    const auto kind = field.cpp_type();
    if (kind == FieldDescriptor::CPPTYPE_FLOAT || kind == FieldDescriptor::CPPTYPE_DOUBLE) {
      double number = 0;
      if (auto error = GetDouble(value, number)) return Malformed(error);
      return StoreDouble(message, field, number) ? absl::OkStatus() : Wrong(ExpectedText(field));
    }
    if (kind == FieldDescriptor::CPPTYPE_STRING || kind == FieldDescriptor::CPPTYPE_BOOL) {
      return WrongType(field, od::json_type::number);
    }
    od::number number;
    if (auto error = value.get_number().get(number)) {
      double wide = 0;  // a number all the same, but beyond 64 bits?
      return value.get_double().get(wide) ? Malformed(error) : Wrong(ExpectedText(field));
    }
    if (kind == FieldDescriptor::CPPTYPE_ENUM) {
      const bool whole = number.is_int64() && number.get_int64() == static_cast<int32_t>(number.get_int64());
      const auto* known = whole ? field.enum_type()->FindValueByNumber(static_cast<int>(number.get_int64())) : nullptr;
      if (known == nullptr) return Wrong(ExpectedText(field));
      const Reflection& reflection = *message.GetReflection();
      field.is_repeated() ? reflection.AddEnum(&message, &field, known) : reflection.SetEnum(&message, &field, known);
      return absl::OkStatus();
    }
    const bool stored = number.is_int64()    ? StoreInteger(message, field, number.get_int64())
                        : number.is_uint64() ? StoreUnsigned(message, field, number.get_uint64())
                                             : StoreDouble(message, field, number.get_double());
    return stored ? absl::OkStatus() : Wrong(ExpectedText(field));
  }

  absl::Status ReadMessageField(od::value& value, od::json_type type, Message& message, const FieldDescriptor& field) {
    const Reflection& reflection = *message.GetReflection();
    const auto make = [&]() -> Message& {
      return field.is_repeated() ? *reflection.AddMessage(&message, &field)
                                 : *reflection.MutableMessage(&message, &field);
    };
    switch (field.message_type()->well_known_type()) {
      case Descriptor::WELLKNOWNTYPE_VALUE: return ReadValue(value, type, static_cast<Value&>(make()));
      case Descriptor::WELLKNOWNTYPE_STRUCT: {
        if (type != od::json_type::object) return WrongType(field, type);
        od::object object;
        if (auto error = value.get_object().get(object)) return Malformed(error);
        return ReadStruct(object, static_cast<Struct&>(make()));
      }
      case Descriptor::WELLKNOWNTYPE_LISTVALUE: {
        if (type != od::json_type::array) return Violation("expected a list, not " + std::string(TypeName(type)));
        od::array array;
        if (auto error = value.get_array().get(array)) return Malformed(error);
        return ReadListValue(array, static_cast<ListValue&>(make()));
      }
      case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      case Descriptor::WELLKNOWNTYPE_DURATION: {
        if (type != od::json_type::string) return WrongType(field, type);
        std::string_view text;
        if (auto error = value.get_string().get(text)) return Malformed(error);
        const absl::Status status = SetFieldFromText(message, field, text);
        return status.ok() ? status : Violation(FromAbsl(status.message()));
      }
      case Descriptor::WELLKNOWNTYPE_UNSPECIFIED: {
        if (type != od::json_type::object) return WrongType(field, type);
        od::object object;
        if (auto error = value.get_object().get(object)) return Malformed(error);
        return ReadFields(object, make());
      }
      case Descriptor::WELLKNOWNTYPE_ANY:
      case Descriptor::WELLKNOWNTYPE_FIELDMASK: return Violation("this type has no JSON form here");
      default: {  // the wrappers of google/protobuf/wrappers.proto
        const FieldDescriptor* inner = field.message_type()->FindFieldByName("value");
        return ReadSingle(value, type, make(), *inner);
      }
    }
  }

  absl::Status ReadMap(od::value& value, od::json_type type, Message& message, const FieldDescriptor& field) {
    if (type != od::json_type::object) return Violation("expected an object, not " + std::string(TypeName(type)));
    ALCOVE_RETURN_IF_ERROR(Enter());
    ++depth_;
    od::object object;
    if (auto error = value.get_object().get(object)) return Malformed(error);
    const FieldDescriptor& key_field = *field.message_type()->map_key();
    const FieldDescriptor& value_field = *field.message_type()->map_value();
    absl::flat_hash_set<std::string> seen;
    for (auto entry : object) {
      std::string_view key;
      if (auto error = entry.unescaped_key().get(key)) return Malformed(error);
      od::value item;
      if (auto error = entry.value().get(item)) return Malformed(error);
      const Step step(*this, Name(key));
      if (!seen.emplace(key).second) return Violation("given twice");
      Message& pair = *message.GetReflection()->AddMessage(&message, &field);
      if (absl::Status status = SetFieldFromText(pair, key_field, key); !status.ok()) {
        return Violation(FromAbsl(status.message()));
      }
      od::json_type item_type;
      if (auto error = item.type().get(item_type)) return Malformed(error);
      if (item_type == od::json_type::null && !TakesNull(value_field)) return WrongType(value_field, item_type);
      ALCOVE_RETURN_IF_ERROR(ReadSingle(item, item_type, pair, value_field));
    }
    --depth_;
    return absl::OkStatus();
  }

  absl::Status ReadStruct(od::object& object, Struct& out) {
    ALCOVE_RETURN_IF_ERROR(Enter());
    ++depth_;
    auto& fields = *out.mutable_fields();
    const size_t before = fields.size();
    size_t count = 0;
    for (auto entry : object) {
      std::string_view key;
      if (auto error = entry.unescaped_key().get(key)) return Malformed(error);
      od::value item;
      if (auto error = entry.value().get(item)) return Malformed(error);
      const Step step(*this, Name(key));
      Value& slot = fields[std::string(key)];
      if (fields.size() != before + ++count) return Violation("given twice");
      od::json_type type;
      if (auto error = item.type().get(type)) return Malformed(error);
      ALCOVE_RETURN_IF_ERROR(ReadValue(item, type, slot));
    }
    --depth_;
    return absl::OkStatus();
  }

  absl::Status ReadListValue(od::array& array, ListValue& out) {
    ALCOVE_RETURN_IF_ERROR(Enter());
    ++depth_;
    size_t at = 0;
    for (auto element : array) {
      od::value item;
      if (auto error = element.get(item)) return Malformed(error);
      const Step step(*this, Index(at++));
      od::json_type type;
      if (auto error = item.type().get(type)) return Malformed(error);
      ALCOVE_RETURN_IF_ERROR(ReadValue(item, type, *out.add_values()));
    }
    --depth_;
    return absl::OkStatus();
  }

  absl::Status ReadValue(od::value& value, od::json_type type, Value& out) {
    switch (type) {
      case od::json_type::null: out.set_null_value(google::protobuf::NULL_VALUE); return ConsumeNull(value);
      case od::json_type::boolean: {
        bool flag = false;
        if (auto error = value.get_bool().get(flag)) return Malformed(error);
        out.set_bool_value(flag);
        return absl::OkStatus();
      }
      case od::json_type::number: {
        double number = 0;
        if (auto error = GetDouble(value, number)) return Malformed(error);
        out.set_number_value(number);
        return absl::OkStatus();
      }
      case od::json_type::string: {
        std::string_view text;
        if (auto error = value.get_string().get(text)) return Malformed(error);
        out.set_string_value(std::string(text));
        return absl::OkStatus();
      }
      case od::json_type::object: {
        od::object object;
        if (auto error = value.get_object().get(object)) return Malformed(error);
        return ReadStruct(object, *out.mutable_struct_value());
      }
      case od::json_type::array: {
        od::array array;
        if (auto error = value.get_array().get(array)) return Malformed(error);
        return ReadListValue(array, *out.mutable_list_value());
      }
    }
    return Wrong("a JSON value");
  }

  const int max_depth_;
  od::document document_;
  const char* begin_ = nullptr;
  absl::InlinedVector<PathItem, 16> path_;
  int depth_ = 0;
};

}  // namespace

absl::Status JsonToMessage(std::string& json, Message& message, const JsonReadLimits& limits) {
  if (json.empty()) return absl::InvalidArgumentError("the body is empty; expected a JSON object");
  json.reserve(json.size() + simdjson::SIMDJSON_PADDING);
  if (json.size() > kKeptParserBytes) {
    od::parser parser(json.size());
    return Reader(limits.max_depth).ReadDocument(parser, json, message);
  }
  thread_local od::parser parser(kKeptParserBytes);
  return Reader(limits.max_depth).ReadDocument(parser, json, message);
}

}  // namespace alcove::gateway
