#include "services/gateway/service/reflection.h"

#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "services/gateway/rest/schema.h"

namespace alcove::gateway {
namespace {

namespace reflection = grpc::reflection::v1;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// The file and what it imports, each before what needs it last: clients resolve in any order.
void AddFile(const FileDescriptor& file, absl::flat_hash_set<std::string>& seen,
             reflection::FileDescriptorResponse& out) {
  if (!seen.insert(file.name()).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);  // without the comments: they triple the size
  out.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), seen, out);
}

void AnswerFile(const FileDescriptor* file, std::string_view what, reflection::ServerReflectionResponse& response) {
  if (file == nullptr) {
    response.mutable_error_response()->set_error_code(static_cast<int>(absl::StatusCode::kNotFound));
    response.mutable_error_response()->set_error_message(std::string(what) + " is not known here");
    return;
  }
  absl::flat_hash_set<std::string> seen;
  AddFile(*file, seen, *response.mutable_file_descriptor_response());
}

}  // namespace

bool IsReflectionPath(std::string_view path) {
  return path == "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" ||
         path == "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
}

absl::StatusOr<std::string> AnswerReflection(const MethodTable& methods, std::string_view bytes) {
  reflection::ServerReflectionRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("the message is no ServerReflectionRequest");
  }
  reflection::ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case reflection::ServerReflectionRequest::kListServices: {
      auto& list = *response.mutable_list_services_response();
      for (const std::string& name : methods.public_services()) list.add_service()->set_name(name);
      for (const char* name : {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                               "grpc.reflection.v1alpha.ServerReflection"}) {
        list.add_service()->set_name(name);
      }
      break;
    }
    case reflection::ServerReflectionRequest::kFileByFilename:
      AnswerFile(ApiPool().FindFileByName(request.file_by_filename()), request.file_by_filename(), response);
      break;
    case reflection::ServerReflectionRequest::kFileContainingSymbol:
      AnswerFile(ApiPool().FindFileContainingSymbol(request.file_containing_symbol()), request.file_containing_symbol(),
                 response);
      break;
    case reflection::ServerReflectionRequest::kFileContainingExtension: {
      const auto& wanted = request.file_containing_extension();
      const auto* type = ApiPool().FindMessageTypeByName(wanted.containing_type());
      const FieldDescriptor* extension =
          type == nullptr ? nullptr : ApiPool().FindExtensionByNumber(type, wanted.extension_number());
      AnswerFile(extension == nullptr ? nullptr : extension->file(), wanted.containing_type(), response);
      break;
    }
    case reflection::ServerReflectionRequest::kAllExtensionNumbersOfType: {
      const auto* type = ApiPool().FindMessageTypeByName(request.all_extension_numbers_of_type());
      if (type == nullptr) {
        AnswerFile(nullptr, request.all_extension_numbers_of_type(), response);
        break;
      }
      std::vector<const FieldDescriptor*> extensions;
      ApiPool().FindAllExtensions(type, &extensions);
      auto& numbers = *response.mutable_all_extension_numbers_response();
      numbers.set_base_type_name(type->full_name());
      for (const FieldDescriptor* extension : extensions) numbers.add_extension_number(extension->number());
      break;
    }
    case reflection::ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      response.mutable_error_response()->set_error_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
      response.mutable_error_response()->set_error_message("the request asks for nothing");
      break;
  }
  return response.SerializeAsString();
}

}  // namespace alcove::gateway
