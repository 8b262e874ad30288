#include "libs/common/shutdown.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <thread>

#include <absl/synchronization/mutex.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace alcove {
namespace {

std::atomic<int> g_event_fd{-1};
std::atomic<int> g_signals{0};

// Async-signal-safe only: the first signal wakes the watcher, the second ends the process.
void OnSignal(int signal_number) {
  const int saved_errno = errno;
  if (g_signals.fetch_add(1) == 0) {
    const uint64_t value = static_cast<uint64_t>(signal_number);
    (void)!write(g_event_fd.load(), &value, sizeof(value));
  } else {
    constexpr char kMessage[] = "second signal: exiting at once, without waiting for requests in flight\n";
    (void)!write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
    _exit(128 + signal_number);
  }
  errno = saved_errno;
}

}  // namespace

struct ShutdownSignal::Impl {
  CancellationSource source;
  absl::Mutex mu;
};

ShutdownSignal::ShutdownSignal() : impl_(new Impl) {
  const int fd = eventfd(0, EFD_CLOEXEC);
  g_event_fd.store(fd);
  // The watcher is detached on purpose: it lives as long as the process and holds nothing that must be given back.
  std::thread([this, fd] {
    uint64_t signal_number = 0;
    while (read(fd, &signal_number, sizeof(signal_number)) < 0 && errno == EINTR) {
    }
    Request(signal_number == SIGINT ? "SIGINT" : "SIGTERM");
  }).detach();
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

ShutdownSignal& ShutdownSignal::Install() {
  static ShutdownSignal* const signal = new ShutdownSignal;
  return *signal;
}

std::string ShutdownSignal::reason() const { return std::string(token().status().message()); }

void ShutdownSignal::Wait() { WaitUntil(absl::InfiniteFuture()); }

bool ShutdownSignal::WaitUntil(absl::Time deadline, Clock& clock) {
  const auto requested = [this] { return this->requested(); };
  absl::MutexLock lock(&impl_->mu);
  return clock.AwaitWithDeadline(&impl_->mu, absl::Condition(&requested), deadline);
}

void ShutdownSignal::Request(absl::string_view reason) {
  impl_->source.Cancel(absl::CancelledError(reason));
  // Taking and leaving the lock makes waiters look at their condition again.
  absl::MutexLock wake(&impl_->mu);
}

CancellationToken ShutdownSignal::token() const { return impl_->source.token(); }

}  // namespace alcove
