#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "libs/common/config.h"
#include "libs/common/config_describe.h"
#include "libs/common/config_fields.h"

namespace alcove {
namespace {

using config_internal::Field;
using config_internal::IsDuration;
using config_internal::IsSection;
using config_internal::Message;
using config_internal::Schema;
using config_internal::Spec;
using config_internal::YamlScalar;

constexpr absl::string_view kMask = "********";

std::string YamlValue(const Message& message, const Field& field, int index) {
  const std::string text = config_internal::ValueText(message, field, index);
  if (Spec(field).secret() && !text.empty()) return YamlScalar(kMask);
  // Negative numbers start with a sign, which the plain form leaves to texts.
  return field.cpp_type() == Field::CPPTYPE_STRING ? YamlScalar(text) : text;
}

void PrintSection(const Message& message, const std::string& indent, std::string& out, int depth) {
  if (depth >= config_internal::kMaxSchemaDepth) return;
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const Schema& schema = *message.GetDescriptor();
  for (int i = 0; i < schema.field_count(); ++i) {
    const Field& field = *schema.field(i);
    absl::StrAppend(&out, indent, field.name(), ":");
    if (IsSection(field)) {
      out.push_back('\n');
      PrintSection(reflection.GetMessage(message, &field), indent + "  ", out, depth + 1);
      continue;
    }
    if (!field.is_repeated()) {
      absl::StrAppend(&out, " ", YamlValue(message, field, -1), "\n");
      continue;
    }
    const int size = reflection.FieldSize(message, &field);
    if (size == 0) {
      out += field.is_map() ? " {}\n" : " []\n";
      continue;
    }
    out.push_back('\n');
    std::vector<std::string> lines;
    for (int k = 0; k < size; ++k) {
      if (field.is_map()) {
        const Message& pair = reflection.GetRepeatedMessage(message, &field, k);
        const Field& key = *field.message_type()->map_key();
        const Field& value = *field.message_type()->map_value();
        const std::string shown = Spec(field).secret() ? YamlScalar(kMask) : YamlValue(pair, value, -1);
        lines.push_back(absl::StrCat(indent, "  ", YamlValue(pair, key, -1), ": ", shown, "\n"));
      } else if (field.cpp_type() == Field::CPPTYPE_MESSAGE && !IsDuration(field)) {
        std::string element;
        PrintSection(reflection.GetRepeatedMessage(message, &field, k), indent + "    ", element, depth + 1);
        // The first key stands behind the dash.
        if (element.size() > indent.size() + 4) element[indent.size() + 2] = '-';
        lines.push_back(std::move(element));
      } else {
        lines.push_back(absl::StrCat(indent, "  - ", YamlValue(message, field, k), "\n"));
      }
    }
    if (field.is_map()) std::sort(lines.begin(), lines.end());
    absl::StrAppend(&out, absl::StrJoin(lines, ""));
  }
}

}  // namespace

std::string ConfigToYaml(const Message& message) {
  std::string out;
  PrintSection(message, "", out, 0);
  return out;
}

}  // namespace alcove
