#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace alcove::gateway {

namespace asio = boost::asio;

// Awaits function(0) … function(count - 1), at most `width` of them at a time, all on the awaiting coroutine's
// executor. Completes when every started one has; the function tells by its return value whether later ones are still
// wanted (false: stop starting). Exceptions reach the awaiting coroutine.
template <typename Function>
asio::awaitable<void> ForEachParallel(size_t count, size_t width, Function function) {
  const auto executor = co_await asio::this_coro::executor;
  struct State {
    size_t next = 0;
    size_t running = 0;
    std::exception_ptr error;
  };
  State state;
  asio::steady_timer finished(executor, asio::steady_timer::time_point::max());
  auto worker = [&state, &function, count]() -> asio::awaitable<void> {
    while (state.next < count) {
      const size_t index = state.next++;
      const bool go_on = co_await function(index);
      if (!go_on) state.next = count;
    }
  };
  auto on_end = [&state, &finished](std::exception_ptr error) {
    if (error) {
      state.error = error;
    }
    if (--state.running == 0) finished.cancel();
  };
  const size_t workers = std::min(count, std::max<size_t>(width, 1));
  state.running = workers;
  for (size_t i = 0; i < workers; ++i) asio::co_spawn(executor, worker, on_end);
  while (state.running > 0) {
    boost::system::error_code ignored;
    co_await finished.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (state.error) std::rethrow_exception(state.error);
}

}  // namespace alcove::gateway
