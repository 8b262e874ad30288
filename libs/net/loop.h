#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "absl/time/time.h"
#include "libs/net/timer_wheel.h"

namespace alcove {
namespace asio = boost::asio;
}

namespace alcove::net {

// Something with bytes to write at the end of the loop's turn. Intrusive: it is in at most one loop's list.
class Flushable {
 public:
  virtual ~Flushable() = default;

 private:
  friend class Loop;
  virtual void Flush() = 0;
  bool flush_pending_ = false;
};

// One thread's world: an event loop, its timers and its flush list. Connections, upstream pools, limiter state and
// counters belong to exactly one loop and take no locks.
//
// A *turn* is everything made ready by one poll. What wants to write asks for a flush and is flushed once, after every
// handler of the turn has run: one write per connection per turn, however many requests it carries.
//
// Thread safety: everything is for the loop's own thread except Post and Stop.
class Loop {
 public:
  struct Options {
    // Upper bound of busy polling before the thread blocks. Saves a wake-up per request at low concurrency (measured
    // p50 77 → 51 µs at one call in flight) for at most this much CPU per idle period. Default 0: off.
    absl::Duration spin = absl::ZeroDuration();
  };
  explicit Loop(int index) : Loop(index, Options()) {}
  Loop(int index, Options options);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  int index() const { return index_; }
  asio::io_context& io() { return io_; }
  asio::any_io_executor executor() { return io_.get_executor(); }
  TimerWheel& timers() { return timers_; }

  // Runs until Stop. Call from the thread that owns the loop.
  void Run();
  // Runs what is ready without blocking; for tests. Returns the number of handlers run.
  size_t RunReady();
  // Any thread.
  void Stop();
  // Any thread: runs `f` on the loop.
  void Post(std::function<void()> f);

  // Monotonic nanoseconds, read afresh.
  static int64_t NowNs();
  // Monotonic nanoseconds as of the latest Tick, at most a turn old: free of cost.
  int64_t now_ns() const { return now_ns_; }
  // Refreshes now_ns(); connections call it once per read.
  void Tick() { now_ns_ = NowNs(); }

  void RequestFlush(Flushable* f);
  // Must be called before a Flushable dies.
  void CancelFlush(Flushable* f);

  // True on the loop's own thread.
  bool InLoopThread() const { return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }

  // A per-loop random number (xorshift; not for secrets).
  uint64_t Random();

 private:
  static constexpr size_t kMaxFlushesPerTurn = 4096;
  void FlushAll();
  void ArmTimer();

  const int index_;
  std::atomic<std::thread::id> thread_{};
  const Options options_;
  TimerWheel timers_;
  std::vector<Flushable*> flush_;
  bool flush_posted_ = false;
  int64_t now_ns_ = 0;
  uint64_t random_state_;
  // Goes first: handlers that never ran die with it, and with them connections, which let go of timers and flushes.
  asio::io_context io_;
  std::unique_ptr<asio::executor_work_guard<asio::io_context::executor_type>> work_;
  struct WheelTimer;
  std::unique_ptr<WheelTimer> wheel_timer_;
};

}  // namespace alcove::net
