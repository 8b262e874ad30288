// Who asks, until when, and whether they still want the answer. One RequestContext goes first to every function that
// does work for a request; it is cheap to copy (three words and two reference counts).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "libs/common/trace.h"

namespace alcove {

// How much a request matters when not everything can be served; the order is from most to least.
enum class Criticality : uint8_t { kCritical = 0, kHigh = 1, kNormal = 2, kLow = 3 };

// "critical", "high", "normal", "low".
absl::string_view CriticalityName(Criticality criticality);
// The inverse; nullopt for any other text.
std::optional<Criticality> ParseCriticality(absl::string_view name);

namespace cancellation_internal {
class State;
}

// Keeps a cancellation callback registered. Destroying it unregisters; if the callback is running on another thread
// just then, the destructor waits for it, so a callback never outlives what it captured.
class CancellationRegistration {
 public:
  CancellationRegistration() = default;
  CancellationRegistration(CancellationRegistration&&) noexcept = default;
  CancellationRegistration& operator=(CancellationRegistration&& other) noexcept;
  ~CancellationRegistration() { Reset(); }
  void Reset();

 private:
  friend class CancellationToken;
  CancellationRegistration(std::shared_ptr<cancellation_internal::State> state, uint64_t id)
      : state_(std::move(state)), id_(id) {}
  std::shared_ptr<cancellation_internal::State> state_;
  uint64_t id_ = 0;
};

// Reads one CancellationSource. Thread safe; copying is a reference count. A default token is never cancelled.
class CancellationToken {
 public:
  CancellationToken() = default;

  // One atomic load; fit for inner loops.
  bool cancelled() const;
  // OK, or the status given to Cancel().
  absl::Status status() const;
  // Calls `callback` once, on the thread that cancels, or at once when already cancelled. It must be short and must not
  // destroy its own registration.
  [[nodiscard]] CancellationRegistration OnCancel(std::function<void()> callback) const;
  // Whether anything could ever cancel it.
  bool can_be_cancelled() const { return state_ != nullptr; }

 private:
  friend class CancellationSource;
  explicit CancellationToken(std::shared_ptr<cancellation_internal::State> state) : state_(std::move(state)) {}
  std::shared_ptr<cancellation_internal::State> state_;
};

// Cancels the tokens it gives out. Thread safe.
class CancellationSource {
 public:
  CancellationSource();
  // A source that is also cancelled when `parent` is.
  explicit CancellationSource(const CancellationToken& parent);
  CancellationSource(CancellationSource&&) noexcept = default;
  CancellationSource& operator=(CancellationSource&&) noexcept = default;
  ~CancellationSource();

  CancellationToken token() const { return CancellationToken(state_); }
  // Cancels once; later calls have no effect. `reason` must not be OK. Returns whether this call was the one.
  bool Cancel(absl::Status reason = absl::CancelledError("the request was cancelled"));

 private:
  std::shared_ptr<cancellation_internal::State> state_;
  CancellationRegistration parent_;
};

// An immutable value; the With… functions return changed copies. Thread safe for reading.
class RequestContext {
 public:
  // What does not change during a request.
  struct Identity {
    std::string tenant;      // whose data may be touched; empty only for the process's own background work
    std::string request_id;  // shown to the client and in every log line
    std::string key_id;      // public id of the API key used, empty when none; never the key itself
    TraceContext trace;
  };

  // Background work: no tenant, no deadline, never cancelled, normal criticality.
  RequestContext();
  explicit RequestContext(Identity identity, absl::Time deadline = absl::InfiniteFuture(),
                          CancellationToken cancellation = {}, Criticality criticality = Criticality::kNormal);

  const std::string& tenant() const { return identity_->tenant; }
  const std::string& request_id() const { return identity_->request_id; }
  const std::string& key_id() const { return identity_->key_id; }
  const TraceContext& trace() const { return identity_->trace; }
  absl::Time deadline() const { return deadline_; }
  bool has_deadline() const { return deadline_ != absl::InfiniteFuture(); }
  const CancellationToken& cancellation() const { return cancellation_; }
  Criticality criticality() const { return criticality_; }

  // Time left, never negative; absl::InfiniteDuration() without a deadline.
  absl::Duration Remaining(const Clock& clock = *RealClock()) const;
  // OK, the cancellation's status, or DEADLINE_EXCEEDED. Call it between pieces of work of a millisecond or so.
  absl::Status Check(const Clock& clock = *RealClock()) const;

  // The earlier of the two deadlines holds: a callee can shorten its caller's deadline, never extend it.
  RequestContext WithDeadline(absl::Time deadline) const;
  RequestContext WithTimeout(absl::Duration timeout, const Clock& clock = *RealClock()) const;
  // Replaces the token; make it from CancellationSource(ctx.cancellation()) to keep the caller's cancellation.
  RequestContext WithCancellation(CancellationToken cancellation) const;
  RequestContext WithCriticality(Criticality criticality) const;
  RequestContext WithIdentity(Identity identity) const;
  // The same identity inside a child span.
  RequestContext WithChildSpan() const;

 private:
  std::shared_ptr<const Identity> identity_;
  absl::Time deadline_ = absl::InfiniteFuture();
  CancellationToken cancellation_;
  Criticality criticality_ = Criticality::kNormal;
};

}  // namespace alcove
