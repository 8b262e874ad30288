// One blocking connection on hiredis. No exceptions, no globals; not thread safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "services/cache/redis/redis_client.h"

struct redisContext;

namespace alcove::cache {

class RedisConnection {
 public:
  // Connects, authenticates and selects the database.
  static absl::StatusOr<RedisConnection> Open(const RedisAddress& address, absl::Duration connect_timeout,
                                              absl::Duration command_timeout);

  // Sends all commands at once and reads one reply for each, in order. After an error status for the whole call the
  // connection is of no more use; error replies of single commands are in the vector.
  absl::StatusOr<std::vector<absl::StatusOr<RedisReply>>> Pipeline(
      const std::vector<const std::vector<std::string>*>& commands);
  // The next pushed message of a subscription; DEADLINE_EXCEEDED after command_timeout without one (the connection
  // stays good then).
  absl::StatusOr<RedisReply> ReadMessage();

 private:
  struct Deleter {
    void operator()(redisContext* context) const;
  };
  explicit RedisConnection(redisContext* context) : context_(context) {}
  std::unique_ptr<redisContext, Deleter> context_;
};

}  // namespace alcove::cache
