#include "libs/rpc/status.h"

#include <algorithm>

#include "google/protobuf/any.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "libs/common/text.h"

namespace alcove::rpc {
namespace {

constexpr size_t kMaxMessage = 1024;
constexpr size_t kMaxDetails = 3072;
constexpr size_t kMaxIncomingDetails = 64 * 1024;

// Debian's copy of google/rpc/error_details.proto is older than ErrorInfo {string reason = 1; string domain = 2;},
// which on the wire is the same as the first two fields of ResourceInfo.
constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";

google::rpc::Status DetailsProto(const absl::Status& status, const ErrorDetails& details, size_t violations) {
  google::rpc::Status proto;
  proto.set_code(static_cast<int>(status.code()));
  // The text goes in grpc-message; a copy here is what clients in other languages read.
  proto.set_message(ToValidUtf8(TruncateUtf8(status.message(), kMaxMessage)));
  if (!details.reason.empty()) {
    google::rpc::ResourceInfo info;
    info.set_resource_type(ToValidUtf8(details.reason));
    info.set_resource_name("alcove");
    google::protobuf::Any& any = *proto.add_details();
    any.set_type_url(kErrorInfoUrl);
    any.set_value(info.SerializeAsString());
  }
  if (violations > 0) {
    google::rpc::BadRequest bad;
    for (size_t i = 0; i < violations; ++i) {
      auto* violation = bad.add_field_violations();
      violation->set_field(ToValidUtf8(details.field_violations[i].field));
      violation->set_description(ToValidUtf8(details.field_violations[i].description));
    }
    proto.add_details()->PackFrom(bad);
  }
  if (details.resource) {
    google::rpc::ResourceInfo info;
    info.set_resource_type(ToValidUtf8(details.resource->type));
    info.set_resource_name(ToValidUtf8(details.resource->name));
    info.set_description(ToValidUtf8(details.resource->description));
    proto.add_details()->PackFrom(info);
  }
  if (details.retry_after) {
    google::rpc::RetryInfo info;
    const int64_t ms = absl::ToInt64Milliseconds(*details.retry_after);
    info.mutable_retry_delay()->set_seconds(ms / 1000);
    info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(ms % 1000) * 1'000'000);
    proto.add_details()->PackFrom(info);
  }
  return proto;
}

}  // namespace

std::string SerializeDetails(const absl::Status& status) {
  const ErrorDetails details = GetErrorDetails(status);
  if (details.empty()) return "";
  size_t violations = details.field_violations.size();
  while (true) {
    std::string bytes = DetailsProto(status, details, violations).SerializeAsString();
    if (bytes.size() <= kMaxDetails) return bytes;
    if (violations == 0) return "";
    violations /= 2;
  }
}

ErrorDetails ParseDetails(absl::string_view serialized) {
  ErrorDetails details;
  google::rpc::Status proto;
  if (serialized.size() > kMaxIncomingDetails ||
      !proto.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return details;
  }
  for (const google::protobuf::Any& any : proto.details()) {
    google::rpc::BadRequest bad;
    google::rpc::ResourceInfo resource;
    google::rpc::RetryInfo retry;
    if (any.type_url() == kErrorInfoUrl) {
      if (resource.ParseFromString(any.value())) details.reason = resource.resource_type();
    } else if (any.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) {
        details.field_violations.push_back({violation.field(), violation.description()});
      }
    } else if (any.UnpackTo(&resource)) {
      details.resource = ResourceInfo{resource.resource_type(), resource.resource_name(), resource.description()};
    } else if (any.UnpackTo(&retry)) {
      details.retry_after =
          absl::Seconds(retry.retry_delay().seconds()) + absl::Nanoseconds(retry.retry_delay().nanos());
    }
  }
  return details;
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const int code = static_cast<int>(status.code());
  // A status with a code of its own making still has to be an error on the wire.
  const bool canonical = code > 0 && code <= static_cast<int>(grpc::StatusCode::UNAUTHENTICATED);
  return grpc::Status(canonical ? static_cast<grpc::StatusCode>(code) : grpc::StatusCode::UNKNOWN,
                      ToValidUtf8(TruncateUtf8(status.message(), kMaxMessage)), SerializeDetails(status));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (!status.error_details().empty()) SetErrorDetails(result, ParseDetails(status.error_details()));
  return result;
}

}  // namespace alcove::rpc
