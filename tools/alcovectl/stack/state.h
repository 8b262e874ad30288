// What the supervisor tells other commands about the stack it runs: a small JSON file, replaced whole at every change.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "tools/alcovectl/stack/layout.h"

namespace alcove::ctl {

struct ProcessState {
  std::string name;     // "vector-search-0"
  int64_t pid = 0;      // 0 while it is not running
  std::string address;  // host:port it serves on
  std::string admin;    // host:port of its health and metrics; empty when it has none
  std::string state;    // starting, ready, restarting, stopped
  int64_t restarts = 0;
  std::string last_exit;  // "exit status 1", "signal 9"; empty when it never ended

  friend bool operator==(const ProcessState&, const ProcessState&) = default;
};

struct StackState {
  int64_t supervisor_pid = 0;
  std::string gateway;  // host:port of the public door
  std::vector<ProcessState> processes;

  friend bool operator==(const StackState&, const StackState&) = default;
};

// NOT_FOUND when no stack ever ran there; DATA_LOSS when the file cannot be read as such.
absl::StatusOr<StackState> ReadStackState(const StackLayout& layout);
absl::Status WriteStackState(const StackLayout& layout, const StackState& state);

// Whether a supervisor runs there now (it holds the lock).
bool StackIsRunning(const StackLayout& layout);

}  // namespace alcove::ctl
