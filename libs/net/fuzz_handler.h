#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "libs/net/exchange.h"
#include "libs/net/server_state.h"
#include "libs/net/server_stream.h"

namespace alcove::net {

// The application behind fuzzed sessions: reads whole bodies on some paths, streams on others, drops the rest.
class FuzzHandler final : public Handler {
 public:
  void OnExchange(std::shared_ptr<Exchange> exchange) override {
    const size_t kind = exchange->request().target.size() % 4;
    if (kind == 0) {
      exchange->Respond({.status = 200, .headers = {}, .body = "ok"});
    } else if (kind < 3) {
      asio::co_spawn(exchange->executor(), Read(exchange, kind == 2), asio::detached);
    }
  }

 private:
  static asio::awaitable<void> Read(std::shared_ptr<Exchange> exchange, bool stream) {
    absl::StatusOr<std::string> body = co_await exchange->ReadBody(4096);
    if (!body.ok()) co_return;
    if (!stream) {
      exchange->Respond({.status = 200, .headers = {}, .body = *std::move(body)});
      co_return;
    }
    exchange->StartResponse(200, {});
    const absl::Status written = co_await exchange->Write(*std::move(body));
    if (written.ok()) exchange->Finish({});
  }
};

// Feeds a new Session `prefix` and then the input, in pieces whose size the input's first byte chooses.
template <typename Session>
void FuzzSession(const uint8_t* data, size_t size, std::string_view prefix) {
  if (size == 0) return;
  static const ServerOptions options = [] {
    ServerOptions o;
    o.limits.max_header_bytes = 4096;
    o.limits.max_body_bytes = 16384;
    return o;
  }();
  Loop loop(0);
  FuzzHandler handler;
  ServerState state(loop, options);
  state.handler = &handler;
  {
    Session session(state);
    if (!prefix.empty()) session.OnBytes(prefix);
    const size_t step = size_t{data[0]} + 1;
    for (size_t at = 1; at < size; at += step) {
      const size_t n = std::min(step, size - at);
      session.OnBytes(std::string_view(reinterpret_cast<const char*>(data + at), n));
      loop.RunReady();
      std::string out;
      session.Produce(out, 1 << 16);
    }
    session.OnClosed(absl::CancelledError("end of input"));
    loop.RunReady();
  }
  loop.RunReady();
}

}  // namespace alcove::net
