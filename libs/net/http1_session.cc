#include "libs/net/http1_session.h"

#include <optional>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/net/buffered_exchange.h"

namespace alcove::net {
namespace {

namespace beast = boost::beast;

constexpr size_t kMaxPipelinedBytes = 64 * 1024;
constexpr size_t kMaxBodyWaiting = 256 * 1024;

absl::string_view View(std::string_view s) { return absl::string_view(s.data(), s.size()); }
std::string_view View(beast::string_view s) { return std::string_view(s.data(), s.size()); }

// Whether a comma-separated list such as Connection's holds `token`.
bool HasToken(std::string_view list, absl::string_view token) {
  for (absl::string_view part : absl::StrSplit(View(list), ',')) {
    if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(part), token)) return true;
  }
  return false;
}

// A header value must not end its line: whatever could is replaced.
void AppendHeaderValue(std::string_view value, std::string& out) {
  for (char c : value) out.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
}

void AppendProblem(int status, std::string_view title, std::string_view detail, std::string& out) {
  const std::string body = absl::StrCat("{\"type\":\"about:blank\",\"title\":\"", View(title), "\",\"status\":", status,
                                        ",\"detail\":\"", View(detail), "\"}");
  absl::StrAppend(&out, "HTTP/1.1 ", status, " ", View(ReasonPhrase(status)),
                  "\r\ncontent-type: application/problem+json\r\ncontent-length: ", body.size(),
                  "\r\nconnection: close\r\n\r\n", body);
}

}  // namespace

std::string_view ReasonPhrase(int status) {
  if (status == 499) return "Client Closed Request";
  return View(beast::http::obsolete_reason(static_cast<beast::http::status>(status)));
}

// Beast parses; this keeps what the session needs of the result.
class Http1Session::Parser final : public beast::http::basic_parser<true> {
 public:
  explicit Parser(const NetLimits& limits) : max_headers_(limits.max_headers) {
    header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
    body_limit(boost::none);  // the exchange counts, so that it can answer 413 itself
  }

  HttpRequest request;
  int version = 11;
  size_t host_count = 0;
  size_t transfer_encoding_count = 0;
  bool dispatched = false;
  bool too_many_headers = false;
  BufferedExchange* sink = nullptr;
  std::function<void(std::string_view)> on_body;

 private:
  using error_code = beast::error_code;

  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target, int v,
                       error_code&) override {
    request.method = View(method);
    request.target = View(target);
    version = v;
    request.version = v == 10 ? HttpVersion::kHttp10 : HttpVersion::kHttp11;
  }
  void on_response_impl(int, beast::string_view, int, error_code&) override {}
  void on_field_impl(beast::http::field field, beast::string_view name, beast::string_view value,
                     error_code& error) override {
    if (request.headers.size() >= max_headers_) {
      too_many_headers = true;
      error = beast::http::error::header_limit;
      return;
    }
    if (field == beast::http::field::host) {
      ++host_count;
      request.host = View(value);
    }
    if (field == beast::http::field::transfer_encoding) ++transfer_encoding_count;
    request.headers.Add(View(name), View(value));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(beast::string_view body, error_code&) override {
    on_body(View(body));
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, error_code&) override {
    on_body(View(body));
    return body.size();
  }
  void on_finish_impl(error_code&) override {}

  const size_t max_headers_;
};

class Http1Session::MessageExchange final : public BufferedExchange {
 public:
  MessageExchange(Http1Session* session, HttpRequest request, bool keep_alive)
      : BufferedExchange(&session->state_.loop, std::move(request), session->state_.options.limits),
        session_(session),
        keep_alive_(keep_alive) {}

  void OnBodyBytes(std::string_view bytes) { DeliverBody(bytes); }
  void OnBodyEnd() { DeliverEnd(); }
  void OnDisconnect() {
    session_ = nullptr;
    Disconnect();
  }
  void OnDrained() { NotifyDrained(); }
  // The session lets go of a finished exchange.
  void Detach() { session_ = nullptr; }
  size_t waiting() const { return body_waiting(); }
  bool finished() const { return response_finished(); }

 private:
  void OnBodyWanted() override {
    if (session_ == nullptr || continue_sent_ || body_ended()) return;
    continue_sent_ = true;
    if (request_.version == HttpVersion::kHttp10 ||
        !absl::EqualsIgnoreCase(View(request_.headers.Get("expect")), "100-continue")) {
      return;
    }
    session_->out_.append("HTTP/1.1 100 Continue\r\n\r\n");
    session_->WantFlush();
  }
  void OnBodyTaken(size_t) override {
    if (session_ != nullptr) session_->UpdateReading();
  }
  void SendHead(int status, HeaderList& headers, std::optional<size_t> body_length, bool end) override {
    if (session_ == nullptr) return;
    std::string& out = session_->out_;
    const bool http10 = request_.version == HttpVersion::kHttp10;
    // A request whose body is still on its way cannot be followed by another on this connection.
    keep_alive_ = keep_alive_ && session_->message_complete_ && !session_->state_.draining;
    bodiless_ = request_.method == "HEAD" || status == 204 || status == 304 || status < 200;
    absl::StrAppend(&out, "HTTP/1.1 ", status, " ", View(ReasonPhrase(status)), "\r\n");
    bool has_length = false;
    bool has_date = false;
    bool has_server = false;
    for (const HeaderList::Field field : headers) {
      if (field.name == "connection" || field.name == "keep-alive" || field.name == "transfer-encoding") continue;
      has_length |= field.name == "content-length";
      has_date |= field.name == "date";
      has_server |= field.name == "server";
      AppendHeaderValue(field.name, out);
      out.append(": ");
      AppendHeaderValue(field.value, out);
      out.append("\r\n");
    }
    if (!has_date) absl::StrAppend(&out, "date: ", View(session_->state_.Date()), "\r\n");
    const std::string& server = session_->state_.options.server_name;
    if (!has_server && !server.empty()) absl::StrAppend(&out, "server: ", server, "\r\n");
    if (body_length) {
      if (!has_length && status != 204 && status != 304 && status >= 200) {
        absl::StrAppend(&out, "content-length: ", *body_length, "\r\n");
      }
    } else if (!has_length && !bodiless_) {
      if (http10) {
        keep_alive_ = false;
      } else {
        chunked_ = true;
        out.append("transfer-encoding: chunked\r\n");
      }
    }
    if (!keep_alive_) {
      out.append("connection: close\r\n");
    } else if (http10) {
      out.append("connection: keep-alive\r\n");
    }
    out.append("\r\n");
    session_->WantFlush();
    if (end) End();
  }
  void SendBytes(std::string_view bytes) override {
    if (session_ == nullptr || bodiless_ || bytes.empty()) return;
    std::string& out = session_->out_;
    if (chunked_) {
      absl::StrAppend(&out, absl::Hex(bytes.size()), "\r\n");
      out.append(bytes);
      out.append("\r\n");
    } else {
      out.append(bytes);
    }
    session_->WantFlush();
  }
  void SendEnd(HeaderList&) override {
    if (session_ != nullptr && chunked_) session_->out_.append("0\r\n\r\n");
    End();
  }
  void SendAbort() override {
    if (session_ == nullptr) return;
    if (session_->connection_ != nullptr) {
      session_->connection_->Close(absl::CancelledError("the response was abandoned"));
    }
  }
  size_t BytesBuffered() const override { return session_ != nullptr ? session_->out_.size() : 0; }

  void End() {
    if (session_ == nullptr) return;
    if (!keep_alive_) session_->close_ = true;
    session_->OnResponseEnd();
  }

  Http1Session* session_;
  bool keep_alive_;
  bool continue_sent_ = false;
  bool bodiless_ = false;
  bool chunked_ = false;
};

Http1Session::Http1Session(ServerState& state) : state_(state) {}

Http1Session::~Http1Session() {
  if (exchange_ != nullptr) OnClosed(absl::CancelledError("the session ended"));
}

void Http1Session::OnStart(Connection& connection) {
  connection_ = &connection;
  connection.SetTimeout(state_.options.limits.keep_alive);
}

void Http1Session::WantFlush() {
  if (connection_ != nullptr) connection_->WantFlush();
}

void Http1Session::OnBytes(std::string_view bytes) {
  if (close_ && exchange_ == nullptr) return;
  if (in_offset_ == in_.size()) {
    in_.clear();
    in_offset_ = 0;
  }
  in_.append(bytes);
  Process();
}

void Http1Session::Process() {
  if (processing_) return;
  processing_ = true;
  while (!(close_ && exchange_ == nullptr)) {
    if (exchange_ != nullptr && message_complete_) break;  // pipelined: waits for the response before it
    if (in_offset_ == in_.size()) break;
    if (parser_ == nullptr) {
      // Empty lines before a request line are to be ignored (RFC 9112, 2.2).
      if (in_[in_offset_] == '\r' || in_[in_offset_] == '\n') {
        ++in_offset_;
        continue;
      }
      parser_ = std::make_unique<Parser>(state_.options.limits);
      message_complete_ = false;
    }
    beast::error_code error;
    const size_t n = parser_->put(asio::buffer(in_.data() + in_offset_, in_.size() - in_offset_), error);
    in_offset_ += n;
    if (error == beast::http::error::need_more) {
      if (!parser_->is_header_done() && !head_timer_ && connection_ != nullptr) {
        head_timer_ = true;
        connection_->SetTimeout(state_.options.limits.header_timeout);
      }
      break;
    }
    if (error) {
      if (error == beast::http::error::header_limit) {
        Refuse(431, "Request Header Fields Too Large",
               parser_->too_many_headers ? "too many header fields" : "the request head is too large");
      } else if (error == beast::http::error::bad_version) {
        Refuse(505, "HTTP Version Not Supported", "only HTTP/1.0, HTTP/1.1 and HTTP/2 are served");
      } else {
        Refuse(400, "Bad Request", "malformed HTTP/1.1 message");
      }
      break;
    }
    if (parser_->is_header_done() && !parser_->dispatched && !Dispatch()) break;
    if (parser_->is_done()) OnMessageEnd();
    if (message_complete_ || in_offset_ == in_.size()) Announce();
  }
  Announce();
  processing_ = false;
  UpdateReading();
}

bool Http1Session::Dispatch() {
  parser_->dispatched = true;
  head_timer_ = false;
  if (connection_ != nullptr) connection_->SetTimeout(absl::InfiniteDuration());
  HttpRequest& request = parser_->request;
  if (parser_->version != 10 && parser_->version != 11) {
    Refuse(505, "HTTP Version Not Supported", "only HTTP/1.0, HTTP/1.1 and HTTP/2 are served");
    return false;
  }
  if (parser_->host_count > 1 || (parser_->host_count == 0 && parser_->version == 11)) {
    Refuse(400, "Bad Request", "exactly one Host header is required");
    return false;
  }
  if (parser_->transfer_encoding_count > 0) {
    if (parser_->version == 10 || request.headers.Has("content-length")) {
      Refuse(400, "Bad Request", "Transfer-Encoding is not allowed here");
      return false;
    }
    if (parser_->transfer_encoding_count > 1 ||
        !absl::EqualsIgnoreCase(View(request.headers.Get("transfer-encoding")), "chunked")) {
      Refuse(501, "Not Implemented", "the only Transfer-Encoding served is chunked");
      return false;
    }
  }
  // Absolute form (RFC 9112, 3.2.2): the authority replaces Host.
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(request.target, View(scheme))) continue;
    const size_t slash = request.target.find_first_of("/?", scheme.size());
    request.host = request.target.substr(scheme.size(), slash == std::string::npos ? slash : slash - scheme.size());
    request.target = slash == std::string::npos ? "/" : request.target.substr(slash);
    if (request.target[0] == '?') request.target.insert(0, 1, '/');
    break;
  }
  const bool star = request.target == "*" && request.method == "OPTIONS";
  if (!star && (request.target.empty() || request.target[0] != '/')) {
    Refuse(400, "Bad Request", "the request target must begin with a slash");
    return false;
  }
  uint64_t length = 0;
  const std::string_view length_text = request.headers.Get("content-length");
  if (length_text.data() != nullptr && absl::SimpleAtoi(View(length_text), &length) &&
      length > state_.options.limits.max_body_bytes) {
    Refuse(413, "Content Too Large", "the request body is larger than this server accepts");
    return false;
  }
  const std::string_view expect = request.headers.Get("expect");
  if (!expect.empty() && !absl::EqualsIgnoreCase(View(expect), "100-continue")) {
    Refuse(417, "Expectation Failed", "the only expectation served is 100-continue");
    return false;
  }
  const std::string_view connection = request.headers.Get("connection");
  const bool keep_alive = parser_->version == 11 ? !HasToken(connection, "close") : HasToken(connection, "keep-alive");
  if (connection_ != nullptr) {
    request.peer_address = connection_->peer_address();
    if (connection_->tls() != nullptr) request.tls = connection_->tls()->Info();
  }
  message_complete_ = false;
  exchange_ = std::make_shared<MessageExchange>(this, std::move(request), keep_alive);
  parser_->on_body = [sink = exchange_.get()](std::string_view bytes) { sink->OnBodyBytes(bytes); };
  announced_ = false;
  state_.requests_http1.Add();
  state_.in_flight.Add();
  return true;
}

void Http1Session::Announce() {
  if (exchange_ == nullptr || announced_) return;
  announced_ = true;
  state_.handler->OnExchange(BufferedExchange::ForApplication(exchange_));
}

void Http1Session::OnMessageEnd() {
  parser_.reset();
  message_complete_ = true;
  if (exchange_ != nullptr) exchange_->OnBodyEnd();
}

void Http1Session::OnResponseEnd() {
  WantFlush();
  if (!message_complete_) {
    // Nobody will read the rest. The connection ends once the response is out.
    close_ = true;
    parser_.reset();
  }
  state_.in_flight.Subtract();
  exchange_->Detach();
  // The call came from the exchange itself: it is let go when the turn has unwound.
  asio::post(state_.loop.io(), [done = std::exchange(exchange_, nullptr)] {});
  if (state_.draining) close_ = true;
  if (close_) return;
  if (connection_ != nullptr) connection_->SetTimeout(state_.options.limits.keep_alive);
  Process();
}

void Http1Session::UpdateReading() {
  if (connection_ == nullptr || connection_->closed()) return;
  const bool full = in_.size() - in_offset_ > kMaxPipelinedBytes && (exchange_ != nullptr && message_complete_);
  const bool backlog = exchange_ != nullptr && exchange_->waiting() > kMaxBodyWaiting;
  connection_->SetReading(!(full || backlog));
}

void Http1Session::Refuse(int status, std::string_view title, std::string_view detail) {
  state_.protocol_errors.Add();
  parser_.reset();
  in_.clear();
  in_offset_ = 0;
  close_ = true;
  bool answered = false;
  if (exchange_ != nullptr) {
    answered = exchange_->response_started();
    state_.in_flight.Subtract();
    exchange_->OnDisconnect();
    asio::post(state_.loop.io(), [gone = std::exchange(exchange_, nullptr)] {});
  }
  // Half a response cannot be followed by an error: the client sees the connection end instead.
  if (answered) {
    out_.clear();
  } else {
    AppendProblem(status, title, detail, out_);
  }
  WantFlush();
}

void Http1Session::Produce(std::string& out, size_t) {
  if (out_.empty()) return;
  if (out.empty()) {
    out.swap(out_);
  } else {
    out.append(out_);
    out_.clear();
  }
  if (exchange_ != nullptr) exchange_->OnDrained();
}

bool Http1Session::Finished() const { return close_ && exchange_ == nullptr && out_.empty(); }

void Http1Session::OnTimeout() {
  if (exchange_ != nullptr) return;
  if (parser_ != nullptr || head_timer_) {
    Refuse(408, "Request Timeout", "the request head did not arrive in time");
    return;
  }
  close_ = true;
  WantFlush();
}

void Http1Session::BeginDrain() {
  if (exchange_ != nullptr || parser_ != nullptr) return;  // state_.draining closes it after the response
  close_ = true;
  WantFlush();
}

void Http1Session::OnClosed(const absl::Status&) {
  connection_ = nullptr;
  parser_.reset();
  close_ = true;
  if (exchange_ == nullptr) return;
  state_.in_flight.Subtract();
  exchange_->OnDisconnect();
  exchange_.reset();
}

}  // namespace alcove::net
