// How a process learns that it should stop, and how long it may take.
#pragma once

#include <functional>
#include <string>

#include <absl/strings/string_view.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "libs/common/request_context.h"

namespace alcove {

// The process's wish to end: raised by SIGTERM or SIGINT, or by Request(). A second signal says so on stderr and exits
// at once with 128 + the signal's number. Thread safe.
class ShutdownSignal {
 public:
  // Installs the signal handlers and ignores SIGPIPE. Call early in main(); later calls return the same object, which
  // is never destroyed.
  static ShutdownSignal& Install();

  bool requested() const { return token().cancelled(); }
  // What asked for it: "SIGTERM", "SIGINT" or the text given to Request(); empty before.
  std::string reason() const;
  // Blocks until requested.
  void Wait();
  // Blocks until requested or until `deadline` on `clock`; returns whether requested.
  bool WaitUntil(absl::Time deadline, Clock& clock = *RealClock());
  // Asks the process to stop, as a signal would.
  void Request(absl::string_view reason);
  // Cancelled when requested; use OnCancel() to subscribe. Callbacks run on the thread that watches for signals.
  CancellationToken token() const;

 private:
  ShutdownSignal();
  struct Impl;
  Impl* impl_;
};

// The time a drain may still take: every stage of a shutdown shares one budget.
class DrainBudget {
 public:
  explicit DrainBudget(absl::Duration total, Clock& clock = *RealClock())
      : clock_(clock), deadline_(clock.Now() + total) {}
  absl::Time deadline() const { return deadline_; }
  absl::Duration Remaining() const {
    const absl::Duration left = deadline_ - clock_.Now();
    return left > absl::ZeroDuration() ? left : absl::ZeroDuration();
  }
  bool Expired() const { return Remaining() == absl::ZeroDuration(); }

 private:
  Clock& clock_;
  absl::Time deadline_;
};

}  // namespace alcove
