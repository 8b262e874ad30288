// A service's configuration is a protobuf message whose fields describe themselves with (alcove.config.v1.field)
// options (protos/alcove/config/v1/options.proto). This loads it from, in rising order of precedence,
//
//   the defaults        of the schema
//   --config FILE       YAML, keys as in the schema (http: {port: 8080})
//   the environment     ALCOVE_<SERVICE>__<SECTION>__<FIELD>, e.g. ALCOVE_GATEWAY__HTTP__PORT=8080
//   flags               --http.port=8080 or --http.port 8080; --http.tls.enabled alone means true
//
// A list or map given by a later source replaces that of an earlier one; messages merge field by field. Values:
//
//   bool        true, false
//   integer     decimal; a field with unit "bytes" also takes 64MiB, 1.5GB, 512k (k, M, G, T are powers of 1000; Ki …
//   are of 1024) Duration    500us, 50ms, 1.5s, 2m, 1h30m, 7d; 0 needs no unit enum        the value's name, with or
//   without its prefix, in any case list        YAML list; in the environment and in flags a comma-separated text or a
//   YAML flow list "[a, b]" list of messages, message, map   YAML; in the environment and in flags as YAML flow text
//   "[{address: a:1}]" bytes       not supported in a schema
//
// A key the schema does not know, a value of the wrong form or out of its bounds, a missing required field: each is
// INVALID_ARGUMENT naming the field, where it was set (file and line, variable or flag), and the nearest known name.
// YAML is limited to 1 MiB, 32 levels and 50,000 nodes; anchors and aliases are refused.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>
#include <google/protobuf/message.h>

namespace alcove {

// Which process the configuration is for.
struct ConfigProgram {
  std::string service;      // "gateway": names the environment prefix ALCOVE_GATEWAY__ ("-" becomes "_")
  std::string binary;       // "alcove-gateway", for --help and --version
  std::string description;  // one sentence for --help
  std::string version;      // for --version
  // Defaults of this service that differ from those of a shared schema: {"server.listen", "127.0.0.1:7101"}.
  std::vector<std::pair<std::string, std::string>> defaults;
  // What the schema cannot say: settings that exclude one another, files that must be there. Before a start and for
  // --check-config, on the loaded message.
  std::function<absl::Status(const google::protobuf::Message&)> check;
};

// Reads an environment variable list; replaced in tests.
using EnvironmentList = std::vector<std::pair<std::string, std::string>>;
EnvironmentList ProcessEnvironment();

// What the command line asked for.
enum class ConfigAction {
  kRun,   // start the service with the message
  kExit,  // print `output` to stdout and exit 0: --help, --version, --check-config, --print-config and its like
};

struct ConfigOutcome {
  ConfigAction action = ConfigAction::kRun;
  std::string output;
  std::string file;  // the --config path, empty when none
};

// Loads into `message`, which should be freshly made. `args` is argv without the program name. On error `message` is
// unspecified. Nothing is printed.
absl::StatusOr<ConfigOutcome> LoadConfigMessage(const ConfigProgram& program, absl::Span<const char* const> args,
                                                const EnvironmentList& environment, google::protobuf::Message& message);

// For main(): loads the process's configuration. Prints and exits with 0 for --help and its like, and with 2 after
// printing the error to stderr when the configuration is wrong.
template <typename Proto>
Proto LoadConfigOrExit(int argc, char** argv, const ConfigProgram& program);

// Fills fields with the schema's defaults, recursively; fields already set keep their value. For tests and embedding.
void ApplyConfigDefaults(google::protobuf::Message& message, const ConfigProgram& program = {});
template <typename Proto>
Proto DefaultConfig(const ConfigProgram& program = {}) {
  Proto message;
  ApplyConfigDefaults(message, program);
  return message;
}

// Merges YAML text over `message` and checks what it sets. `source` names it in errors.
absl::Status MergeConfigYaml(absl::string_view yaml, absl::string_view source, google::protobuf::Message& message);

// Checks bounds, choices and required fields of the whole message; lists every violation.
absl::Status CheckConfig(const google::protobuf::Message& message);

// The message as YAML that loads back to it, with secrets shown as ********. Every field is printed.
std::string ConfigToYaml(const google::protobuf::Message& message);

// The schema as a Markdown section with one table: setting, environment variable, type, default, allowed values,
// whether a change needs a restart, description.
std::string ConfigReferenceMarkdown(const google::protobuf::Descriptor& schema, const ConfigProgram& program);

// A commented configuration file with every setting at its default, which loads as if there were no file. Elements of
// lists of sections are shown in comments.
std::string ConfigExampleYaml(const google::protobuf::Descriptor& schema, const ConfigProgram& program);

// The schema as --help text.
std::string ConfigHelp(const google::protobuf::Descriptor& schema, const ConfigProgram& program);

namespace config_internal {
void LoadOrExit(int argc, char** argv, const ConfigProgram& program, google::protobuf::Message& message);
}

template <typename Proto>
Proto LoadConfigOrExit(int argc, char** argv, const ConfigProgram& program) {
  Proto message;
  config_internal::LoadOrExit(argc, argv, program, message);
  return message;
}

}  // namespace alcove
