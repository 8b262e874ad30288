#include "services/gateway/upstream/call_metadata.h"

namespace alcove::gateway {
namespace {

void AppendHex(uint64_t value, std::string& out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  char text[16];
  for (int i = 15; i >= 0; --i, value >>= 4) text[i] = kDigits[value & 15];
  out.append(text, sizeof(text));
}

}  // namespace

bool ForwardableRequestField(std::string_view name) {
  // By first letter, because most fields of most requests are settled by it.
  switch (name.empty() ? '\0' : name[0]) {
    case 'a': return name != "authorization";
    case 'c': return name != "content-type" && name != "connection" && name != "cookie" && name != "content-length";
    case 'e': return name != "expect";
    case 'g': return name != "grpc-timeout" && name != "grpc-previous-rpc-attempts";
    case 'h': return name != "host";
    case 'k': return name != "keep-alive";
    case 'p': return name.substr(0, 6) != "proxy-";
    case 't': return name != "te" && name != "traceparent" && name != "transfer-encoding" && name != "trailer";
    case 'u': return name != "upgrade";
    case 'x': return name.substr(0, 9) != "x-alcove-" && name != "x-api-key";
    default: return !name.empty();
  }
}

bool ForwardableResponseField(std::string_view name) {
  switch (name.empty() ? '\0' : name[0]) {
    case 'c': return name != "connection" && name != "content-length";
    case 'k': return name != "keep-alive";
    case 'p': return name != "proxy-connection";
    case 't': return name != "transfer-encoding";
    case 'u': return name != "upgrade";
    case 'x': return name.substr(0, 9) != "x-alcove-";
    default: return !name.empty();
  }
}

bool LooksLikeTraceparent(std::string_view v) {
  if (v.size() != 55 || v[0] != '0' || v[1] != '0' || v[2] != '-' || v[35] != '-' || v[52] != '-') return false;
  bool trace_zero = true;
  bool span_zero = true;
  for (size_t i = 3; i < v.size(); ++i) {
    if (i == 35 || i == 52) continue;
    const char c = v[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    if (c != '0' && i < 35) trace_zero = false;
    if (c != '0' && i > 35 && i < 52) span_zero = false;
  }
  return !trace_zero && !span_zero;
}

void AppendRandomId(net::Loop& loop, std::string& out) { AppendHex(loop.Random(), out); }

void AppendNewTraceparent(net::Loop& loop, std::string& out) {
  out.append("00-");
  AppendHex(loop.Random() | 1, out);
  AppendHex(loop.Random(), out);
  out.push_back('-');
  AppendHex(loop.Random() | 1, out);
  out.append("-01");
}

}  // namespace alcove::gateway
