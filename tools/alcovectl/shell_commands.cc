#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "libs/common/version.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/output.h"

namespace alcove::ctl {
namespace {

// A bash function that completes command words and flags; zsh reads it through bashcompinit.
std::string CompletionScript(bool zsh) {
  std::set<std::string> first;
  std::string cases;
  for (const CommandSpec& command : AllCommands()) {
    const std::vector<std::string> words = absl::StrSplit(command.name, ' ');
    first.insert(words[0]);
    std::string flags = "--help";
    for (const FlagSpec& flag : command.flags) absl::StrAppend(&flags, " --", flag.name);
    absl::StrAppend(&cases, "    '", command.name, "') flags='", flags, "' ;;\n");
  }
  std::string groups;
  for (const std::string& word : first) {
    std::string second;
    for (const CommandSpec& command : AllCommands()) {
      const std::vector<std::string> words = absl::StrSplit(command.name, ' ');
      if (words[0] == word && words.size() == 2) absl::StrAppend(&second, " ", words[1]);
    }
    if (!second.empty()) absl::StrAppend(&groups, "    ", word, ") words='", second.substr(1), "' ;;\n");
  }
  std::string script = zsh ? "autoload -U +X bashcompinit && bashcompinit\n" : "";
  absl::StrAppend(&script, R"(_alcovectl() {
  local current=${COMP_WORDS[COMP_CWORD]} words= flags=
  case "${COMP_WORDS[1]}" in
)",
                  groups, R"(  esac
  case "${COMP_WORDS[1]}${words:+ ${COMP_WORDS[2]}}" in
)",
                  cases, R"(  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    words=')");
  for (const std::string& word : first) absl::StrAppend(&script, word, " ");
  absl::StrAppend(&script, R"('
  elif [ "$COMP_CWORD" -gt 2 ] || [ -z "$words" ]; then
    words=
  fi
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
    *) if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$current")); else COMPREPLY=($(compgen -f -- "$current")); fi ;;
  esac
}
complete -F _alcovectl alcovectl
)");
  return script;
}

absl::Status RunCompletion(const Invocation& invocation) {
  const std::string& shell = invocation.args()[0];
  if (shell != "bash" && shell != "zsh") return absl::InvalidArgumentError("completion is made for bash and zsh");
  return Print(CompletionScript(shell == "zsh"));
}

absl::Status RunVersion(const Invocation&) { return Print(absl::StrCat("alcovectl ", kVersion, "\n")); }

}  // namespace

std::vector<CommandSpec> ShellCommands() {
  return {
      {.name = "completion",
       .summary = "Print a completion script for bash or zsh",
       .args = "bash|zsh",
       .min_args = 1,
       .max_args = 1,
       .details = "example:\n  alcovectl completion bash > /etc/bash_completion.d/alcovectl",
       .run = RunCompletion},
      {.name = "version", .summary = "Print the version", .run = RunVersion},
  };
}

const std::vector<CommandSpec>& AllCommands() {
  static const auto* const commands = [] {
    auto* all = new std::vector<CommandSpec>;
    for (auto group : {StackCommands, CollectionCommands, ClusterCommands, IngestCommands, SearchCommands,
                       PrivateCommands, KeyCommands, BackupCommands, BackupsCommands, ShellCommands}) {
      for (CommandSpec& command : group()) all->push_back(std::move(command));
    }
    return all;
  }();
  return *commands;
}

}  // namespace alcove::ctl
