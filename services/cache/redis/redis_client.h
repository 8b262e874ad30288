// Redis, asynchronously: commands from any thread are gathered into pipelines on a few connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

namespace alcove::cache {

struct RedisOptions {
  std::string url;  // redis://[user:password@]host[:port][/database] or unix:/path/to/socket
  size_t connections = 2;
  absl::Duration connect_timeout = absl::Milliseconds(250);
  absl::Duration command_timeout = absl::Milliseconds(250);
  absl::Duration min_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
  size_t max_queue = 20'000;  // commands waiting; more are refused
};

struct RedisAddress {
  std::string socket;  // Unix socket path; empty for TCP
  std::string host;
  uint16_t port = 6379;
  std::string user;
  std::string password;
  int database = 0;
};
// INVALID_ARGUMENT says what is wrong with the text, without repeating a password.
absl::StatusOr<RedisAddress> ParseRedisUrl(absl::string_view url);

// One reply. `values` holds the parts of an array reply; an absent part is nullopt.
struct RedisReply {
  std::optional<std::string> text;  // bulk or simple string; nullopt for nil
  int64_t integer = 0;
  std::vector<std::optional<std::string>> values;
};
using RedisCallback = absl::AnyInvocable<void(absl::StatusOr<RedisReply>)>;

// While Redis cannot be reached, commands fail at once with UNAVAILABLE, and one attempt to connect is made per backoff
// interval: an outage costs callers nothing but the miss. Thread safe.
class RedisClient {
 public:
  // Starts the connection threads; does not wait for a connection.
  static absl::StatusOr<std::unique_ptr<RedisClient>> Create(const RedisOptions& options);
  ~RedisClient();

  // Calls `done` exactly once, on a connection thread or, when the command is refused, on this one. Errors: UNAVAILABLE
  // (no connection, or it broke), DEADLINE_EXCEEDED (no reply in command_timeout), RESOURCE_EXHAUSTED (queue full, or
  // Redis is out of memory), FAILED_PRECONDITION (any other error reply).
  void Send(std::vector<std::string> command, RedisCallback done);
  // As Send, waiting for the reply.
  absl::StatusOr<RedisReply> Call(std::vector<std::string> command);

  // Whether at least one connection works.
  bool available() const { return connected_.load(std::memory_order_relaxed) > 0; }
  uint64_t errors() const { return errors_.load(std::memory_order_relaxed); }
  const RedisAddress& address() const { return address_; }
  const RedisOptions& options() const { return options_; }

 private:
  struct Command {
    std::vector<std::string> words;
    RedisCallback done;
  };
  RedisClient(RedisOptions options, RedisAddress address);
  void RunConnection();
  void FailQueued(const absl::Status& status);

  const RedisOptions options_;
  const RedisAddress address_;
  std::atomic<int> connected_{0};
  std::atomic<int> trying_{0};  // connections that have not yet failed to connect once
  std::atomic<uint64_t> errors_{0};
  absl::Mutex mutex_;
  std::deque<Command> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace alcove::cache
