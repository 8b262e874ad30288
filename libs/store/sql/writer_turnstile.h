#pragma once

// Fair turns among processes that write one SQLite file. SQLite's own lock is polled: a process that commits without
// pause would starve the others until their busy timeout. Here a writer first takes the byte "next", then the byte
// "now", and gives "next" back: whoever has just written finds "next" taken by the one who waits.
//
// The locks are open-file-description locks on <database>-turn: the kernel drops them when a process dies.

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace alcove::store::sql {

// One thread at a time.
class WriterTurnstile {
 public:
  static absl::StatusOr<std::unique_ptr<WriterTurnstile>> Open(const std::string& path);
  ~WriterTurnstile();
  WriterTurnstile(const WriterTurnstile&) = delete;
  WriterTurnstile& operator=(const WriterTurnstile&) = delete;

  // UNAVAILABLE when another process held its turn for the whole timeout.
  absl::Status Acquire(absl::Duration timeout);
  void Release();

 private:
  WriterTurnstile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  absl::StatusOr<bool> TryLock(int byte);
  void Unlock(int byte);
  absl::Status Wait(int byte, absl::Time deadline);

  const int fd_;
  const std::string path_;
};

}  // namespace alcove::store::sql
