#include "libs/rpc/service.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include <absl/strings/str_cat.h>
#include <google/protobuf/descriptor.h>

namespace alcove::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::abort();
}

}  // namespace

void UnaryCall::Finish(absl::Status status) {
  // The server may let go of the call before its own function returns.
  const std::shared_ptr<ServerCall> call = call_;
  if (status.ok()) {
    call->Reply(ServerCall::Frame(response()));
  } else {
    call->Finish(std::move(status));
  }
}

void UnaryCall::OnMessage(std::string_view bytes) {
  begun_ = true;
  if (!request().ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Finish(absl::InternalError("the request cannot be parsed"));
  }
  Run();
}

void UnaryCall::OnMessagesEnd() {
  if (!begun_) Finish(absl::InternalError("the call carries no request"));
}

void Service::RequestReader::OnCancelled(absl::Status why) {
  finishing_ = true;
  call_->Finish(std::move(why));
}

void Service::RequestReader::OnMessage(std::string_view bytes) {
  // A request may still be read when its client has gone; a reactor that took over now would never hear of that.
  if (finishing_) return;
  const std::shared_ptr<ServerCall> call = call_;
  CallReactor* const reactor = Open(*call, bytes);
  if (reactor == nullptr) {
    finishing_ = true;
    return call->Finish(absl::InternalError("the request cannot be parsed"));
  }
  call->Begin(*reactor);
  delete this;
}

void Service::RequestReader::OnMessagesEnd() {
  if (std::exchange(finishing_, true)) return;
  call_->Finish(absl::InternalError("the call carries no request"));
}

Service::Service(std::string_view full_name) : name_(full_name) {
  const ServiceDescriptor* const service = DescriptorPool::generated_pool()->FindServiceByName(name_);
  if (service == nullptr) Die(absl::StrCat(name_, " is not in a linked proto"));
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string name = service->method(i)->name();
    methods_[absl::StrCat("/", name_, "/", name)] = [name](const std::shared_ptr<ServerCall>& call) {
      call->Refuse(absl::UnimplementedError(absl::StrCat(name, " is not built yet")));
    };
  }
}

void Service::Enter(std::string_view method, const Descriptor& request, const Descriptor& response, bool client_streams,
                    bool server_streams, Opener opener) {
  const MethodDescriptor* const declared =
      DescriptorPool::generated_pool()->FindServiceByName(name_)->FindMethodByName(std::string(method));
  if (declared == nullptr || declared->input_type() != &request || declared->output_type() != &response ||
      declared->client_streaming() != client_streams || declared->server_streaming() != server_streams) {
    Die(absl::StrCat(name_, " has no such method ", absl::string_view(method.data(), method.size())));
  }
  methods_[absl::StrCat("/", name_, "/", absl::string_view(method.data(), method.size()))] = std::move(opener);
}

}  // namespace alcove::rpc
