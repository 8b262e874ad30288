#pragma once

#include <memory>
#include <string>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "libs/net/exchange.h"
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

}  // namespace alcove::net
