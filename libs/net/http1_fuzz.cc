// An HTTP/1.1 session fed arbitrary bytes, in pieces whose size the first byte chooses.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/net/fuzz_handler.h"
#include "libs/net/http1_session.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::net;
  if (size == 0) return 0;
  static const ServerOptions options = [] {
    ServerOptions o;
    o.limits.max_header_bytes = 4096;
    o.limits.max_body_bytes = 16384;
    return o;
  }();
  Loop loop(0);
  FuzzHandler handler;
  ServerState state(loop, options);
  state.handler = &handler;
  {
    Http1Session session(state);
    const size_t step = size_t{data[0]} + 1;
    for (size_t at = 1; at < size; at += step) {
      const size_t n = std::min(step, size - at);
      session.OnBytes(std::string_view(reinterpret_cast<const char*>(data + at), n));
      loop.RunReady();
      std::string out;
      session.Produce(out, 1 << 16);
    }
    session.OnClosed(absl::CancelledError("end of input"));
    loop.RunReady();
  }
  loop.RunReady();
  return 0;
}
