#pragma once

#include <atomic>
#include <cstdint>

namespace alcove::net {

// Counters of one loop: written by it alone, read by any thread.
class LoopCounter {
 public:
  void Add(uint64_t n = 1) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void Subtract(uint64_t n = 1) { Add(~n + 1); }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace alcove::net
