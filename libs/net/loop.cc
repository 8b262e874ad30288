#include "libs/net/loop.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace alcove::net {

// The one Asio timer of a loop: it drives the wheel, and sleeps while nothing is armed.
struct Loop::WheelTimer {
  explicit WheelTimer(asio::io_context& io) : timer(io) {}
  asio::steady_timer timer;
};

Loop::Loop(int index, Options options)
    : index_(index),
      options_(options),
      io_(1),
      work_(std::make_unique<asio::executor_work_guard<asio::io_context::executor_type>>(io_.get_executor())),
      wheel_timer_(std::make_unique<WheelTimer>(io_)) {
  Tick();
  timers_.Advance(now_ns_);
  random_state_ = static_cast<uint64_t>(now_ns_) * 0x9E3779B97F4A7C15ULL + static_cast<uint64_t>(index) + 1;
  timers_.SetWakeHook([this] { ArmTimer(); });
}

Loop::~Loop() {
  // Nothing is begun any more by what dies with the handlers.
  timers_.SetWakeHook([] {});
  flush_posted_ = true;
}

int64_t Loop::NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Loop::Run() {
  thread_ = std::this_thread::get_id();
  const int64_t spin_ns = absl::ToInt64Nanoseconds(options_.spin);
  while (!io_.stopped()) {
    Tick();
    if (io_.poll() != 0) continue;
    if (spin_ns > 0) {
      const int64_t until = NowNs() + spin_ns;
      bool worked = false;
      do {
        worked = io_.poll() != 0;
      } while (!worked && !io_.stopped() && NowNs() < until);
      if (worked) continue;
    }
    io_.run_one();
  }
}

size_t Loop::RunReady() {
  thread_ = std::this_thread::get_id();
  Tick();
  timers_.Advance(now_ns_);
  io_.restart();
  return io_.poll();
}

void Loop::Stop() { io_.stop(); }

void Loop::Post(std::function<void()> f) { asio::post(io_, std::move(f)); }

void Loop::RequestFlush(Flushable* f) {
  if (f->flush_pending_) return;
  f->flush_pending_ = true;
  flush_.push_back(f);
  if (flush_posted_) return;
  flush_posted_ = true;
  // Posted work runs after everything this poll made ready: that is the end of the turn.
  asio::post(io_, [this] { FlushAll(); });
}

void Loop::CancelFlush(Flushable* f) {
  if (!f->flush_pending_) return;
  f->flush_pending_ = false;
  std::replace(flush_.begin(), flush_.end(), f, static_cast<Flushable*>(nullptr));
}

void Loop::FlushAll() {
  flush_posted_ = false;
  // A flush may ask for others (a response that completes an upstream stream): those run in this pass too.
  for (size_t i = 0; i < flush_.size(); ++i) {
    Flushable* f = flush_[i];
    if (f == nullptr) continue;
    flush_[i] = nullptr;
    f->flush_pending_ = false;
    f->Flush();
    if (i == kMaxFlushesPerTurn) break;
  }
  flush_.erase(std::remove(flush_.begin(), flush_.end(), nullptr), flush_.end());
  if (!flush_.empty() && !flush_posted_) {
    flush_posted_ = true;
    asio::post(io_, [this] { FlushAll(); });
  }
}

void Loop::ArmTimer() {
  const int64_t wake = timers_.NextWakeNs();
  timers_.SetWake(wake);
  if (wake == INT64_MAX) return;
  // Setting a new expiry cancels the wait before it.
  wheel_timer_->timer.expires_at(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(wake)));
  wheel_timer_->timer.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    Tick();
    timers_.SetWake(0);  // what OnTimer arms waits for the ArmTimer below
    timers_.Advance(now_ns_);
    ArmTimer();
  });
}

uint64_t Loop::Random() {
  uint64_t x = random_state_;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  random_state_ = x;
  return x * 0x2545F4914F6CDD1DULL;
}

}  // namespace alcove::net
