// JSON objects of the API to payload bytes and back.
#include <algorithm>
#include <utility>
#include <vector>

#include "libs/common/status.h"
#include "services/vector-search/convert.h"

namespace alcove::vector_search {
namespace {

namespace gp = ::google::protobuf;

void WriteObject(const gp::Struct& object, PayloadBuilder& out);

void WriteValue(const gp::Value& value, PayloadBuilder& out) {
  switch (value.kind_case()) {
    case gp::Value::kNullValue:
    case gp::Value::KIND_NOT_SET: return out.Null();
    case gp::Value::kNumberValue: return out.Number(value.number_value());
    case gp::Value::kStringValue: return out.String(value.string_value());
    case gp::Value::kBoolValue: return out.Bool(value.bool_value());
    case gp::Value::kStructValue: return WriteObject(value.struct_value(), out);
    case gp::Value::kListValue:
      out.BeginList();
      for (const gp::Value& item : value.list_value().values()) {
        if (!out.ok()) return;
        WriteValue(item, out);
      }
      return out.EndList();
  }
}

// The builder stops at its depth limit, which bounds this recursion; a message's own nesting is bounded when it is
// parsed.
void WriteObject(const gp::Struct& object, PayloadBuilder& out) {
  std::vector<std::pair<absl::string_view, const gp::Value*>> fields;
  fields.reserve(object.fields().size());
  for (const auto& [key, value] : object.fields()) fields.emplace_back(key, &value);
  std::sort(fields.begin(), fields.end());
  out.BeginObject();
  for (const auto& [key, value] : fields) {
    if (!out.ok()) return;
    out.Key(key);
    WriteValue(*value, out);
  }
  out.EndObject();
}

void ReadObject(ObjectView object, gp::Struct* out);

void ReadValue(ValueView value, gp::Value* out) {
  switch (value.kind()) {
    case ValueKind::kNull: return out->set_null_value(gp::NULL_VALUE);
    case ValueKind::kFalse: return out->set_bool_value(false);
    case ValueKind::kTrue: return out->set_bool_value(true);
    case ValueKind::kInteger:
    case ValueKind::kDouble: return out->set_number_value(value.number());
    case ValueKind::kString: {
      const absl::string_view text = value.string();
      out->mutable_string_value()->assign(text.data(), text.size());
      return;
    }
    case ValueKind::kList: {
      gp::ListValue* list = out->mutable_list_value();
      for (ListView it = value.list(); !it.done(); it.Next()) ReadValue(it.value(), list->add_values());
      return;
    }
    case ValueKind::kObject: return ReadObject(value.object(), out->mutable_struct_value());
  }
}

void ReadObject(ObjectView object, gp::Struct* out) {
  auto& fields = *out->mutable_fields();
  for (; !object.done(); object.Next()) ReadValue(object.value(), &fields[std::string(object.key())]);
}

}  // namespace

absl::StatusOr<std::string> PayloadFromProto(const gp::Struct& object) {
  if (object.fields().empty()) return std::string();
  PayloadBuilder builder;
  WriteObject(object, builder);
  return std::move(builder).Finish();
}

void PayloadToProto(absl::string_view payload, gp::Struct* out) { ReadObject(PayloadObject(payload), out); }

}  // namespace alcove::vector_search
