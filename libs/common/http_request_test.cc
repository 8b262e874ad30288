#include "libs/common/http_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove {
namespace {

HttpParseResult Parse(absl::string_view text, HttpRequestHead* head) { return ParseHttpRequestHead(text, head).result; }

TEST(HttpRequest, ReadsAHeadAndLeavesWhatFollows) {
  const std::string text = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept:  text/plain \r\n\r\nGET";
  HttpRequestHead head;
  const HttpParse parse = ParseHttpRequestHead(text, &head);
  ASSERT_EQ(parse.result, HttpParseResult::kOk);
  EXPECT_EQ(parse.consumed, text.size() - 3);
  EXPECT_EQ(head.method, "GET");
  EXPECT_EQ(head.path, "/metrics");
  EXPECT_EQ(head.query, "x=1");
  EXPECT_EQ(head.Header("accept"), "text/plain");
  EXPECT_EQ(head.Header("missing"), "");
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.has_body);
}

TEST(HttpRequest, KnowsBodiesAndClosing) {
  HttpRequestHead head;
  ASSERT_EQ(Parse("GET / HTTP/1.1\r\nConnection: Close\r\nContent-Length: 5\r\n\r\n", &head), HttpParseResult::kOk);
  EXPECT_FALSE(head.keep_alive);
  EXPECT_TRUE(head.has_body);
  ASSERT_EQ(Parse("GET / HTTP/1.0\r\n\r\n", &head), HttpParseResult::kOk);
  EXPECT_FALSE(head.keep_alive);
  ASSERT_EQ(Parse("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", &head), HttpParseResult::kOk);
  EXPECT_TRUE(head.has_body);
}

TEST(HttpRequest, RefusesWhatIsMalformedOrTooLarge) {
  HttpRequestHead head;
  for (const char* wrong :
       {"GET\r\n\r\n", "GET  HTTP/1.1\r\n\r\n", "GET x HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\n\r\n",
        "G T / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", "\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\na b: x\r\n\r\n", "GET / HTTP/1.1\r\na: \x01\r\n\r\n"}) {
    EXPECT_EQ(Parse(wrong, &head), HttpParseResult::kMalformed) << wrong;
  }
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\n", &head), HttpParseResult::kNeedMore);
  EXPECT_EQ(Parse(std::string(9000, 'x'), &head), HttpParseResult::kTooLarge);
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 65; ++i) many += "a: b\r\n";
  EXPECT_EQ(Parse(many + "\r\n", &head), HttpParseResult::kTooLarge);
}

}  // namespace
}  // namespace alcove
