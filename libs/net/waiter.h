#pragma once

#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/functional/any_invocable.h"

namespace alcove {
namespace asio = boost::asio;
}

namespace alcove::net {

// Lets one coroutine wait for the next Notify. The waiting coroutine is resumed by the executor, never from within
// Notify, so the notifier may be in the middle of anything.
// Thread safety: none; both sides run on the executor's one thread.
class Waiter {
 public:
  explicit Waiter(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // At most one coroutine waits at a time. Spurious wake-ups are possible: check the condition in a loop.
  asio::awaitable<void> Wait() {
    return asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
        [this](auto handler) { handler_ = [h = std::move(handler)]() mutable { std::move(h)(); }; },
        asio::use_awaitable);
  }
  void Notify() {
    if (handler_) asio::post(executor_, [h = std::exchange(handler_, nullptr)]() mutable { h(); });
  }
  bool waiting() const { return handler_ != nullptr; }

 private:
  asio::any_io_executor executor_;
  // Boost 1.81's any_completion_handler recurses without end when it is posted.
  absl::AnyInvocable<void()> handler_;
};

}  // namespace alcove::net
