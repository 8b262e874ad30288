// Tells the other processes that share a Redis which entries and tags are no longer good.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "services/cache/redis/redis_client.h"

namespace alcove::cache {

struct Invalidation {
  enum class Kind : char { kKey = 'k', kTag = 't' };
  Kind kind;
  std::string name;  // full key or tag name
  absl::Time at;
};
// The message that says so; DecodeInvalidation is its inverse. DATA_LOSS for anything else.
std::string EncodeInvalidation(const Invalidation& invalidation, absl::string_view sender);
struct ReceivedInvalidation {
  Invalidation invalidation;
  std::string sender;
};
absl::StatusOr<ReceivedInvalidation> DecodeInvalidation(absl::string_view message);

// Listens on a connection of its own. `on_invalidation` and `on_gap` are called from the listening thread; `on_gap`
// says that messages may have been missed (at every connection but the first, and when the first fails).
class InvalidationBus {
 public:
  static constexpr char kChannel[] = "alcove:cache:invalidate";

  InvalidationBus(RedisOptions options, RedisAddress address, std::function<void(const Invalidation&)> on_invalidation,
                  std::function<void()> on_gap);
  ~InvalidationBus();

  // This process's name in messages; its own messages are not reported back to it.
  const std::string& sender() const { return sender_; }
  // Waits until the subscription stands; false after `timeout`.
  bool WaitUntilSubscribed(absl::Duration timeout);

 private:
  void Run();
  bool Stopping();

  const RedisOptions options_;
  const RedisAddress address_;
  const std::string sender_;
  const std::function<void(const Invalidation&)> on_invalidation_;
  const std::function<void()> on_gap_;
  absl::Mutex mutex_;
  bool subscribed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace alcove::cache
