#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace alcove::net {

// One deadline in a TimerWheel. Intrusive: the owner embeds it, and destroying it cancels it.
class TimerEntry {
 public:
  TimerEntry() = default;
  virtual ~TimerEntry() { Unlink(); }
  TimerEntry(const TimerEntry&) = delete;
  TimerEntry& operator=(const TimerEntry&) = delete;

  bool armed() const { return next_ != nullptr; }

 private:
  friend class TimerWheel;
  // The deadline passed; the entry is disarmed already and may be armed again or destroyed here.
  virtual void OnTimer() = 0;
  void Unlink();

  TimerEntry* prev_ = nullptr;
  TimerEntry* next_ = nullptr;
  size_t* count_ = nullptr;
  int64_t deadline_tick_ = 0;
};

// A timer that calls one member function of its owner.
template <typename Owner, void (Owner::*Method)()>
class MemberTimer final : public TimerEntry {
 public:
  explicit MemberTimer(Owner* owner) : owner_(owner) {}

 private:
  void OnTimer() override { (owner_->*Method)(); }
  Owner* owner_;
};

// A hashed timing wheel (Varghese & Lauck 1987, scheme 6): arm and cancel are O(1) and allocate nothing, which a timer
// per request must not do. Deadlines fire in the first tick at or after they fall due: up to one tick late, never
// early.
//
// Pure: time is passed in. Thread safety: none.
class TimerWheel {
 public:
  static constexpr int64_t kTickNs = 2'000'000;

  explicit TimerWheel(size_t slots = 2048);
  ~TimerWheel();

  // Arms (or moves) `entry` to fire at `deadline_ns`, on the same clock as Advance.
  void Arm(TimerEntry& entry, int64_t deadline_ns);
  void Cancel(TimerEntry& entry) { entry.Unlink(); }

  // Fires everything due at `now_ns`. Entries armed from within OnTimer fire in a later call at the earliest.
  void Advance(int64_t now_ns);

  size_t armed() const { return count_; }

  // A time at or before the next deadline, for the thread that sleeps until then; INT64_MAX when nothing is armed.
  int64_t NextWakeNs() const;
  // `hook` is called by Arm when a deadline falls before the time last given to SetWake.
  void SetWakeHook(std::function<void()> hook) { wake_hook_ = std::move(hook); }
  void SetWake(int64_t wake_ns) { wake_ns_ = wake_ns; }

 private:
  struct Head final : TimerEntry {
    Head();
    void OnTimer() override {}
  };
  void Link(Head& head, TimerEntry& entry);

  std::vector<Head> slots_;
  size_t count_ = 0;
  int64_t current_tick_ = 0;
  std::function<void()> wake_hook_;
  int64_t wake_ns_ = INT64_MAX;
};

}  // namespace alcove::net
