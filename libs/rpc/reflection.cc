#include "libs/rpc/reflection.h"

#include <algorithm>
#include <set>
#include <utility>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace alcove::rpc {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

// The two versions differ only in their package.
struct V1 {
  static constexpr char kService[] = "grpc.reflection.v1.ServerReflection";
  using Request = grpc::reflection::v1::ServerReflectionRequest;
  using Response = grpc::reflection::v1::ServerReflectionResponse;
};
struct V1Alpha {
  static constexpr char kService[] = "grpc.reflection.v1alpha.ServerReflection";
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;
};

template <typename Version>
class Stream final : public BidiReactor<typename Version::Request, typename Version::Response> {
 public:
  Stream(ServerCall& call, const std::vector<std::string>& names)
      : BidiReactor<typename Version::Request, typename Version::Response>(call), names_(names) {
    this->StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      this->Finish(absl::OkStatus());
      return;
    }
    Answer();
    this->StartWrite(&response_);
  }

  void OnWriteDone(bool ok) override {
    if (ok) {
      this->StartRead(&request_);
    } else {
      this->Finish(absl::CancelledError("the client went away"));
    }
  }

  void OnDone() override { delete this; }

 private:
  void Answer() {
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    response_.Clear();
    response_.set_valid_host(request_.host());
    *response_.mutable_original_request() = request_;
    switch (request_.message_request_case()) {
      case Version::Request::kFileByFilename: return AddFile(pool.FindFileByName(request_.file_by_filename()));
      case Version::Request::kFileContainingSymbol:
        return AddFile(pool.FindFileContainingSymbol(request_.file_containing_symbol()));
      case Version::Request::kFileContainingExtension: {
        const auto& wanted = request_.file_containing_extension();
        const google::protobuf::Descriptor* type = pool.FindMessageTypeByName(wanted.containing_type());
        const google::protobuf::FieldDescriptor* extension =
            type == nullptr ? nullptr : pool.FindExtensionByNumber(type, wanted.extension_number());
        return AddFile(extension == nullptr ? nullptr : extension->file());
      }
      case Version::Request::kAllExtensionNumbersOfType: {
        const google::protobuf::Descriptor* type = pool.FindMessageTypeByName(request_.all_extension_numbers_of_type());
        if (type == nullptr) return Error(absl::StatusCode::kNotFound, "no such message type");
        std::vector<const google::protobuf::FieldDescriptor*> extensions;
        pool.FindAllExtensions(type, &extensions);
        auto& reply = *response_.mutable_all_extension_numbers_response();
        reply.set_base_type_name(type->full_name());
        for (const auto* extension : extensions) reply.add_extension_number(extension->number());
        return;
      }
      case Version::Request::kListServices:
        // Set even when the list is empty.
        response_.mutable_list_services_response();
        for (const std::string& name : names_) {
          response_.mutable_list_services_response()->add_service()->set_name(name);
        }
        return;
      default: return Error(absl::StatusCode::kInvalidArgument, "the request asks for nothing");
    }
  }

  void Error(absl::StatusCode code, const char* message) {
    response_.mutable_error_response()->set_error_code(static_cast<int>(code));
    response_.mutable_error_response()->set_error_message(message);
  }

  // The file and everything it imports, each once per stream; the file itself always.
  void AddFile(const FileDescriptor* file) {
    if (file == nullptr) return Error(absl::StatusCode::kNotFound, "not found among the descriptors of this server");
    sent_.erase(file);
    AddWithImports(*file);
  }

  void AddWithImports(const FileDescriptor& file) {
    if (!sent_.insert(&file).second) return;
    google::protobuf::FileDescriptorProto proto;
    file.CopyTo(&proto);
    response_.mutable_file_descriptor_response()->add_file_descriptor_proto(proto.SerializeAsString());
    for (int i = 0; i < file.dependency_count(); ++i) AddWithImports(*file.dependency(i));
  }

  const std::vector<std::string>& names_;
  typename Version::Request request_;
  typename Version::Response response_;
  std::set<const FileDescriptor*> sent_;
};

template <typename Version>
class Reflection final : public Service {
 public:
  explicit Reflection(std::vector<std::string> names) : Service(Version::kService), names_(std::move(names)) {
    BidiStreaming("ServerReflectionInfo", &Reflection::ServerReflectionInfo);
  }

 private:
  BidiReactor<typename Version::Request, typename Version::Response>* ServerReflectionInfo(ServerCall* call) {
    return new Stream<Version>(*call, names_);
  }
  const std::vector<std::string> names_;
};

}  // namespace

std::vector<std::unique_ptr<Service>> MakeReflectionServices(std::vector<std::string> names) {
  std::vector<std::unique_ptr<Service>> services;
  services.push_back(std::make_unique<Reflection<V1>>(names));
  services.push_back(std::make_unique<Reflection<V1Alpha>>(std::move(names)));
  return services;
}

}  // namespace alcove::rpc
