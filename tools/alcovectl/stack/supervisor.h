// Starts the processes of a stack, restarts what dies, and stops everything in order.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "tools/alcovectl/stack/layout.h"
#include "tools/alcovectl/stack/plan.h"
#include "tools/alcovectl/stack/state.h"

namespace alcove::ctl {

struct SupervisorOptions {
  absl::Duration start_timeout = absl::Minutes(3);  // for every process to become ready
  absl::Duration stop_timeout = absl::Seconds(25);  // from SIGTERM to SIGKILL
  absl::Duration min_backoff = absl::Milliseconds(250);
  absl::Duration max_backoff = absl::Seconds(15);
  absl::Duration stable_after = absl::Seconds(30);  // running this long forgets earlier deaths
  int max_start_attempts = 3;                       // of one process, before the stack has been ready
};

// Single-threaded; SIGINT, SIGTERM and SIGCHLD must be blocked by the caller before Run and are consumed by it.
// Children are killed by the kernel when the supervisor itself dies.
class Supervisor {
 public:
  // `report` is called with one line of text whenever a person would want to know.
  Supervisor(StackLayout layout, StackPlan plan, SupervisorOptions options,
             std::function<void(const std::string&)> report);

  // Starts everything, calls `on_ready` once all processes are ready, supervises until SIGINT or SIGTERM, then stops
  // everything. An error means that the stack never became ready; everything is stopped then too.
  absl::Status Run(const std::function<void()>& on_ready);

 private:
  struct Child {
    ProcessPlan plan;
    pid_t pid = 0;
    bool ready = false;
    absl::Time started_at;
    absl::Time restart_at = absl::InfiniteFuture();
    absl::Duration backoff;
    int64_t restarts = 0;
    int deaths_before_ready = 0;  // since it was last ready
    std::string last_exit;
  };

  absl::Status Start(Child& child);
  void Reap();
  void ProbeStarting();
  void RestartDue();
  void StopAll();
  void Publish();
  bool AllReady() const;
  // What keeps the stack from ever becoming ready, if something does.
  absl::Status StartupFailure(absl::Time give_up) const;

  StackLayout layout_;
  SupervisorOptions options_;
  std::string gateway_;
  std::function<void(const std::string&)> report_;
  std::vector<Child> children_;
  StackState published_;
  bool stopping_ = false;
};

}  // namespace alcove::ctl
