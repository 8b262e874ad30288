#include "services/cache/redis/invalidation_bus.h"

#include <algorithm>

#include <absl/random/random.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "libs/common/log.h"
#include "services/cache/redis/redis_connection.h"

namespace alcove::cache {
namespace {

// A message is "<kind> <microseconds> <sender> <name>"; only the name, which comes last, may hold any byte.
constexpr size_t kMaxMessage = 4096;

std::string RandomName() {
  absl::BitGen random;
  return absl::StrCat(absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
}

}  // namespace

std::string EncodeInvalidation(const Invalidation& invalidation, absl::string_view sender) {
  return absl::StrCat(std::string(1, static_cast<char>(invalidation.kind)), " ", absl::ToUnixMicros(invalidation.at),
                      " ", sender, " ", invalidation.name);
}

absl::StatusOr<ReceivedInvalidation> DecodeInvalidation(absl::string_view message) {
  const absl::Status malformed = absl::DataLossError("no invalidation message");
  if (message.size() > kMaxMessage || message.size() < 2 || message[1] != ' ' ||
      (message[0] != 'k' && message[0] != 't')) {
    return malformed;
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(message.substr(2), absl::MaxSplits(' ', 2));
  int64_t micros = 0;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &micros)) return malformed;
  return ReceivedInvalidation{
      {static_cast<Invalidation::Kind>(message[0]), std::string(parts[2]), absl::FromUnixMicros(micros)},
      std::string(parts[1])};
}

InvalidationBus::InvalidationBus(RedisOptions options, RedisAddress address,
                                 std::function<void(const Invalidation&)> on_invalidation, std::function<void()> on_gap)
    : options_(std::move(options)),
      address_(std::move(address)),
      sender_(RandomName()),
      on_invalidation_(std::move(on_invalidation)),
      on_gap_(std::move(on_gap)),
      thread_([this] { Run(); }) {}

InvalidationBus::~InvalidationBus() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

bool InvalidationBus::Stopping() {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

bool InvalidationBus::WaitUntilSubscribed(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&subscribed_), timeout);
}

void InvalidationBus::Run() {
  static const std::vector<std::string> kSubscribe = {"SUBSCRIBE", kChannel};
  absl::Duration backoff = options_.min_backoff;
  bool gap = false;
  while (!Stopping()) {
    auto connection = RedisConnection::Open(address_, options_.connect_timeout, options_.command_timeout);
    absl::Status status = connection.status();
    if (status.ok()) {
      const auto subscribed = connection->Pipeline({&kSubscribe});
      status = subscribed.status();
    }
    if (status.ok()) {
      if (gap) on_gap_();
      backoff = options_.min_backoff;
      {
        absl::MutexLock lock(&mutex_);
        subscribed_ = true;
      }
      while (!Stopping()) {
        const auto message = connection->ReadMessage();
        if (absl::IsDeadlineExceeded(message.status())) continue;
        if (!message.ok()) break;
        if (message->values.size() != 3 || !message->values[2].has_value()) continue;
        const auto received = DecodeInvalidation(*message->values[2]);
        if (received.ok() && received->sender != sender_) on_invalidation_(received->invalidation);
      }
    }
    gap = true;
    absl::MutexLock lock(&mutex_);
    subscribed_ = false;
    mutex_.AwaitWithTimeout(absl::Condition(&stopping_), backoff);
    backoff = std::min(backoff * 2, options_.max_backoff);
  }
}

}  // namespace alcove::cache
