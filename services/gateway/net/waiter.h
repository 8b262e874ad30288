#pragma once

#include <utility>

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace alcove::gateway {

namespace asio = boost::asio;

// Lets one coroutine wait for the next Notify. The waiting coroutine is resumed by the executor, never from within
// Notify, so the notifier may be in the middle of anything.
// Thread safety: none; both sides run on the executor's one thread.
class Waiter {
 public:
  explicit Waiter(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // At most one coroutine waits at a time. Spurious wake-ups are possible: check the condition in a loop.
  asio::awaitable<void> Wait() {
    return asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
        [this](auto handler) { handler_ = asio::any_completion_handler<void()>(std::move(handler)); },
        asio::use_awaitable);
  }
  void Notify() {
    if (handler_) asio::post(executor_, std::exchange(handler_, nullptr));
  }
  bool waiting() const { return static_cast<bool>(handler_); }

 private:
  asio::any_io_executor executor_;
  asio::any_completion_handler<void()> handler_;
};

}  // namespace alcove::gateway
