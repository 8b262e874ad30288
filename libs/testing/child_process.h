// Real processes in tests: start, watch, stop, freeze, kill.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <sys/types.h>

#include "libs/testing/temp_dir.h"

namespace alcove::testing {

struct ChildOptions {
  std::string binary;  // a path, or a name looked up in PATH
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> environment;  // added to, or replacing, the test's own
  std::string directory;                                         // working directory; empty keeps the test's
  std::optional<uid_t> user;                                     // run as this user and group (the test must be root)
  std::optional<gid_t> group;
};

// A running program whose stdout and stderr go to one file. Killed and reaped on destruction, with everything in its
// process group; also killed when the thread that started it ends. Not thread safe.
class ChildProcess {
 public:
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(ChildOptions options);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  bool Running();
  // Everything written so far.
  std::string Output() const;
  // Blocks until a line containing `text` has been written and returns that line. DEADLINE_EXCEEDED or, when the
  // program ends first, FAILED_PRECONDITION, both with the output's tail.
  absl::StatusOr<std::string> WaitForLine(const std::string& text, absl::Duration limit = absl::Seconds(30));
  // Blocks until GET http://127.0.0.1:port/path answers 200; errors as above.
  absl::Status WaitForHttp(uint16_t port, const std::string& path, absl::Duration limit = absl::Seconds(30));
  // Sends a signal to the program itself.
  void Signal(int signal_number);
  void Freeze();  // SIGSTOP
  void Thaw();    // SIGCONT
  // kill -9 of the whole process group, and reaps.
  void Kill();
  // SIGTERM, then waits. The exit code; a death by signal n is 128 + n. DEADLINE_EXCEEDED when it does not end in time.
  absl::StatusOr<int> Stop(absl::Duration limit = absl::Seconds(30));
  // Waits for the program to end by itself; as Stop().
  absl::StatusOr<int> WaitForExit(absl::Duration limit = absl::Seconds(30));

 private:
  ChildProcess(ChildOptions options, TempDir folder);
  absl::Status Launch();
  bool Reap(bool block);
  std::string Tail() const;

  ChildOptions options_;
  TempDir folder_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

// Runs a program to its end and returns its output; an error when it fails or takes longer than `limit`.
absl::StatusOr<std::string> RunProgram(ChildOptions options, absl::Duration limit = absl::Seconds(60));

// The first of `names` found in PATH or in `folders` (which may end in "/*/bin" to mean every version); NOT_FOUND
// naming `package` otherwise.
absl::StatusOr<std::string> FindProgram(const std::vector<std::string>& names, const std::vector<std::string>& folders,
                                        const std::string& package);

// Status and body of GET http://127.0.0.1:port/path; UNAVAILABLE when nobody answers within `limit`.
absl::StatusOr<std::pair<int, std::string>> HttpGet(uint16_t port, const std::string& path,
                                                    const std::string& extra_headers = "",
                                                    absl::Duration limit = absl::Seconds(5));

}  // namespace alcove::testing
