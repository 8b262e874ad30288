#include "libs/rpc/client.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/str_cat.h>

#include "libs/common/net_address.h"
#include "libs/common/status.h"
#include "libs/net/dial.h"
#include "libs/net/grpc_call.h"
#include "libs/net/grpc_wire.h"
#include "libs/net/http2_client.h"
#include "libs/net/views.h"
#include "libs/rpc/context.h"
#include "libs/rpc/server_call.h"

namespace alcove::rpc {
namespace {

constexpr int kAttempts = 2;

}  // namespace

// The connection of one loop. Everything on that loop's thread. Once closed it may outlive its client, which it then
// leaves alone.
class Client::Line final : public net::Http2Client::Owner {
 public:
  Line(net::Loop& loop, const Client& client) : loop_(loop), client_(client) {}

  net::Loop& loop() const { return loop_; }
  const Client& client() const { return client_; }
  bool InThread() const { return loop_.InLoopThread(); }

  void Begin(std::shared_ptr<Pending> call);
  // Sends the call, or lets it wait for a connection, or ends it later in this turn.
  void Launch(Pending& call);
  void Forget(Pending& call);
  void FlushNow() {
    if (connection_ != nullptr) connection_->FlushNow();
  }
  void Reconnect();
  // Ends everything; nothing begins any more.
  void Close();

 private:
  void OnClientConnected(net::Http2Client* http2) override;
  void OnClientDraining(net::Http2Client* http2) override;
  void OnClientGone(net::Http2Client* http2, const absl::Status& why) override;
  void Connect();
  void OnReconnectTimer();

  net::Loop& loop_;
  const Client& client_;
  std::shared_ptr<net::Connection> connection_;
  net::Http2Client* http2_ = nullptr;                     // the protocol of connection_
  std::vector<std::weak_ptr<net::Connection>> draining_;  // take no new calls
  absl::flat_hash_set<std::shared_ptr<Pending>> calls_;
  std::deque<std::weak_ptr<Pending>> waiting_;  // for a connection, in order
  uint32_t failures_ = 0;                       // to connect, in a row
  int64_t retry_at_ns_ = 0;
  absl::Status last_error_;
  bool closed_ = false;
  net::MemberTimer<Line, &Line::OnReconnectTimer> reconnect_timer_{this};
};

// A call from Call() to its answer. Created on any thread, then on its line's.
class Client::Pending final : public net::ClientStreamHandler, public std::enable_shared_from_this<Pending> {
 public:
  Pending(std::shared_ptr<Line> line, const RequestContext& ctx, std::string_view method, std::string framed, Done done,
          const CallOptions& options)
      : line_owner_(std::move(line)),
        line_(*line_owner_),
        ctx_(ctx),
        method_(method),
        framed_(std::move(framed)),
        done_(std::move(done)),
        wait_for_ready_(options.wait_for_ready),
        reader_(line_.client().options_.max_message_bytes) {}

  Line& line() const { return line_; }
  bool wait_for_ready() const { return wait_for_ready_; }
  bool ended() const { return ended_; }

  void Begin() {
    if (absl::Status own = ctx_.Check(); !own.ok()) return EndLater(std::move(own));
    if (ctx_.has_deadline()) {
      line_.loop().timers().Arm(deadline_timer_, net::Loop::NowNs() + absl::ToInt64Nanoseconds(ctx_.Remaining()));
    }
    if (ctx_.cancellation().can_be_cancelled()) {
      // Whoever cancels may be on another thread.
      cancellation_ = ctx_.cancellation().OnCancel([weak = weak_from_this(), &loop = line_.loop()] {
        loop.Post([weak] {
          if (const auto call = weak.lock()) call->End(call->ctx_.cancellation().status());
        });
      });
    }
    line_.Launch(*this);
  }

  void Send(net::Http2Client& http2) {
    ++attempts_;
    stream_ = http2.NewStream(this);
    net::HeaderList& head = stream_->head();
    net::StartGrpcHead(method_, line_.client().address_, "application/grpc", head, line_.client().tls_ != nullptr);
    ContextToHead(ctx_, head);
    stream_->Submit();
    stream_->SendData(framed_);
    stream_->SendEnd();
  }

  void End(absl::StatusOr<std::string_view> result) {
    if (std::exchange(ended_, true)) return;
    const std::shared_ptr<Pending> self = shared_from_this();
    cancellation_.Reset();
    line_.loop().timers().Cancel(deadline_timer_);
    if (stream_ != nullptr) std::exchange(stream_, nullptr)->Reset(NGHTTP2_CANCEL);
    line_.Forget(*this);
    std::exchange(done_, nullptr)(std::move(result));
  }
  // End() in a later handler, as Call() promises.
  void EndLater(absl::Status status) {
    line_.loop().Post([self = shared_from_this(), status = std::move(status)] { self->End(status); });
  }

 private:
  void OnResponseHeaders(int http_status, net::HeaderList& headers, bool end) override {
    if (!end && http_status == 200) return;
    status_ = net::StatusFromGrpcTrailers(headers, http_status);
    if (!end) End(*std::move(status_));
  }
  void OnResponseData(std::string_view bytes) override {
    stream_->Consume(bytes.size());
    if (reply_.has_value()) return End(absl::InternalError("a unary call was answered with more than one message"));
    reader_.Append(bytes);
    absl::StatusOr<std::optional<std::string_view>> message = reader_.NextView();
    if (!message.ok()) return End(message.status());
    reply_ = *message;
    if (reply_.has_value() && !reader_.AtBoundary()) {
      End(absl::InternalError("a unary call was answered with more than one message"));
    }
  }
  void OnResponseTrailers(net::HeaderList& trailers) override { status_ = net::StatusFromGrpcTrailers(trailers, 200); }
  void OnRequestDrained() override {}
  void OnResponseClose(const Close& close) override {
    stream_ = nullptr;
    if (status_.has_value()) {
      if (!status_->ok()) return End(*std::move(status_));
      if (!reply_.has_value()) return End(absl::InternalError("a unary call was answered without a message"));
      return End(*reply_);
    }
    if (close.unprocessed && (attempts_ < kAttempts || wait_for_ready_)) return line_.Launch(*this);
    End(net::StatusFromClose(close, "the service", line_.client().address_));
  }
  void OnDeadline() {
    End(absl::DeadlineExceededError(absl::StrCat(line_.client().address_, " did not answer before the deadline")));
  }

  const std::shared_ptr<Line> line_owner_;
  Line& line_;
  const RequestContext ctx_;
  const std::string_view method_;
  const std::string framed_;
  Done done_;
  const bool wait_for_ready_;
  net::ClientStream* stream_ = nullptr;
  int attempts_ = 0;
  net::GrpcMessageReader reader_;
  std::optional<std::string_view> reply_;  // within reader_
  std::optional<absl::Status> status_;     // as the server gave it
  bool ended_ = false;
  CancellationRegistration cancellation_;
  net::MemberTimer<Pending, &Pending::OnDeadline> deadline_timer_{this};
};

void Client::Line::Begin(std::shared_ptr<Pending> call) {
  if (closed_) return call->EndLater(absl::CancelledError("the client is closed"));
  Pending& pending = *call;
  calls_.insert(std::move(call));
  pending.Begin();
}

void Client::Line::Launch(Pending& call) {
  if (closed_) return call.EndLater(absl::CancelledError("the client is closed"));
  if (http2_ == nullptr) {
    if (loop_.now_ns() >= retry_at_ns_) {
      Connect();
    } else if (!call.wait_for_ready()) {
      return call.EndLater(last_error_);
    } else {
      loop_.timers().Arm(reconnect_timer_, retry_at_ns_);
    }
  }
  // What waits in the session of a connection to come fails with it.
  if (call.wait_for_ready() && (http2_ == nullptr || !http2_->connected())) {
    waiting_.push_back(call.weak_from_this());
    return;
  }
  call.Send(*http2_);
}

void Client::Line::Forget(Pending& call) { calls_.erase(call.shared_from_this()); }

void Client::Line::Connect() {
  auto http2 =
      std::make_unique<net::Http2Client>(loop_, this, net::Http2ClientOptions{.keepalive = client_.options_.keepalive});
  http2_ = http2.get();
  connection_ =
      net::Dial(loop_, client_.address_, std::move(http2), client_.options_.connect_timeout, failures_,
                client_.tls_ == nullptr ? nullptr : std::make_unique<net::TlsFilter>(client_.tls_, client_.host_));
}

void Client::Line::OnClientConnected(net::Http2Client* http2) {
  if (http2 != http2_) return;
  for (const std::weak_ptr<Pending>& weak : std::exchange(waiting_, {})) {
    if (const auto call = weak.lock(); call != nullptr && !call->ended()) Launch(*call);
  }
}

void Client::Line::OnClientDraining(net::Http2Client* http2) {
  if (http2 != http2_) return;
  std::erase_if(draining_, [](const std::weak_ptr<net::Connection>& weak) { return weak.expired(); });
  draining_.push_back(connection_);
  http2_ = nullptr;
  connection_ = nullptr;
}

void Client::Line::OnClientGone(net::Http2Client* http2, const absl::Status& why) {
  if (http2 != http2_) return;
  http2_ = nullptr;
  connection_ = nullptr;
  last_error_ = absl::UnavailableError(absl::StrCat(client_.address_, " cannot be reached: ", why.message()));
  if (http2->heard()) {
    failures_ = 0;
    retry_at_ns_ = 0;
  } else {
    const absl::Duration pause = net::RedialPause(loop_, ++failures_, client_.options_.reconnect_backoff,
                                                  client_.options_.max_reconnect_backoff);
    retry_at_ns_ = net::Loop::NowNs() + absl::ToInt64Nanoseconds(pause);
  }
  if (!waiting_.empty()) loop_.timers().Arm(reconnect_timer_, std::max(retry_at_ns_, net::Loop::NowNs()));
}

void Client::Line::OnReconnectTimer() {
  if (closed_ || http2_ != nullptr) return;
  std::erase_if(waiting_, [](const std::weak_ptr<Pending>& weak) {
    const auto call = weak.lock();
    return call == nullptr || call->ended();
  });
  if (!waiting_.empty()) Connect();
}

void Client::Line::Reconnect() {
  if (closed_) return;
  failures_ = 0;
  retry_at_ns_ = 0;
  if (http2_ == nullptr) OnReconnectTimer();
}

void Client::Line::Close() {
  closed_ = true;
  loop_.timers().Cancel(reconnect_timer_);
  const absl::Status why = absl::CancelledError("the client is closed");
  http2_ = nullptr;
  std::vector<std::shared_ptr<net::Connection>> connections;
  if (connection_ != nullptr) connections.push_back(std::exchange(connection_, nullptr));
  for (const std::weak_ptr<net::Connection>& weak : draining_) {
    if (std::shared_ptr<net::Connection> connection = weak.lock()) connections.push_back(std::move(connection));
  }
  for (const auto& connection : connections) static_cast<net::Http2Client&>(connection->protocol()).DetachOwner();
  const std::vector<std::shared_ptr<Pending>> calls(calls_.begin(), calls_.end());
  for (const std::shared_ptr<Pending>& call : calls) call->End(why);
  for (const auto& connection : connections) {
    connection->FlushNow();  // what tells the server that nobody waits any more
    connection->Close(why);
  }
}

Client::Client(const net::LoopThreads& loops, std::string address, ClientOptions options)
    : loops_(loops), address_(std::move(address)), options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<Client>> Client::Make(const net::LoopThreads& loops, const std::string& address,
                                                     ClientOptions options) {
  ALCOVE_ASSIGN_OR_RETURN(const HostPort target, ParseHostPort(address));
  std::unique_ptr<Client> client(new Client(loops, address, std::move(options)));
  client->host_ = target.host;
  if (const TlsFiles& files = client->options_.tls; files.enabled()) {
    absl::StatusOr<std::shared_ptr<asio::ssl::context>> tls =
        net::MakeClientTls({files.ca, files.certificate, files.private_key});
    if (!tls.ok()) return Annotate(tls.status(), "TLS");
    client->tls_ = *std::move(tls);
  }
  for (size_t i = 0; i < loops.size(); ++i) client->lines_.push_back(std::make_shared<Line>(loops[i], *client));
  return client;
}

Client::~Client() { Close(); }

void Client::Close() {
  if (!closed_.exchange(true) && !lines_.empty()) loops_.OnEach([this](size_t i) { lines_[i]->Close(); });
}

void Client::Call(const RequestContext& ctx, std::string_view method, const google::protobuf::MessageLite& request,
                  Done done, CallOptions options) {
  const auto here = std::find_if(lines_.begin(), lines_.end(), [](const auto& line) { return line->InThread(); });
  const std::shared_ptr<Line>& line =
      here != lines_.end() ? *here : lines_[next_line_.fetch_add(1, std::memory_order_relaxed) % lines_.size()];
  auto call = std::make_shared<Pending>(line, ctx, method, ServerCall::Frame(request), std::move(done), options);
  if (here == lines_.end()) {
    line->loop().Post([call = std::move(call)] { call->line().Begin(call); });
    return;
  }
  line->Begin(std::move(call));
  // The rest of the turn may be long: a search of this process's own shards.
  line->FlushNow();
}

void Client::Reconnect() {
  for (const auto& line : lines_) {
    line->loop().Post([line] { line->Reconnect(); });
  }
}

}  // namespace alcove::rpc
