#include "libs/net/front_protocol.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/net/http1_session.h"
#include "libs/net/http2_session.h"

namespace alcove::net {
namespace {
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
}

std::string_view ServerState::Date() {
  const absl::Time now = absl::Now();
  const int64_t second = absl::ToUnixSeconds(now);
  if (second != date_second_) {
    date_second_ = second;
    date_ = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone());
  }
  return date_;
}

void FrontProtocol::OnStart(Connection& connection) {
  connection_ = &connection;
  // A connection that says nothing (or dawdles over its TLS handshake) is not worth the keep-alive time.
  connection.SetTimeout(state_.options.limits.header_timeout);
}

void FrontProtocol::Choose(bool http2) {
  if (http2) {
    auto session = std::make_unique<Http2Session>(state_);
    drainable_ = session.get();
    session_ = std::move(session);
  } else {
    auto session = std::make_unique<Http1Session>(state_);
    drainable_ = session.get();
    session_ = std::move(session);
  }
  session_->OnStart(*connection_);
  if (state_.draining) drainable_->BeginDrain();
}

void FrontProtocol::OnBytes(std::string_view bytes) {
  if (session_ != nullptr) {
    session_->OnBytes(bytes);
    return;
  }
  const std::string_view alpn = connection_->tls() != nullptr ? connection_->tls()->alpn() : std::string_view();
  if (alpn.empty()) {
    first_.append(bytes);
    const size_t n = std::min(first_.size(), kPreface.size());
    const bool matches = std::string_view(first_).substr(0, n) == kPreface.substr(0, n);
    if (matches && n < kPreface.size()) return;
    Choose(matches);
    session_->OnBytes(std::exchange(first_, std::string()));
  } else {
    Choose(alpn == "h2");
    session_->OnBytes(bytes);
  }
}

void FrontProtocol::Produce(std::string& out, size_t limit) {
  if (session_ != nullptr) session_->Produce(out, limit);
}

bool FrontProtocol::Finished() const { return session_ != nullptr ? session_->Finished() : finished_; }

void FrontProtocol::OnTimeout() {
  if (session_ != nullptr) {
    session_->OnTimeout();
    return;
  }
  finished_ = true;
  connection_->WantFlush();
}

void FrontProtocol::OnClosed(const absl::Status& why) {
  if (connection_ != nullptr && connection_->tls() != nullptr && !connection_->tls()->handshake_done()) {
    state_.tls_failures.Add();
  }
  if (session_ != nullptr) session_->OnClosed(why);
}

void FrontProtocol::BeginDrain() {
  if (drainable_ != nullptr) {
    drainable_->BeginDrain();
  } else if (first_.empty()) {
    finished_ = true;
    connection_->WantFlush();
  }
}

}  // namespace alcove::net
