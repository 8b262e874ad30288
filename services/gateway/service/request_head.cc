#include "services/gateway/service/request_head.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <zlib.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "libs/net/grpc_wire.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

constexpr size_t kMaxRequestId = 128;

bool GoodRequestId(std::string_view id) {
  return !id.empty() && id.size() <= kMaxRequestId &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

absl::StatusOr<absl::Duration> ReadTimeout(const net::HeaderList& headers, const TimeLimits& limits) {
  if (const std::string_view text = headers.Get("grpc-timeout"); text.data() != nullptr) {
    const std::optional<absl::Duration> timeout = net::ParseGrpcTimeout(text);
    if (!timeout)
      return absl::InvalidArgumentError("grpc-timeout: expected up to 8 digits and one of H, M, S, m, u, n");
    return std::min(*timeout, limits.longest);
  }
  const std::string_view text = headers.Get("x-request-timeout");
  if (text.data() == nullptr) return limits.usual;
  double seconds = 0;
  absl::StatusOr<absl::Duration> timeout = absl::SimpleAtod(ToAbsl(text), &seconds)
                                               ? absl::StatusOr<absl::Duration>(absl::Seconds(seconds))
                                               : ParseDurationText(ToAbsl(text));
  if (!timeout.ok() || !(*timeout > absl::ZeroDuration())) {
    return InvalidField("x-request-timeout", "expected a time such as 1.5s or 500ms");
  }
  return std::min(*timeout, limits.longest);
}

RequestContext::Identity IdentityOf(const RequestContext& ctx) {
  RequestContext::Identity identity;
  identity.tenant = ctx.tenant();
  identity.request_id = ctx.request_id();
  identity.key_id = ctx.key_id();
  identity.trace = ctx.trace();
  return identity;
}

}  // namespace

absl::StatusOr<RequestContext> ReadRequestHead(const net::Exchange& exchange, const TimeLimits& limits) {
  const net::HeaderList& headers = exchange.request().headers;
  RequestContext ctx = exchange.context();
  if (const std::string_view id = headers.Get("x-request-id"); GoodRequestId(id)) {
    RequestContext::Identity identity = IdentityOf(ctx);
    identity.request_id = std::string(id);
    ctx = ctx.WithIdentity(std::move(identity));
  }
  ALCOVE_ASSIGN_OR_RETURN(const absl::Duration timeout, ReadTimeout(headers, limits));
  return ctx.WithTimeout(timeout);
}

RequestContext WithCaller(const RequestContext& ctx, const std::string& tenant, const std::string& key_id) {
  RequestContext::Identity identity = IdentityOf(ctx);
  identity.tenant = tenant;
  identity.key_id = key_id;
  return ctx.WithIdentity(std::move(identity));
}

bool ListAccepts(std::string_view header, std::string_view item) {
  for (const absl::string_view part : absl::StrSplit(ToAbsl(header), ',')) {
    const std::pair<absl::string_view, absl::string_view> split = absl::StrSplit(part, absl::MaxSplits(';', 1));
    if (!absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(split.first), ToAbsl(item))) continue;
    absl::string_view weight = absl::StripAsciiWhitespace(split.second);
    double quality = 1;
    if (absl::ConsumePrefix(&weight, "q=") && !absl::SimpleAtod(weight, &quality)) quality = 0;
    return quality > 0;
  }
  return false;
}

std::string Gzip(std::string_view body) {
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;
  if (::deflateInit2(&stream, 1, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) return "";
  std::string out(body.size(), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  // Out of room means that the result would be no smaller than the body.
  return result == Z_STREAM_END ? out : std::string();
}

}  // namespace alcove::gateway
