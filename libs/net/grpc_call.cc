#include "libs/net/grpc_call.h"

#include <string>

#include <nghttp2/nghttp2.h>

#include "absl/strings/str_cat.h"
#include "libs/net/views.h"

namespace alcove::net {

void StartGrpcHead(std::string_view path, std::string_view authority, std::string_view content_type, HeaderList& head,
                   bool tls) {
  head.AddLower(":method", "POST");
  head.AddLower(":scheme", tls ? "https" : "http");
  head.AddLower(":path", path);
  head.AddLower(":authority", authority);
  head.AddLower("te", "trailers");
  head.AddLower("content-type", content_type);
}

absl::Status StatusFromClose(const ClientStreamHandler::Close& close, std::string_view service,
                             std::string_view address) {
  const std::string who = absl::StrCat(AbslView(service), " at ", AbslView(address));
  if (close.connection_lost) {
    return absl::UnavailableError(
        absl::StrCat(who, close.unprocessed ? " could not be reached: " : " went away: ", AbslView(close.reason)));
  }
  const absl::string_view code = nghttp2_http2_strerror(close.error_code);
  // The mapping of the gRPC over HTTP/2 specification, "Errors".
  switch (close.error_code) {
    case NGHTTP2_NO_ERROR:
    case NGHTTP2_PROTOCOL_ERROR:
    case NGHTTP2_INTERNAL_ERROR:
    case NGHTTP2_FLOW_CONTROL_ERROR:
    case NGHTTP2_FRAME_SIZE_ERROR:
    case NGHTTP2_COMPRESSION_ERROR: return absl::InternalError(absl::StrCat(who, " reset the stream: ", code));
    case NGHTTP2_REFUSED_STREAM: return absl::UnavailableError(absl::StrCat(who, " refused the stream"));
    case NGHTTP2_CANCEL: return absl::CancelledError(absl::StrCat(who, " cancelled the call"));
    case NGHTTP2_ENHANCE_YOUR_CALM:
      return absl::ResourceExhaustedError(absl::StrCat(who, " asks for fewer requests: ", code));
    case NGHTTP2_INADEQUATE_SECURITY: return absl::PermissionDeniedError(absl::StrCat(who, ": ", code));
    default: return absl::UnknownError(absl::StrCat(who, " reset the stream: ", code));
  }
}

}  // namespace alcove::net
