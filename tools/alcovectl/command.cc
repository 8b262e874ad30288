#include "tools/alcovectl/command.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "libs/common/text.h"

namespace alcove::ctl {
namespace {

const FlagSpec* FindByName(const CommandSpec& command, absl::string_view name) {
  for (const FlagSpec& flag : command.flags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

const FlagSpec* FindByLetter(const CommandSpec& command, char letter) {
  for (const FlagSpec& flag : command.flags) {
    if (flag.letter != 0 && flag.letter == letter) return &flag;
  }
  return nullptr;
}

absl::Status UnknownFlag(const CommandSpec& command, absl::string_view word) {
  std::vector<std::string> names;
  for (const FlagSpec& flag : command.flags) names.push_back(absl::StrCat("--", flag.name));
  const absl::string_view closest = ClosestMatch(word, names);
  return absl::InvalidArgumentError(
      closest.empty() ? absl::StrCat("unknown flag ", word, " (see alcovectl ", command.name, " --help)")
                      : absl::StrCat("unknown flag ", word, "; did you mean ", closest, "?"));
}

}  // namespace

absl::StatusOr<Invocation> Invocation::Parse(const CommandSpec& command, absl::Span<const std::string> words) {
  Invocation invocation;
  invocation.command_ = &command;
  bool only_args = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (only_args || word.size() < 2 || word[0] != '-') {
      invocation.args_.push_back(word);
      continue;
    }
    if (word == "--") {
      only_args = true;
      continue;
    }
    const FlagSpec* flag = nullptr;
    std::string value;
    bool has_value = false;
    if (word[1] == '-') {
      const size_t equals = word.find('=');
      const std::string name = word.substr(2, equals == std::string::npos ? std::string::npos : equals - 2);
      flag = FindByName(command, name);
      if (flag == nullptr) return UnknownFlag(command, absl::StrCat("--", name));
      if (equals != std::string::npos) {
        value = word.substr(equals + 1);
        has_value = true;
      }
    } else {
      flag = FindByLetter(command, word[1]);
      if (flag == nullptr) return UnknownFlag(command, word);
      if (word.size() > 2) {
        value = word.substr(2);
        has_value = true;
      }
    }
    if (flag->value.empty()) {
      if (has_value) return absl::InvalidArgumentError(absl::StrCat("--", flag->name, " takes no value"));
      value = "true";
    } else if (!has_value) {
      if (i + 1 >= words.size()) {
        return absl::InvalidArgumentError(absl::StrCat("--", flag->name, " needs a value: ", flag->value));
      }
      value = words[++i];
    }
    std::vector<std::string>& values = invocation.values_[flag->name];
    if (!flag->repeated) values.clear();
    values.push_back(std::move(value));
  }
  if (invocation.args_.size() < command.min_args || invocation.args_.size() > command.max_args) {
    return absl::InvalidArgumentError(
        absl::StrCat("usage: alcovectl ", command.name, command.args.empty() ? "" : " ", command.args, " [flags]"));
  }
  return invocation;
}

const std::string& Invocation::Get(absl::string_view flag) const {
  const auto it = values_.find(flag);
  if (it != values_.end()) return it->second.back();
  const FlagSpec* spec = FindByName(*command_, flag);
  if (spec == nullptr) {
    std::fprintf(stderr, "command %s has no flag %s\n", command_->name.c_str(), std::string(flag).c_str());
    std::abort();
  }
  return spec->default_value;
}

bool Invocation::Has(absl::string_view flag) const { return values_.contains(flag); }

std::vector<std::string> Invocation::GetAll(absl::string_view flag) const {
  const auto it = values_.find(flag);
  return it == values_.end() ? std::vector<std::string>{} : it->second;
}

absl::StatusOr<int64_t> Invocation::GetInt(absl::string_view flag, int64_t min, int64_t max) const {
  const std::string& text = Get(flag);
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < min || value > max) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--%s must be a whole number from %d to %d, not \"%s\"", flag, min, max, text));
  }
  return value;
}

std::string HelpText(const CommandSpec& command) {
  std::string out = absl::StrCat(command.summary, "\n\nusage: alcovectl ", command.name,
                                 command.args.empty() ? "" : " ", command.args, " [flags]\n");
  if (!command.flags.empty()) out += "\nflags:\n";
  for (const FlagSpec& flag : command.flags) {
    std::string left = flag.letter != 0 ? absl::StrFormat("-%c, ", flag.letter) : "    ";
    absl::StrAppend(&left, "--", flag.name, flag.value.empty() ? "" : " ", flag.value);
    absl::StrAppendFormat(&out, "  %-30s %s", left, flag.help);
    if (flag.repeated) out += " (may be repeated)";
    if (!flag.default_value.empty()) absl::StrAppend(&out, " [", flag.default_value, "]");
    out += "\n";
  }
  if (!command.details.empty()) absl::StrAppend(&out, "\n", command.details, "\n");
  return out;
}

std::vector<FlagSpec> ClientFlags() {
  return {
      {"server", 's', "ADDRESS", "", "gateway to talk to, host:port or https://host:port; also ALCOVE_SERVER"},
      {"key", 'k', "SECRET", "", "API key; also ALCOVE_API_KEY"},
      {"data", 'd', "DIR", "", "data folder of a local stack, whose address and admin key are used; also ALCOVE_DATA"},
      {"timeout", 0, "DURATION", "60s", "longest wait for one call"},
      {"output", 'o', "FORMAT", "table", "table for people, json for programs"},
  };
}

std::vector<FlagSpec> Join(std::vector<FlagSpec> base, std::vector<FlagSpec> more) {
  for (FlagSpec& flag : more) base.push_back(std::move(flag));
  return base;
}

}  // namespace alcove::ctl
