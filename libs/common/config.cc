#include "libs/common/config.h"

#include <cstdio>
#include <cstdlib>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <unistd.h>

#include "libs/common/config_describe.h"
#include "libs/common/config_fields.h"
#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/common/yaml_tree.h"

extern char** environ;

namespace alcove {
namespace {

using config_internal::Where;
using google::protobuf::Message;

constexpr size_t kMaxFile = size_t{1} << 20;

// The service's own defaults first: a value that is set keeps it when the schema's are applied.
absl::Status LoadDefaults(const ConfigProgram& program, Message& message) {
  for (const auto& [path, text] : program.defaults) {
    const absl::Status status = config_internal::SetPath(
        path, text, [](int) { return "default of the service"; }, message);
    if (!status.ok()) return absl::InternalError(status.message());
  }
  return config_internal::ApplyDefaults(message);
}

absl::Status LoadEnvironment(const ConfigProgram& program, const EnvironmentList& environment, Message& message) {
  const std::string prefix = config_internal::EnvironmentPrefix(program);
  for (const auto& [name, value] : environment) {
    if (!absl::StartsWith(name, prefix)) continue;
    const std::string path =
        absl::StrReplaceAll(absl::AsciiStrToLower(absl::string_view(name).substr(prefix.size())), {{"__", "."}});
    ALCOVE_RETURN_IF_ERROR(config_internal::SetPath(
        path, value, [&, &name = name](int) { return absl::StrCat("environment variable ", name); }, message));
  }
  return absl::OkStatus();
}

struct CommandLine {
  bool help = false;
  bool version = false;
  bool check = false;
  bool print = false;
  bool reference = false;
  bool example = false;
  std::string file;
  std::vector<std::pair<std::string, std::string>> settings;  // path, text
};

// The setting at a dotted path, null when there is none.
const google::protobuf::FieldDescriptor* FindSetting(const google::protobuf::Descriptor& root, absl::string_view path) {
  const google::protobuf::Descriptor* level = &root;
  const google::protobuf::FieldDescriptor* field = nullptr;
  for (const absl::string_view name : absl::StrSplit(path, '.')) {
    field = level == nullptr ? nullptr : level->FindFieldByName(std::string(name));
    if (field == nullptr) return nullptr;
    level = field->message_type();
  }
  return field;
}

bool IsSwitch(const google::protobuf::FieldDescriptor* field) {
  return field != nullptr && field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_BOOL &&
         !field->is_repeated();
}

absl::StatusOr<CommandLine> ParseCommandLine(const google::protobuf::Descriptor& root,
                                             absl::Span<const char* const> args) {
  CommandLine line;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    if (arg == "-h") arg = "--help";
    if (!absl::ConsumePrefix(&arg, "--") || arg.empty()) {
      return InvalidField(arg.substr(0, 80), "not a flag; settings are given as --section.field=value");
    }
    const size_t equals = arg.find('=');
    const bool has_value = equals != absl::string_view::npos;
    const std::string name = absl::StrReplaceAll(arg.substr(0, equals), {{"-", "_"}});
    std::string value(has_value ? arg.substr(equals + 1) : "");
    bool* const action = name == "help"                     ? &line.help
                         : name == "version"                ? &line.version
                         : name == "check_config"           ? &line.check
                         : name == "print_config"           ? &line.print
                         : name == "print_config_reference" ? &line.reference
                         : name == "print_config_example"   ? &line.example
                                                            : nullptr;
    if (action != nullptr) {
      if (has_value) return InvalidField(absl::StrCat("--", arg.substr(0, equals)), "takes no value");
      *action = true;
      continue;
    }
    if (!has_value) {
      const google::protobuf::FieldDescriptor* const setting = FindSetting(root, name);
      const absl::string_view next = i + 1 < args.size() ? args[i + 1] : "";
      if (IsSwitch(setting) && next != "true" && next != "false") {
        value = "true";
      } else if (i + 1 < args.size() && !absl::StartsWith(next, "--")) {
        value = std::string(next);
        ++i;
      } else if (setting != nullptr || name == "config") {
        return InvalidField(absl::StrCat("--", name), "needs a value");
      }
    }
    if (name == "config") {
      if (!line.file.empty()) return InvalidField("--config", "is given twice");
      if (value.empty()) return InvalidField("--config", "needs a file name");
      line.file = value;
    } else {
      line.settings.emplace_back(name, value);
    }
  }
  return line;
}

}  // namespace

EnvironmentList ProcessEnvironment() {
  EnvironmentList list;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(absl::string_view(*entry), absl::MaxSplits('=', 1));
    list.emplace_back(parts.first, parts.second);
  }
  return list;
}

absl::StatusOr<ConfigOutcome> LoadConfigMessage(const ConfigProgram& program, absl::Span<const char* const> args,
                                                const EnvironmentList& environment, Message& message) {
  ALCOVE_ASSIGN_OR_RETURN(const CommandLine line, ParseCommandLine(*message.GetDescriptor(), args));
  ConfigOutcome outcome;
  if (line.help || line.version || line.reference || line.example) {
    const google::protobuf::Descriptor& schema = *message.GetDescriptor();
    outcome.action = ConfigAction::kExit;
    outcome.output = line.help        ? ConfigHelp(schema, program)
                     : line.reference ? ConfigReferenceMarkdown(schema, program)
                     : line.example   ? ConfigExampleYaml(schema, program)
                                      : absl::StrCat(program.binary, " ", program.version, "\n");
    return outcome;
  }
  ALCOVE_RETURN_IF_ERROR(LoadDefaults(program, message));
  if (!line.file.empty()) {
    outcome.file = line.file;
    absl::StatusOr<std::string> yaml = ReadFile(line.file, kMaxFile);
    if (!yaml.ok()) return Annotate(yaml.status(), "--config");
    ALCOVE_RETURN_IF_ERROR(MergeConfigYaml(*yaml, line.file, message));
  }
  ALCOVE_RETURN_IF_ERROR(LoadEnvironment(program, environment, message));
  for (const auto& [path, text] : line.settings) {
    ALCOVE_RETURN_IF_ERROR(config_internal::SetPath(
        path, text, [&, &path = path](int) { return absl::StrCat("flag --", path); }, message));
  }
  ALCOVE_RETURN_IF_ERROR(CheckConfig(message));
  if (program.check != nullptr && !line.print) ALCOVE_RETURN_IF_ERROR(program.check(message));
  if (line.check || line.print) {
    outcome.action = ConfigAction::kExit;
    outcome.output = line.print ? ConfigToYaml(message) : "the configuration is valid\n";
  }
  return outcome;
}

void ApplyConfigDefaults(Message& message, const ConfigProgram& program) {
  const absl::Status status = LoadDefaults(program, message);
  if (status.ok()) return;
  std::fprintf(stderr, "bug in the schema %s: %s\n", message.GetDescriptor()->full_name().c_str(),
               std::string(status.message()).c_str());
  std::abort();
}

absl::Status MergeConfigYaml(absl::string_view yaml, absl::string_view source, Message& message) {
  absl::StatusOr<YamlNode> root = ParseYaml(yaml);
  if (!root.ok()) return Annotate(root.status(), source);
  return config_internal::MergeNode(
      *root, "", [&](int line) { return absl::StrCat(source, ":", line); }, message);
}

absl::Status CheckConfig(const Message& message) {
  std::vector<FieldViolation> violations;
  config_internal::CheckMessage(message, "", violations);
  return violations.empty() ? absl::OkStatus() : InvalidFields(std::move(violations));
}

namespace config_internal {

void LoadOrExit(int argc, char** argv, const ConfigProgram& program, Message& message) {
  const absl::Span<const char* const> args(argv + (argc > 0 ? 1 : 0), argc > 0 ? static_cast<size_t>(argc - 1) : 0);
  const absl::StatusOr<ConfigOutcome> outcome = LoadConfigMessage(program, args, ProcessEnvironment(), message);
  if (!outcome.ok()) {
    std::fprintf(stderr, "%s: wrong configuration: %s\n", program.binary.c_str(),
                 std::string(outcome.status().message()).c_str());
    std::exit(2);
  }
  if (outcome->action == ConfigAction::kExit) {
    std::fputs(outcome->output.c_str(), stdout);
    std::exit(std::fflush(stdout) == 0 ? 0 : 1);
  }
}

}  // namespace config_internal
}  // namespace alcove
