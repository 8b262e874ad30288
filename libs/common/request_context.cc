#include "libs/common/request_context.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "libs/common/status.h"

namespace alcove {
namespace cancellation_internal {

// Callbacks run outside the lock, one after the other; Remove() waits for the one that is running unless it is called
// from inside it.
class State {
 public:
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  absl::Status status() const {
    if (!cancelled()) return absl::OkStatus();
    absl::MutexLock lock(&mu_);
    return reason_;
  }

  // Returns 0 after running the callback when already cancelled.
  uint64_t Add(std::function<void()> callback) {
    {
      absl::MutexLock lock(&mu_);
      if (!cancelled_.load(std::memory_order_relaxed)) {
        callbacks_.push_back({next_id_, std::move(callback)});
        return next_id_++;
      }
    }
    callback();
    return 0;
  }

  void Remove(uint64_t id) {
    absl::MutexLock lock(&mu_);
    const auto it = std::find_if(callbacks_.begin(), callbacks_.end(), [id](const Entry& e) { return e.id == id; });
    if (it != callbacks_.end()) {
      callbacks_.erase(it);
      return;
    }
    if (running_ != id || runner_ == std::this_thread::get_id()) return;
    const auto finished = [this, id]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return running_ != id; };
    mu_.Await(absl::Condition(&finished));
  }

  bool Cancel(absl::Status reason) {
    absl::MutexLock lock(&mu_);
    if (cancelled_.load(std::memory_order_relaxed)) return false;
    reason_ = std::move(reason);
    cancelled_.store(true, std::memory_order_release);
    runner_ = std::this_thread::get_id();
    while (!callbacks_.empty()) {
      Entry entry = std::move(callbacks_.back());
      callbacks_.pop_back();
      running_ = entry.id;
      mu_.Unlock();
      entry.callback();
      entry.callback = nullptr;  // what it captured goes before Remove() may return
      mu_.Lock();
      running_ = 0;
    }
    return true;
  }

 private:
  struct Entry {
    uint64_t id;
    std::function<void()> callback;
  };

  std::atomic<bool> cancelled_{false};
  mutable absl::Mutex mu_;
  absl::Status reason_ ABSL_GUARDED_BY(mu_);
  std::vector<Entry> callbacks_ ABSL_GUARDED_BY(mu_);
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t running_ ABSL_GUARDED_BY(mu_) = 0;
  std::thread::id runner_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cancellation_internal

namespace {

constexpr absl::string_view kCriticalityNames[] = {"critical", "high", "normal", "low"};

const std::shared_ptr<const RequestContext::Identity>& NoIdentity() {
  static const auto* const identity =
      new std::shared_ptr<const RequestContext::Identity>(std::make_shared<const RequestContext::Identity>());
  return *identity;
}

}  // namespace

absl::string_view CriticalityName(Criticality criticality) {
  return kCriticalityNames[static_cast<size_t>(criticality) & 3];
}

std::optional<Criticality> ParseCriticality(absl::string_view name) {
  for (size_t i = 0; i < 4; ++i) {
    if (kCriticalityNames[i] == name) return static_cast<Criticality>(i);
  }
  return std::nullopt;
}

CancellationRegistration& CancellationRegistration::operator=(CancellationRegistration&& other) noexcept {
  if (this != &other) {
    Reset();
    state_ = std::move(other.state_);
    id_ = std::exchange(other.id_, 0);
  }
  return *this;
}

void CancellationRegistration::Reset() {
  if (state_ != nullptr && id_ != 0) state_->Remove(id_);
  state_ = nullptr;
  id_ = 0;
}

bool CancellationToken::cancelled() const { return state_ != nullptr && state_->cancelled(); }

absl::Status CancellationToken::status() const { return state_ == nullptr ? absl::OkStatus() : state_->status(); }

CancellationRegistration CancellationToken::OnCancel(std::function<void()> callback) const {
  if (state_ == nullptr) return {};
  const uint64_t id = state_->Add(std::move(callback));
  return id == 0 ? CancellationRegistration() : CancellationRegistration(state_, id);
}

CancellationSource::CancellationSource() : state_(std::make_shared<cancellation_internal::State>()) {}

CancellationSource::CancellationSource(const CancellationToken& parent) : CancellationSource() {
  // The callback holds the child's state, not the source: the source may be moved.
  parent_ = parent.OnCancel([state = state_, parent_state = parent] { state->Cancel(parent_state.status()); });
}

CancellationSource::~CancellationSource() = default;

bool CancellationSource::Cancel(absl::Status reason) {
  // A callback may destroy this source.
  const std::shared_ptr<cancellation_internal::State> state = state_;
  return state->Cancel(std::move(reason));
}

RequestContext::RequestContext() : identity_(NoIdentity()) {}

RequestContext::RequestContext(Identity identity, absl::Time deadline, CancellationToken cancellation,
                               Criticality criticality)
    : identity_(std::make_shared<const Identity>(std::move(identity))),
      deadline_(deadline),
      cancellation_(std::move(cancellation)),
      criticality_(criticality) {}

absl::Duration RequestContext::Remaining(const Clock& clock) const {
  if (!has_deadline()) return absl::InfiniteDuration();
  return std::max(deadline_ - clock.Now(), absl::ZeroDuration());
}

absl::Status RequestContext::Check(const Clock& clock) const {
  if (cancellation_.cancelled()) return cancellation_.status();
  if (has_deadline() && clock.Now() >= deadline_) {
    return absl::DeadlineExceededError("the request's deadline has passed");
  }
  return absl::OkStatus();
}

RequestContext RequestContext::WithDeadline(absl::Time deadline) const {
  RequestContext changed = *this;
  changed.deadline_ = std::min(deadline_, deadline);
  return changed;
}

RequestContext RequestContext::WithTimeout(absl::Duration timeout, const Clock& clock) const {
  return WithDeadline(clock.Now() + timeout);
}

RequestContext RequestContext::WithCancellation(CancellationToken cancellation) const {
  RequestContext changed = *this;
  changed.cancellation_ = std::move(cancellation);
  return changed;
}

RequestContext RequestContext::WithCriticality(Criticality criticality) const {
  RequestContext changed = *this;
  changed.criticality_ = criticality;
  return changed;
}

RequestContext RequestContext::WithIdentity(Identity identity) const {
  RequestContext changed = *this;
  changed.identity_ = std::make_shared<const Identity>(std::move(identity));
  return changed;
}

RequestContext RequestContext::WithChildSpan() const {
  Identity identity = *identity_;
  identity.trace = ChildSpan(identity.trace);
  return WithIdentity(std::move(identity));
}

}  // namespace alcove
