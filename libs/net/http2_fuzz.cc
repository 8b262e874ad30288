// An HTTP/2 server session fed arbitrary bytes after a valid preface.
#include "libs/net/fuzz_handler.h"
#include "libs/net/http2_session.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The preface is the same for everybody: spending the fuzzer on it would only slow it down.
  constexpr std::string_view kPreface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  alcove::net::FuzzSession<alcove::net::Http2Session>(data, size, kPreface);
  return 0;
}
