#include "libs/common/http_request.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>

namespace alcove {
namespace {

constexpr size_t kMaxHead = 8 * 1024;
constexpr size_t kMaxHeaders = 64;

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("!#$%&'*+-.^_`|~", c);
  });
}

bool IsPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

bool ParseRequestLine(absl::string_view line, HttpRequestHead* head, bool* http11) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == absl::string_view::npos || last == first) return false;
  const absl::string_view method = line.substr(0, first);
  const absl::string_view target = line.substr(first + 1, last - first - 1);
  const absl::string_view version = line.substr(last + 1);
  if (!IsToken(method) || target.empty() || target[0] != '/' || !IsPrintable(target)) return false;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return false;
  *http11 = version == "HTTP/1.1";
  const size_t question = target.find('?');
  head->method = std::string(method);
  head->path = std::string(target.substr(0, question));
  head->query = question == absl::string_view::npos ? "" : std::string(target.substr(question + 1));
  return true;
}

}  // namespace

absl::string_view HttpRequestHead::Header(absl::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

HttpParse ParseHttpRequestHead(absl::string_view input, HttpRequestHead* head) {
  const size_t end = input.substr(0, kMaxHead).find("\r\n\r\n");
  if (end == absl::string_view::npos) {
    return {input.size() >= kMaxHead ? HttpParseResult::kTooLarge : HttpParseResult::kNeedMore};
  }
  const HttpParse malformed = {HttpParseResult::kMalformed};
  HttpRequestHead parsed;
  bool http11 = false;
  absl::string_view rest = input.substr(0, end);
  bool first = true;
  while (first || !rest.empty()) {
    const size_t line_end = std::min(rest.find("\r\n"), rest.size());
    const absl::string_view line = rest.substr(0, line_end);
    rest.remove_prefix(std::min(rest.size(), line_end + 2));
    if (first) {
      if (!ParseRequestLine(line, &parsed, &http11)) return malformed;
      first = false;
      continue;
    }
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos || !IsToken(line.substr(0, colon))) return malformed;
    const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
    const bool clean = std::all_of(value.begin(), value.end(), [](char c) {
      return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
    });
    if (!clean) return malformed;
    if (parsed.headers.size() == kMaxHeaders) return {HttpParseResult::kTooLarge};
    parsed.headers.emplace_back(absl::AsciiStrToLower(line.substr(0, colon)), std::string(value));
  }
  const absl::string_view length = parsed.Header("content-length");
  parsed.has_body = (!length.empty() && length != "0") || !parsed.Header("transfer-encoding").empty();
  const std::string connection = absl::AsciiStrToLower(parsed.Header("connection"));
  parsed.keep_alive = http11 ? !absl::StrContains(connection, "close") : absl::StrContains(connection, "keep-alive");
  *head = std::move(parsed);
  return {HttpParseResult::kOk, end + 4};
}

}  // namespace alcove
