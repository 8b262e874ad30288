#pragma once

#include <cstdint>

namespace alcove::gateway {

// A bound on what is in flight. Thread safety: none; each loop has its own share.
class ConcurrencyLimit {
 public:
  explicit ConcurrencyLimit(uint32_t limit = 0) : limit_(limit) {}  // 0: no limit
  bool TryAcquire() {
    if (limit_ != 0 && in_flight_ >= limit_) return false;
    ++in_flight_;
    return true;
  }
  bool HasRoom() const { return limit_ == 0 || in_flight_ < limit_; }
  void Release() {
    if (in_flight_ > 0) --in_flight_;
  }
  uint32_t in_flight() const { return in_flight_; }
  uint32_t limit() const { return limit_; }

 private:
  uint32_t limit_;
  uint32_t in_flight_ = 0;
};

}  // namespace alcove::gateway
