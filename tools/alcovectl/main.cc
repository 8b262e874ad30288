// alcovectl: runs a local stack and talks to a gateway.

#include <cstdio>
#include <string>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <signal.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "tools/alcovectl/commands.h"

namespace alcove::ctl {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

std::string Overview() {
  std::string out =
      "alcovectl runs a local Alcove stack and talks to its gateway.\n\nusage: alcovectl COMMAND [flags]\n\n";
  for (const CommandSpec& command : AllCommands())
    absl::StrAppendFormat(&out, "  %-22s %s\n", command.name, command.summary);
  out += "\nEvery command explains itself: alcovectl COMMAND --help\n";
  return out;
}

// The command named by the first one or two words, and how many words that took.
const CommandSpec* Find(const std::vector<std::string>& words, size_t* taken) {
  for (size_t n : {2, 1}) {
    if (words.size() < n) continue;
    const std::string name = n == 2 ? absl::StrCat(words[0], " ", words[1]) : words[0];
    for (const CommandSpec& command : AllCommands()) {
      if (command.name == name) {
        *taken = n;
        return &command;
      }
    }
  }
  return nullptr;
}

int Unknown(const std::vector<std::string>& words) {
  std::vector<std::string> names;
  std::string group;
  for (const CommandSpec& command : AllCommands()) {
    names.push_back(command.name);
    if (absl::StartsWith(command.name, words[0] + " "))
      absl::StrAppendFormat(&group, "  %-22s %s\n", command.name, command.summary);
  }
  if (!group.empty()) {
    std::fprintf(stderr, "alcovectl %s is one of:\n%s", words[0].c_str(), group.c_str());
    return kUsage;
  }
  const std::string closest(ClosestMatch(words[0], names));
  std::fprintf(stderr, "unknown command \"%s\"%s; alcovectl --help lists them all\n", words[0].c_str(),
               closest.empty() ? "" : absl::StrCat("; did you mean \"", closest, "\"?").c_str());
  return kUsage;
}

int Main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    std::fputs(Overview().c_str(), words.empty() ? stderr : stdout);
    return words.empty() ? kUsage : 0;
  }
  size_t taken = 0;
  const CommandSpec* command = Find(words[0] == "--version" ? std::vector<std::string>{"version"} : words, &taken);
  if (command == nullptr) return Unknown(words);
  const std::vector<std::string> rest(words.begin() + static_cast<ptrdiff_t>(taken), words.end());
  for (const std::string& word : rest) {
    if (word == "--") break;
    if (word == "--help" || word == "-h") {
      std::fputs(HelpText(*command).c_str(), stdout);
      return 0;
    }
  }
  const auto invocation = Invocation::Parse(*command, rest);
  if (!invocation.ok()) {
    std::fprintf(stderr, "%s\n", std::string(invocation.status().message()).c_str());
    return kUsage;
  }
  const absl::Status status = command->run(*invocation);
  if (status.ok()) return 0;
  std::fprintf(stderr, "error: %s (%s)\n", std::string(status.message()).c_str(),
               std::string(StatusCodeName(status.code())).c_str());
  return kFailed;
}

}  // namespace
}  // namespace alcove::ctl

int main(int argc, char** argv) { return alcove::ctl::Main(argc, argv); }
