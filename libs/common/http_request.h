// The head of an HTTP/1.1 request, for the admin server. Strict and bounded: 8 KiB in all, 64 header fields.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/string_view.h>

namespace alcove {

struct HttpRequestHead {
  std::string method;
  std::string path;   // before "?"; not percent-decoded
  std::string query;  // after "?"; empty when there is none
  bool keep_alive = true;
  bool has_body = false;                                     // a Content-Length other than 0, or a Transfer-Encoding
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case

  // The first value of a header given in lower case; empty when absent.
  absl::string_view Header(absl::string_view name) const;
};

enum class HttpParseResult { kOk, kNeedMore, kMalformed, kTooLarge };

struct HttpParse {
  HttpParseResult result;
  size_t consumed = 0;  // bytes of the head, when kOk
};

// Reads one request head from the front of `input`. `head` is filled only for kOk.
HttpParse ParseHttpRequestHead(absl::string_view input, HttpRequestHead* head);

}  // namespace alcove
