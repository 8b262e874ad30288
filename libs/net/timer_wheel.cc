#include "libs/net/timer_wheel.h"

#include <algorithm>

namespace alcove::net {

void TimerEntry::Unlink() {
  if (next_ == nullptr) return;
  prev_->next_ = next_;
  next_->prev_ = prev_;
  next_ = prev_ = nullptr;
  if (count_ != nullptr) --*count_;
}

TimerWheel::Head::Head() {}

TimerWheel::TimerWheel(size_t slots) : slots_(slots) {
  for (Head& head : slots_) {
    TimerEntry& h = head;
    h.prev_ = h.next_ = &h;
  }
}

TimerWheel::~TimerWheel() {
  // Entries may outlive the wheel; they must not point into it.
  for (Head& head : slots_) {
    TimerEntry& h = head;
    while (h.next_ != &h) h.next_->Unlink();
    h.next_ = h.prev_ = nullptr;
  }
}

void TimerWheel::Link(Head& head, TimerEntry& entry) {
  TimerEntry& h = head;
  entry.prev_ = h.prev_;
  entry.next_ = &h;
  h.prev_->next_ = &entry;
  h.prev_ = &entry;
  entry.count_ = &count_;
  ++count_;
}

void TimerWheel::Arm(TimerEntry& entry, int64_t deadline_ns) {
  entry.Unlink();
  // Rounded up: never early.
  const int64_t tick = deadline_ns <= 0 ? 0 : (deadline_ns + kTickNs - 1) / kTickNs;
  entry.deadline_tick_ = std::max(tick, current_tick_ + 1);
  Link(slots_[static_cast<size_t>(entry.deadline_tick_) % slots_.size()], entry);
  if (entry.deadline_tick_ * kTickNs < wake_ns_ && wake_hook_) wake_hook_();
}

int64_t TimerWheel::NextWakeNs() const {
  if (count_ == 0) return INT64_MAX;
  for (size_t i = 1; i <= slots_.size(); ++i) {
    const int64_t tick = current_tick_ + static_cast<int64_t>(i);
    const TimerEntry& head = slots_[static_cast<size_t>(tick) % slots_.size()];
    if (head.next_ != &head) return tick * kTickNs;
  }
  return (current_tick_ + 1) * kTickNs;
}

void TimerWheel::Advance(int64_t now_ns) {
  const int64_t target = now_ns / kTickNs;
  if (target <= current_tick_) return;
  const int64_t first = current_tick_ + 1;
  // Set before anything fires, so that what OnTimer arms falls behind this call.
  current_tick_ = target;
  if (count_ == 0) return;
  const int64_t last = std::min(target, first + static_cast<int64_t>(slots_.size()) - 1);
  Head due;
  TimerEntry& d = due;
  d.prev_ = d.next_ = &d;
  for (int64_t tick = first; tick <= last; ++tick) {
    TimerEntry& head = slots_[static_cast<size_t>(tick) % slots_.size()];
    for (TimerEntry* e = head.next_; e != &head;) {
      TimerEntry* next = e->next_;
      if (e->deadline_tick_ <= target) {
        e->Unlink();
        Link(due, *e);
      }
      e = next;
    }
  }
  while (d.next_ != &d) {
    TimerEntry* e = d.next_;
    e->Unlink();
    e->OnTimer();
  }
  d.next_ = d.prev_ = nullptr;
}

}  // namespace alcove::net
