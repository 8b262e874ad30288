#pragma once

#include <type_traits>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace alcove::gateway {

namespace asio = boost::asio;

// Runs a blocking function (a call of the store) on a worker thread; the awaiting coroutine goes on, on its own loop,
// when it has returned. The result must be default-constructible.
template <typename Function>
asio::awaitable<std::invoke_result_t<Function&>> RunBlocking(asio::thread_pool& workers, Function function) {
  using Result = std::invoke_result_t<Function&>;
  // Named, not a temporary of the co_await expression: g++ 12 destroys such a closure twice.
  auto work = [function = std::move(function)]() mutable -> asio::awaitable<Result> { co_return function(); };
  co_return co_await asio::co_spawn(workers.get_executor(), std::move(work), asio::use_awaitable);
}

}  // namespace alcove::gateway
