// A connection to the gateway's public gRPC door, with the caller's key and deadline on every call.
#pragma once

#include <memory>
#include <string>

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <grpcpp/grpcpp.h>

#include "tools/alcovectl/command.h"

namespace alcove::ctl {

// Thread safety: safe to use from several threads.
class GatewayClient {
 public:
  // Reads --server, --key, --data and --timeout, then ALCOVE_SERVER, ALCOVE_API_KEY and ALCOVE_DATA, then the stack
  // in ./alcove-data, then 127.0.0.1:8080 without a key.
  static absl::StatusOr<std::unique_ptr<GatewayClient>> FromFlags(const Invocation& invocation);

  // Calls a method of a generated stub: Call(&Service::Stub::Method, request) → StatusOr<Response>.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) const {
    grpc::ClientContext context;
    Prepare(context);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return Explain(status);
    return response;
  }

  // For calls that are streams: the key, and as long as the gateway lets a call last.
  void PrepareStream(grpc::ClientContext& context) const;
  // See below; for statuses of streams.
  absl::Status Explain(const absl::Status& status) const {
    return Explain(grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message())));
  }
  // Calls a method that answers a stream; on_reply(Response&&) → Status sees each reply, and its error ends the call.
  template <typename Response, typename Stub, typename Request, typename OnReply>
  absl::Status Stream(Stub& stub,
                      std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(grpc::ClientContext*,
                                                                                    const Request&),
                      const Request& request, OnReply on_reply) const {
    // The gateway asks for one repetition when it has only just read the caller's key.
    for (bool again = true;; again = false) {
      grpc::ClientContext context;
      Prepare(context);
      auto reader = (stub.*method)(&context, request);
      Response response;
      bool any = false;
      while (reader->Read(&response)) {
        any = true;
        absl::Status status = on_reply(std::move(response));
        if (!status.ok()) {
          context.TryCancel();
          (void)reader->Finish();
          return status;
        }
        response.Clear();
      }
      const grpc::Status status = reader->Finish();
      if (status.ok()) return absl::OkStatus();
      if (status.error_code() == grpc::StatusCode::UNAVAILABLE && again && !any) continue;
      return Explain(status);
    }
  }

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const std::string& address() const { return address_; }

 private:
  GatewayClient() = default;
  void Prepare(grpc::ClientContext& context) const;
  // The status as the user should read it: with the address when nobody answered, with the way to a key when one is
  // missing.
  absl::Status Explain(const grpc::Status& status) const;

  std::string address_;
  std::string key_;
  absl::Duration timeout_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace alcove::ctl
