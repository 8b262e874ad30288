#include "services/gateway/rest/octet.h"

#include "libs/common/status.h"
#include "services/gateway/rest/json_writer.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

using google::protobuf::FieldDescriptor;

void PutU32(uint32_t value, std::string& out) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(value >> shift));
}

std::string Frame(std::string_view json, std::string_view data) {
  std::string out;
  out.reserve(8 + json.size() + data.size());
  PutU32(static_cast<uint32_t>(json.size()), out);
  PutU32(static_cast<uint32_t>(data.size()), out);
  out.append(json);
  out.append(data);
  return out;
}

std::string EndJson(const absl::Status& status) {
  JsonBuilder json;
  json.BeginObject();
  if (status.ok()) {
    json.Key("end").Bool(true);
  } else {
    json.Key("error").BeginObject();
    json.Member("code", FromAbsl(StatusCodeName(status.code())));
    json.Member("message", FromAbsl(status.message()));
    if (const std::string reason = GetErrorDetails(status).reason; !reason.empty()) json.Member("reason", reason);
    json.EndObject();
  }
  json.EndObject();
  return json.Take();
}

}  // namespace

const FieldDescriptor* OctetField(const google::protobuf::Descriptor& type) {
  const FieldDescriptor* found = nullptr;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->type() != FieldDescriptor::TYPE_BYTES || field->is_repeated()) continue;
    if (found == nullptr || field->number() < found->number()) found = field;
  }
  return found;
}

absl::Status FillOctetRequest(const HttpBinding& binding, const std::vector<PathCapture>& captures,
                              const QueryParameters& query, std::string body, google::protobuf::Message& request) {
  const FieldDescriptor* field = OctetField(*request.GetDescriptor());
  // Everything but the body is filled as for a method without a body.
  HttpBinding bodiless = binding;
  bodiless.whole_body = false;
  std::string none;
  ALCOVE_RETURN_IF_ERROR(FillRequest(bodiless, captures, query, none, request));
  if (field == nullptr) return absl::InvalidArgumentError("this method takes no binary body");
  if (!request.GetReflection()->GetString(request, field).empty()) {
    return InvalidField(field->name(), "is the body, and was given as a parameter too");
  }
  request.GetReflection()->SetString(&request, field, std::move(body));
  return absl::OkStatus();
}

std::string OctetFrame(google::protobuf::Message& reply) {
  std::string data;
  if (const FieldDescriptor* field = OctetField(*reply.GetDescriptor()); field != nullptr) {
    data = reply.GetReflection()->GetString(reply, field);
    reply.GetReflection()->ClearField(&reply, field);
  }
  return Frame(MessageToJson(reply), data);
}

std::string OctetEndFrame(const absl::Status& status) { return Frame(EndJson(status), ""); }

std::string EndLine(const absl::Status& status) { return EndJson(status) + "\n"; }

}  // namespace alcove::gateway
