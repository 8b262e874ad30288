#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>

#include "libs/common/config.h"
#include "libs/common/config_fields.h"
#include "libs/common/text.h"

namespace alcove {
namespace {

using config_internal::Field;
using config_internal::IsDuration;
using config_internal::IsSection;
using config_internal::JoinPath;
using config_internal::Message;
using config_internal::Schema;
using config_internal::Spec;

constexpr absl::string_view kMask = "********";

// A scalar as YAML: plain where nothing could be misread, else double-quoted.
std::string YamlScalar(absl::string_view text) {
  const auto plain_char = [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '/' || c == ':' || c == '-' || c == '+';
  };
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), plain_char) &&
                     (absl::ascii_isalnum(text[0]) || text[0] == '/') && text.back() != ':' &&
                     absl::AsciiStrToLower(text) != "null";
  if (plain) return std::string(text);
  std::string quoted;
  AppendJsonString(quoted, text);
  return quoted;
}

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
        if (element.size() > indent.size() + 4) element.replace(indent.size() + 2, 1, "-");
        lines.push_back(std::move(element));
      } else {
        lines.push_back(absl::StrCat(indent, "  - ", YamlValue(message, field, k), "\n"));
      }
    }
    if (field.is_map()) std::sort(lines.begin(), lines.end());
    absl::StrAppend(&out, absl::StrJoin(lines, ""));
  }
}

std::string TypeName(const Field& field) {
  std::string name;
  if (field.is_map()) return "map of texts";
  if (IsDuration(field)) {
    name = "duration";
  } else if (config_internal::IsBytesUnit(field)) {
    name = "size";
  } else {
    switch (field.cpp_type()) {
      case Field::CPPTYPE_BOOL: name = "bool"; break;
      case Field::CPPTYPE_STRING: name = "text"; break;
      case Field::CPPTYPE_FLOAT:
      case Field::CPPTYPE_DOUBLE: name = "number"; break;
      case Field::CPPTYPE_ENUM: name = "choice"; break;
      case Field::CPPTYPE_MESSAGE: name = "section"; break;
      default: name = "integer"; break;
    }
  }
  return field.is_repeated() ? absl::StrCat("list of ", name, "s") : name;
}

// "1 to 65535", "one of a, b", "at least 1s"; empty when anything goes.
std::string Allowed(const Field& field) {
  const config::v1::FieldSpec& spec = Spec(field);
  if (spec.one_of_size() > 0) return absl::StrCat("one of ", absl::StrJoin(spec.one_of(), ", "));
  std::string bounds;
  if (spec.has_min() && spec.has_max()) {
    bounds = absl::StrCat(config_internal::BoundText(field, spec.min()), " to ",
                          config_internal::BoundText(field, spec.max()));
  } else if (spec.has_min()) {
    bounds = absl::StrCat("at least ", config_internal::BoundText(field, spec.min()));
  } else if (spec.has_max()) {
    bounds = absl::StrCat("at most ", config_internal::BoundText(field, spec.max()));
  }
  if (bounds.empty()) return "";
  if (field.is_repeated()) return absl::StrCat(bounds, " elements");
  if (field.cpp_type() == Field::CPPTYPE_STRING) return absl::StrCat(bounds, " characters");
  return !spec.unit().empty() && spec.unit() != "bytes" ? absl::StrCat(bounds, " ", spec.unit()) : bounds;
}

std::string DefaultText(const Field& field, const std::string& path, const ConfigProgram& program) {
  for (const auto& [overridden, text] : program.defaults) {
    if (overridden == path) return text;
  }
  return Spec(field).default_();
}

// The settings of the elements of a list are listed under "path[].name".
void ForEachSetting(const Schema& schema, absl::string_view path,
                    const std::function<void(const std::string&, const Field&)>& visit, int depth = 0) {
  config_internal::ForEachLeaf(schema, path, [&](const std::string& leaf, const Field& field) {
    visit(leaf, field);
    const bool list_of_sections =
        field.is_repeated() && field.cpp_type() == Field::CPPTYPE_MESSAGE && !IsDuration(field) && !field.is_map();
    if (list_of_sections && depth < 4) ForEachSetting(*field.message_type(), leaf + "[]", visit, depth + 1);
  });
}

}  // namespace

std::string ConfigToYaml(const Message& message) {
  std::string out;
  PrintSection(message, "", out, 0);
  return out;
}

std::string ConfigHelp(const Schema& schema, const ConfigProgram& program) {
  const std::string prefix =
      absl::StrCat("ALCOVE_", absl::AsciiStrToUpper(absl::StrReplaceAll(program.service, {{"-", "_"}})), "__");
  std::string out =
      absl::StrCat(program.description, "\n\nusage: ", program.binary,
                   " [--config FILE] [--section.field=value …]\n\n"
                   "  --config FILE     settings as YAML\n"
                   "  --check-config    say whether the configuration is valid, and exit\n"
                   "  --print-config    print the configuration in force as YAML, secrets masked, and exit\n"
                   "  --version         print the version and exit\n\n"
                   "Later sources win: defaults, the file, the environment (",
                   prefix, "SECTION__FIELD), flags.\n\nSettings:\n");
  ForEachSetting(schema, "", [&](const std::string& path, const Field& field) {
    const config::v1::FieldSpec& spec = Spec(field);
    std::vector<std::string> facts;
    const std::string default_text = DefaultText(field, path, program);
    if (!default_text.empty()) facts.push_back(absl::StrCat("default ", default_text));
    if (std::string allowed = Allowed(field); !allowed.empty()) facts.push_back(std::move(allowed));
    if (spec.required()) facts.push_back("required");
    if (spec.restart()) facts.push_back("needs a restart");
    if (spec.secret()) facts.push_back("secret");
    absl::StrAppend(&out, "  --", path, "  (", TypeName(field), facts.empty() ? "" : "; ", absl::StrJoin(facts, "; "),
                    ")\n      ", spec.doc(), "\n");
  });
  return out;
}

std::string ConfigReferenceMarkdown(const Schema& schema, const ConfigProgram& program) {
  const auto cell = [](absl::string_view text) { return absl::StrReplaceAll(text, {{"|", "\\|"}, {"\n", " "}}); };
  std::string out = absl::StrCat("## ", program.binary, "\n\n", program.description,
                                 "\n\n| setting | type | default | allowed | what it does |\n|---|---|---|---|---|\n");
  ForEachSetting(schema, "", [&](const std::string& path, const Field& field) {
    const config::v1::FieldSpec& spec = Spec(field);
    const std::string default_text = DefaultText(field, path, program);
    std::string notes;
    if (spec.required()) notes += " **Required.**";
    if (spec.restart()) notes += " *Needs a restart.*";
    if (spec.secret()) notes += " *Secret.*";
    absl::StrAppend(&out, "| `", path, "` | ", TypeName(field), " | ",
                    default_text.empty() ? "" : absl::StrCat("`", cell(default_text), "`"), " | ", cell(Allowed(field)),
                    " | ", cell(spec.doc()), notes, " |\n");
  });
  return out;
}

}  // namespace alcove
