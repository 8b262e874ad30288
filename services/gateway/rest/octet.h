#pragma once

#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "absl/status/status.h"
#include "services/gateway/rest/transcoder.h"

namespace alcove::gateway {

// Methods that carry a `bytes` field can be called without JSON and base64: the body is that field as it is
// (content-type: application/octet-stream), everything else are query parameters. The field is the first one of type
// bytes of the message, by number; null when there is none.
const google::protobuf::FieldDescriptor* OctetField(const google::protobuf::Descriptor& type);

// Fills `request` (empty) from such a call. INVALID_ARGUMENT with the field's path for anything that does not fit.
absl::Status FillOctetRequest(const HttpBinding& binding, const std::vector<PathCapture>& captures,
                              const QueryParameters& query, std::string body, google::protobuf::Message& request);

// A reply as a frame of a binary answer (accept: application/octet-stream):
//
//   u32 size of the JSON, u32 size of the data (both little-endian), the JSON, the data
//
// where the data is the reply's bytes field and the JSON everything else. Empties the field of `reply`.
std::string OctetFrame(google::protobuf::Message& reply);
// The frame that ends a streamed answer: {"end":true}, or {"error":{code, message, reason}}.
std::string OctetEndFrame(const absl::Status& status);
// The line that ends an answer of JSON lines: the same object.
std::string EndLine(const absl::Status& status);

}  // namespace alcove::gateway
