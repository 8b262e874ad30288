// The small parsers of outside bytes: request heads, trace headers, sizes, durations, addresses, UTF-8, hexadecimal.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "libs/common/hash.h"
#include "libs/common/http_request.h"
#include "libs/common/net_address.h"
#include "libs/common/text.h"
#include "libs/common/trace.h"

namespace {
void Require(bool holds) {
  if (!holds) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);

  HttpRequestHead head;
  const HttpParse parse = ParseHttpRequestHead(text, &head);
  if (parse.result == HttpParseResult::kOk) {
    Require(parse.consumed <= size && !head.path.empty() && head.path[0] == '/' && head.headers.size() <= 64);
  }

  if (const auto trace = ParseTraceparent(text)) {
    Require(trace->valid());
    Require(ParseTraceparent(FormatTraceparent(*trace)) == trace);
  }
  const std::string state = SanitizeTracestate(text);
  Require(state.size() <= 512 && SanitizeTracestate(state) == state);

  if (const auto bytes = ParseByteSize(text); bytes.ok())
    Require(*ParseByteSize(FormatByteSizeExact(*bytes)) == *bytes);
  if (const auto duration = ParseDurationText(text); duration.ok()) (void)FormatDurationShort(*duration);
  if (const auto address = ParseHostPort(text); address.ok()) Require(ParseHostPort(address->ToString()).ok());

  const std::string valid = ToValidUtf8(text);
  Require(IsValidUtf8(valid) && (valid == text) == IsValidUtf8(text));
  std::string json;
  AppendJsonString(json, text);
  Require(IsValidUtf8(json));
  Require(IsValidUtf8(TruncateUtf8(valid, size / 2)));
  Require(FromHex(ToHex(text)) == std::string(text));
  return 0;
}
