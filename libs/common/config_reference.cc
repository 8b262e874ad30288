// What is generated from the schema for people: --help, the reference page, the example file.
#include <memory>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

#include "libs/common/config.h"
#include "libs/common/config_describe.h"
#include "libs/common/config_fields.h"

namespace alcove {
namespace {

using config_internal::AllowedText;
using config_internal::DefaultText;
using config_internal::EnvironmentPrefix;
using config_internal::Field;
using config_internal::ForEachSetting;
using config_internal::IsDuration;
using config_internal::IsSection;
using config_internal::IsSectionList;
using config_internal::Message;
using config_internal::Schema;
using config_internal::Spec;
using config_internal::TypeName;
using config_internal::YamlScalar;

// What a setting without a default holds; empty for texts, lists and maps.
std::string ZeroText(const Field& field) {
  if (field.is_repeated() || field.cpp_type() == Field::CPPTYPE_STRING) return "";
  if (IsDuration(field)) return "0";
  switch (field.cpp_type()) {
    case Field::CPPTYPE_BOOL: return "false";
    case Field::CPPTYPE_ENUM: return field.default_value_enum()->name();
    default: return "0";
  }
}

// Appends `text` as comment lines of at most 118 columns.
void AppendComment(absl::string_view indent, absl::string_view text, std::string& out) {
  constexpr size_t kColumns = 118;
  std::string line;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipWhitespace())) {
    if (!line.empty() && indent.size() + 3 + line.size() + word.size() > kColumns) {
      absl::StrAppend(&out, indent, "# ", line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  if (!line.empty()) absl::StrAppend(&out, indent, "# ", line, "\n");
}

std::string Facts(const Field& field) {
  const config::v1::FieldSpec& spec = Spec(field);
  std::vector<std::string> facts = {TypeName(field)};
  if (std::string allowed = AllowedText(field); !allowed.empty()) facts.push_back(std::move(allowed));
  if (spec.required()) facts.push_back("required");
  if (spec.restart()) facts.push_back("needs a restart");
  if (spec.secret()) facts.push_back("secret");
  return absl::StrCat(spec.doc(), " (", absl::StrJoin(facts, "; "), ")");
}

// The value of a message made of defaults only: nothing in it is anybody's secret.
std::string DefaultYaml(const Message& message, const Field& field) {
  if (field.is_repeated()) {
    std::vector<std::string> items;
    const int size = message.GetReflection()->FieldSize(message, &field);
    for (int i = 0; i < size && !field.is_map() && !IsSectionList(field); ++i) {
      items.push_back(YamlScalar(config_internal::ValueText(message, field, i)));
    }
    return field.is_map() ? "{}" : absl::StrCat("[", absl::StrJoin(items, ", "), "]");
  }
  const std::string text = config_internal::ValueText(message, field, -1);
  return field.cpp_type() == Field::CPPTYPE_STRING ? YamlScalar(text) : text;
}

// A required setting has no default to load, so it stands in a comment, unless all around it does (`commented`).
void PrintExample(const Message& defaults, const std::string& indent, bool commented, std::string& out, int depth) {
  if (depth >= config_internal::kMaxSchemaDepth) return;
  const Schema& schema = *defaults.GetDescriptor();
  const google::protobuf::Reflection& reflection = *defaults.GetReflection();
  for (int i = 0; i < schema.field_count(); ++i) {
    const Field& field = *schema.field(i);
    if (IsSection(field)) {
      if (indent.empty()) out.push_back('\n');
      AppendComment(indent, Spec(field).doc(), out);
      absl::StrAppend(&out, indent, field.name(), ":\n");
      PrintExample(reflection.GetMessage(defaults, &field), indent + "  ", commented, out, depth + 1);
      continue;
    }
    AppendComment(indent, Facts(field), out);
    absl::StrAppend(&out, indent, Spec(field).required() && !commented ? "# " : "", field.name(), ": ",
                    DefaultYaml(defaults, field), "\n");
    if (!IsSectionList(field)) continue;
    // One element, in comments: a list of sections is empty by default.
    const std::unique_ptr<Message> element(reflection.GetMessageFactory()->GetPrototype(field.message_type())->New());
    if (!config_internal::ApplyDefaults(*element).ok()) continue;
    std::string lines;
    PrintExample(*element, "", true, lines, depth + 1);
    bool first = true;
    for (const absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
      const bool key = !absl::StartsWith(line, "#");
      absl::StrAppend(&out, indent, "#   ", key && first ? "- " : "  ", line, "\n");
      if (key) first = false;
    }
  }
}

}  // namespace

std::string ConfigHelp(const Schema& schema, const ConfigProgram& program) {
  std::string out =
      absl::StrCat(program.description, "\n\nusage: ", program.binary,
                   " [--config FILE] [--section.field=value …]\n\n"
                   "  --config FILE     settings as YAML\n"
                   "  --check-config    say whether the configuration is valid, and exit\n"
                   "  --print-config    print the configuration in force as YAML, secrets masked, and exit\n"
                   "  --version         print the version and exit\n"
                   "  --print-config-example    print a commented configuration file of all defaults, and exit\n"
                   "  --print-config-reference  print these settings as a Markdown section, and exit\n\n"
                   "Later sources win: defaults, the file, the environment (",
                   EnvironmentPrefix(program), "SECTION__FIELD), flags.\n\nSettings:\n");
  ForEachSetting(schema, "", [&](const std::string& path, const Field& field) {
    const config::v1::FieldSpec& spec = Spec(field);
    std::vector<std::string> facts;
    const std::string default_text = DefaultText(field, path, program);
    if (!default_text.empty()) facts.push_back(absl::StrCat("default ", default_text));
    if (std::string allowed = AllowedText(field); !allowed.empty()) facts.push_back(std::move(allowed));
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
  const auto code = [&](absl::string_view text) { return text.empty() ? "" : absl::StrCat("`", cell(text), "`"); };
  std::string out = absl::StrCat("## ", program.binary, "\n\n", program.description,
                                 "\n\n| setting | environment | type | default | allowed | restart | what it does |\n"
                                 "|---|---|---|---|---|---|---|\n");
  ForEachSetting(schema, "", [&](const std::string& path, const Field& field) {
    const config::v1::FieldSpec& spec = Spec(field);
    std::string default_text = DefaultText(field, path, program);
    if (default_text.empty() && !spec.required()) default_text = ZeroText(field);
    // The elements of a list have no variable of their own.
    const bool in_list = absl::StrContains(path, "[]");
    const std::string variable =
        in_list
            ? ""
            : absl::StrCat(EnvironmentPrefix(program), absl::AsciiStrToUpper(absl::StrReplaceAll(path, {{".", "__"}})));
    absl::StrAppend(&out, "| `", path, "` | ", code(variable), " | ", TypeName(field), " | ", code(default_text), " | ",
                    cell(AllowedText(field)), " | ", spec.restart() ? "yes" : "no", " | ", cell(spec.doc()),
                    spec.required() ? " **Required.**" : "", spec.secret() ? " *Secret.*" : "", " |\n");
  });
  return out;
}

std::string ConfigExampleYaml(const Schema& schema, const ConfigProgram& program) {
  const std::unique_ptr<Message> defaults(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(&schema)->New());
  ApplyConfigDefaults(*defaults, program);
  std::string out;
  AppendComment("", program.description, out);
  AppendComment("",
                absl::StrCat("Every setting of ", program.binary, " at its default: ", program.binary,
                             " --config with this file is the same as without. Keep what differs."),
                out);
  PrintExample(*defaults, "", false, out, 0);
  return out;
}

}  // namespace alcove
