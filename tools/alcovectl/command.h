// The shape of a subcommand: its flags, its help text and how it is run. One table of these (commands.h) drives
// parsing,
// --help and shell completion.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

namespace alcove::ctl {

struct FlagSpec {
  std::string name;           // without dashes
  char letter = 0;            // "-o"; 0 when there is no short form
  std::string value;          // what the value is, for the help text: "PATH"; empty for a switch
  std::string default_value;  // shown in the help text and returned when the flag is absent
  std::string help;
  bool repeated = false;
};

class Invocation;

struct CommandSpec {
  std::string name;     // one or two words: "search", "collections create"
  std::string summary;  // one line
  std::string args;     // "COLLECTION QUERY"; shown in the usage line
  size_t min_args = 0;
  size_t max_args = 0;
  std::vector<FlagSpec> flags;
  std::string details;  // paragraphs and examples printed below the flags
  absl::Status (*run)(const Invocation&) = nullptr;
};

// A parsed command line. Flags not declared by the command cannot be asked for (that is a bug and aborts).
class Invocation {
 public:
  // `words` is everything after the command's own name. INVALID_ARGUMENT names the flag or the missing argument.
  static absl::StatusOr<Invocation> Parse(const CommandSpec& command, absl::Span<const std::string> words);

  const CommandSpec& command() const { return *command_; }
  const std::vector<std::string>& args() const { return args_; }

  const std::string& Get(absl::string_view flag) const;
  bool Has(absl::string_view flag) const;  // given on the command line
  bool GetSwitch(absl::string_view flag) const { return Has(flag); }
  std::vector<std::string> GetAll(absl::string_view flag) const;
  // INVALID_ARGUMENT when the text is no whole number within [min, max].
  absl::StatusOr<int64_t> GetInt(absl::string_view flag, int64_t min, int64_t max) const;

 private:
  const CommandSpec* command_ = nullptr;
  std::vector<std::string> args_;
  absl::flat_hash_map<std::string, std::vector<std::string>> values_;
};

// The command's --help page.
std::string HelpText(const CommandSpec& command);

// Flags every command that talks to the gateway takes: --server, --key, --data, --timeout and -o.
std::vector<FlagSpec> ClientFlags();
// `base` followed by `more`.
std::vector<FlagSpec> Join(std::vector<FlagSpec> base, std::vector<FlagSpec> more);

}  // namespace alcove::ctl
