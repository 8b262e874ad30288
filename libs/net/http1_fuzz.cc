// An HTTP/1.1 session fed arbitrary bytes.
#include "libs/net/fuzz_handler.h"
#include "libs/net/http1_session.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  alcove::net::FuzzSession<alcove::net::Http1Session>(data, size, "");
  return 0;
}
