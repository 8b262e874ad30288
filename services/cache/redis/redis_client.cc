#include "services/cache/redis/redis_client.h"

#include <algorithm>

#include <absl/random/random.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>

#include "libs/common/log.h"
#include "libs/common/net_address.h"
#include "libs/common/status.h"
#include "services/cache/redis/redis_connection.h"

namespace alcove::cache {
namespace {

constexpr size_t kMaxPipeline = 256;

}  // namespace

absl::StatusOr<RedisAddress> ParseRedisUrl(absl::string_view url) {
  RedisAddress address;
  if (absl::ConsumePrefix(&url, "unix:")) {
    absl::ConsumePrefix(&url, "//");
    if (url.empty() || url.size() > 107) {
      return absl::InvalidArgumentError("a Redis socket path has 1 to 107 bytes: unix:/run/redis.sock");
    }
    address.socket = std::string(url);
    return address;
  }
  if (!absl::ConsumePrefix(&url, "redis://")) {
    return absl::InvalidArgumentError("a Redis URL begins with redis:// or unix:");
  }
  if (const size_t at = url.rfind('@'); at != absl::string_view::npos) {
    const absl::string_view credentials = url.substr(0, at);
    const size_t colon = credentials.find(':');
    if (colon == absl::string_view::npos) {
      return absl::InvalidArgumentError("credentials in a Redis URL are user:password or :password");
    }
    address.user = std::string(credentials.substr(0, colon));
    address.password = std::string(credentials.substr(colon + 1));
    url.remove_prefix(at + 1);
  }
  if (const size_t slash = url.find('/'); slash != absl::string_view::npos) {
    const absl::string_view database = url.substr(slash + 1);
    if (!database.empty() && (!absl::SimpleAtoi(database, &address.database) || address.database < 0)) {
      return absl::InvalidArgumentError("the database in a Redis URL is a number, as in redis://host:6379/0");
    }
    url = url.substr(0, slash);
  }
  const std::string host_port = absl::StrContains(url, ":") ? std::string(url) : absl::StrCat(url, ":6379");
  ALCOVE_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(host_port));
  if (parsed.host.empty()) return absl::InvalidArgumentError("a Redis URL names a host: redis://host:6379");
  address.host = parsed.host;
  address.port = parsed.port;
  return address;
}

absl::StatusOr<std::unique_ptr<RedisClient>> RedisClient::Create(const RedisOptions& options) {
  ALCOVE_ASSIGN_OR_RETURN(RedisAddress address, ParseRedisUrl(options.url));
  return std::unique_ptr<RedisClient>(new RedisClient(options, std::move(address)));
}

RedisClient::RedisClient(RedisOptions options, RedisAddress address)
    : options_(std::move(options)), address_(std::move(address)) {
  const size_t connections = std::max<size_t>(options_.connections, 1);
  trying_ = static_cast<int>(connections);
  for (size_t i = 0; i < connections; ++i) threads_.emplace_back([this] { RunConnection(); });
}

RedisClient::~RedisClient() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
  FailQueued(absl::UnavailableError("the Redis client is stopping"));
}

void RedisClient::FailQueued(const absl::Status& status) {
  std::deque<Command> failed;
  {
    absl::MutexLock lock(&mutex_);
    failed.swap(queue_);
  }
  errors_.fetch_add(failed.size(), std::memory_order_relaxed);
  for (Command& command : failed) command.done(status);
}

void RedisClient::Send(std::vector<std::string> command, RedisCallback done) {
  absl::Status refused;
  if (!available() && trying_.load(std::memory_order_relaxed) == 0) {
    refused = absl::UnavailableError("Redis cannot be reached");
  } else {
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      refused = absl::UnavailableError("the Redis client is stopping");
    } else if (queue_.size() >= options_.max_queue) {
      refused = absl::ResourceExhaustedError("too many commands are waiting for Redis");
    } else {
      queue_.push_back({std::move(command), std::move(done)});
      return;
    }
  }
  errors_.fetch_add(1, std::memory_order_relaxed);
  done(refused);
}

absl::StatusOr<RedisReply> RedisClient::Call(std::vector<std::string> command) {
  absl::Notification arrived;
  absl::StatusOr<RedisReply> reply = absl::UnknownError("no reply");
  Send(std::move(command), [&](absl::StatusOr<RedisReply> result) {
    reply = std::move(result);
    arrived.Notify();
  });
  arrived.WaitForNotification();
  return reply;
}

void RedisClient::RunConnection() {
  absl::BitGen random;
  absl::Duration backoff = options_.min_backoff;
  bool first = true;
  for (;;) {
    auto connection = RedisConnection::Open(address_, options_.connect_timeout, options_.command_timeout);
    if (first) {
      if (connection.ok()) connected_.fetch_add(1);
      trying_.fetch_sub(1);
    } else if (connection.ok()) {
      connected_.fetch_add(1);
    }
    if (!connection.ok()) {
      if (first || backoff == options_.max_backoff) {
        LogWarning("Redis cannot be reached; serving without it", {{"error", connection.status().message()}});
      }
      first = false;
      // Another connection may still work; only when none does are callers answered at once.
      if (!available()) FailQueued(connection.status());
      absl::MutexLock lock(&mutex_);
      const auto stop = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; };
      if (mutex_.AwaitWithTimeout(absl::Condition(&stop), backoff * absl::Uniform(random, 0.5, 1.0))) return;
      backoff = std::min(backoff * 2, options_.max_backoff);
      continue;
    }
    if (backoff != options_.min_backoff) LogInfo("Redis can be reached again", {});
    first = false;
    backoff = options_.min_backoff;

    bool healthy = true;
    while (healthy) {
      std::vector<Command> batch;
      {
        absl::MutexLock lock(&mutex_);
        const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !queue_.empty(); };
        mutex_.Await(absl::Condition(&has_work));
        if (stopping_) break;
        while (!queue_.empty() && batch.size() < kMaxPipeline) {
          batch.push_back(std::move(queue_.front()));
          queue_.pop_front();
        }
      }
      std::vector<const std::vector<std::string>*> commands;
      for (const Command& command : batch) commands.push_back(&command.words);
      auto replies = connection->Pipeline(commands);
      if (!replies.ok()) {
        healthy = false;
        connected_.fetch_sub(1);
        errors_.fetch_add(batch.size(), std::memory_order_relaxed);
        for (Command& command : batch) command.done(replies.status());
        LogWarning("the connection to Redis broke", {{"error", replies.status().message()}});
        if (!available()) FailQueued(replies.status());
        break;
      }
      for (size_t i = 0; i < batch.size(); ++i) {
        if (!(*replies)[i].ok()) errors_.fetch_add(1, std::memory_order_relaxed);
        batch[i].done(std::move((*replies)[i]));
      }
    }
    if (healthy) {
      connected_.fetch_sub(1);
      return;
    }
  }
}

}  // namespace alcove::cache
