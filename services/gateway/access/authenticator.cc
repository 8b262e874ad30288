#include "services/gateway/access/authenticator.h"

#include <utility>

#include "libs/common/log.h"
#include "libs/common/status.h"
#include "services/gateway/access/api_key.h"
#include "services/gateway/access/blocking.h"

namespace alcove::gateway {

Authenticator::Authenticator(KeyDirectory* directory, asio::thread_pool* workers, Clock* clock)
    : directory_(directory), workers_(workers), clock_(clock) {
  if (directory_ == nullptr) {
    auto anybody = std::make_shared<Caller>();
    anybody->tenant = "default";
    anybody->admin = true;
    anybody_ = std::move(anybody);
  }
}

const Authenticator::Entry* Authenticator::FindFresh(const std::string& hash, absl::Time now) {
  const auto it = entries_.find(hash);
  if (it == entries_.end()) return nullptr;
  const Entry& entry = it->second;
  if (entry.epoch != directory_->epoch()) return nullptr;
  if (now - entry.read_at > (entry.caller != nullptr ? kFresh : kNegative)) return nullptr;
  if (entry.caller != nullptr && now >= entry.caller->expires_at) return nullptr;
  return &entry;
}

void Authenticator::Remember(const std::string& hash, Entry entry) {
  // Guessed keys must not push out the real ones one by one; starting afresh costs one read per key in use.
  if (entries_.size() >= kMaxEntries) entries_.clear();
  entries_.insert_or_assign(hash, std::move(entry));
}

Authenticator::Answer Authenticator::Check(const net::HeaderList& headers) {
  if (directory_ == nullptr) return {Verdict::kKnown, anybody_, absl::OkStatus()};
  const absl::StatusOr<std::string_view> secret = FindApiKey(headers);
  if (!secret.ok()) return {Verdict::kRefused, nullptr, secret.status()};
  const absl::Time now = clock_->Now();
  const Entry* entry = FindFresh(HashApiKey(*secret), now);
  if (entry == nullptr) return {Verdict::kAskStore, nullptr, absl::OkStatus()};
  if (entry->caller == nullptr) return {Verdict::kRefused, nullptr, entry->status};
  entry->caller->usage->Touch(now);
  return {Verdict::kKnown, entry->caller, absl::OkStatus()};
}

asio::awaitable<absl::StatusOr<std::shared_ptr<const Caller>>> Authenticator::Authenticate(
    const net::HeaderList& headers) {
  Answer answer = Check(headers);
  if (answer.verdict == Verdict::kKnown) co_return std::move(answer.caller);
  if (answer.verdict == Verdict::kRefused) co_return std::move(answer.status);

  const absl::StatusOr<std::string_view> secret = FindApiKey(headers);
  if (secret->size() < 16 || secret->size() > 256) {
    co_return WithReason(absl::UnauthenticatedError("the API key is not known"), "KEY_UNKNOWN");
  }
  const std::string hash = HashApiKey(*secret);
  Entry entry;
  entry.epoch = directory_->epoch();
  auto load = [directory = directory_, hash] { return directory->Load(hash); };
  absl::StatusOr<std::shared_ptr<const Caller>> loaded = co_await RunBlocking(*workers_, std::move(load));
  entry.read_at = clock_->Now();
  if (loaded.ok()) {
    entry.caller = *loaded;
    entry.caller->usage->Touch(entry.read_at);
    Remember(hash, std::move(entry));
    co_return std::move(*loaded);
  }
  const absl::StatusCode code = loaded.status().code();
  if (code == absl::StatusCode::kUnauthenticated || code == absl::StatusCode::kPermissionDenied) {
    entry.status = loaded.status();
    Remember(hash, std::move(entry));
    co_return loaded.status();
  }
  // The store is away. What was true a moment ago is the best there is.
  const auto it = entries_.find(hash);
  if (it != entries_.end() && it->second.caller != nullptr && entry.read_at - it->second.read_at < kStale &&
      entry.read_at < it->second.caller->expires_at) {
    static LogLimiter limiter(absl::Seconds(10));
    if (limiter.Allow()) LogWarning("keys are served from memory", {{"error", loaded.status()}});
    co_return it->second.caller;
  }
  co_return absl::UnavailableError(loaded.status().message());
}

}  // namespace alcove::gateway
