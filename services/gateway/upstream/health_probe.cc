#include "services/gateway/upstream/health_probe.h"

#include "absl/strings/str_cat.h"
#include "libs/net/grpc_call.h"
#include "libs/net/grpc_wire.h"
#include "libs/net/views.h"

namespace alcove::gateway {
namespace {
constexpr size_t kMaxReplyBytes = 1024;
// HealthCheckResponse{status: SERVING}: field 1, varint 1.
constexpr std::string_view kServing("\x08\x01", 2);
}  // namespace

HealthProbe::~HealthProbe() {
  if (stream_ != nullptr) stream_->Reset(NGHTTP2_CANCEL);
}

void HealthProbe::Begin() {
  reply_.clear();
  why_.clear();
  passed_ = false;
  const HealthOptions& options = endpoint_.pool().options().health;
  stream_ = endpoint_.NewStream(this);
  net::HeaderList& head = stream_->head();
  net::StartGrpcHead("/grpc.health.v1.Health/Check", endpoint_.address(), "application/grpc", head,
                     endpoint_.pool().options().tls != nullptr);
  head.AddLower("grpc-timeout", net::FormatGrpcTimeout(options.timeout));
  stream_->Submit();
  stream_->SendData(std::string_view("\0\0\0\0\0", net::kGrpcPrefixBytes));
  stream_->SendEnd();
  endpoint_.loop_.timers().Arm(timer_, net::Loop::NowNs() + absl::ToInt64Nanoseconds(options.timeout));
}

void HealthProbe::ReadStatus(int http_status, const net::HeaderList& list) {
  const absl::Status status = net::StatusFromGrpcTrailers(list, http_status);
  if (status.code() == absl::StatusCode::kUnimplemented) {
    passed_ = true;
  } else if (!status.ok()) {
    why_ = absl::StrCat("health check: ", status.message());
  } else if (reply_.size() >= net::kGrpcPrefixBytes &&
             std::string_view(reply_).substr(net::kGrpcPrefixBytes) == kServing) {
    passed_ = true;
  } else {
    why_ = "health check: not serving";
  }
}

void HealthProbe::OnResponseHeaders(int http_status, net::HeaderList& headers, bool end) {
  if (end || http_status != 200) ReadStatus(http_status, headers);
}

void HealthProbe::OnResponseData(std::string_view bytes) {
  stream_->Consume(bytes.size());
  if (reply_.size() + bytes.size() <= kMaxReplyBytes) reply_.append(bytes);
}

void HealthProbe::OnResponseTrailers(net::HeaderList& trailers) { ReadStatus(200, trailers); }

void HealthProbe::OnResponseClose(const Close& close) {
  stream_ = nullptr;
  endpoint_.loop_.timers().Cancel(timer_);
  if (!passed_ && why_.empty()) {
    why_ = close.connection_lost ? std::string(close.reason) : std::string("health check: stream was reset");
  }
  endpoint_.OnCheckDone(passed_, why_);
}

void HealthProbe::OnTimer() {
  std::exchange(stream_, nullptr)->Reset(NGHTTP2_CANCEL);
  endpoint_.OnCheckDone(false, "health check: no answer in time");
}

}  // namespace alcove::gateway
