#include "libs/net/dial.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <boost/asio/ip/tcp.hpp>

#include "absl/strings/str_cat.h"
#include "libs/common/net_address.h"

namespace alcove::net {
namespace {

using asio::ip::tcp;

// Answers of servers are longer than requests of clients.
constexpr size_t kReadBuffer = 64 * 1024;

}  // namespace

std::shared_ptr<Connection> Dial(Loop& loop, const std::string& address, std::unique_ptr<Protocol> protocol,
                                 absl::Duration timeout, uint32_t attempt, std::unique_ptr<TlsFilter> tls) {
  Connection::Options options;
  options.read_buffer = kReadBuffer;
  auto connection =
      std::make_shared<Connection>(loop, tcp::socket(loop.io()), std::move(protocol), options, std::move(tls));
  const absl::StatusOr<HostPort> target = ParseHostPort(address);
  if (!target.ok()) {
    connection->Close(target.status());
    return connection;
  }
  boost::system::error_code error;
  const auto literal = asio::ip::make_address(target->host, error);
  if (!error) {
    connection->Connect(tcp::endpoint(literal, target->port), timeout);
    return connection;
  }
  auto resolver = std::make_shared<tcp::resolver>(loop.io());
  resolver->async_resolve(
      target->host, std::to_string(target->port),
      [resolver, address, timeout, attempt, connection](const boost::system::error_code& failure,
                                                        const tcp::resolver::results_type& results) {
        if (connection->closed()) return;
        if (failure || results.empty()) {
          connection->Close(absl::UnavailableError(absl::StrCat("cannot resolve ", address, ": ", failure.message())));
          return;
        }
        auto it = results.begin();
        std::advance(it, attempt % results.size());
        connection->Connect(it->endpoint(), timeout);
      });
  return connection;
}

absl::Duration RedialPause(Loop& loop, uint32_t failures, absl::Duration first, absl::Duration longest) {
  absl::Duration pause = first;
  for (uint32_t i = 1; i < failures && pause < longest; ++i) pause *= 2;
  const double part = 0.5 + 0.5 * static_cast<double>(loop.Random() >> 11) * 0x1p-53;
  return std::min(pause, longest) * part;
}

}  // namespace alcove::net
