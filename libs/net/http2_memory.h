#pragma once

#include <nghttp2/nghttp2.h>

namespace alcove::net {

// The allocator of nghttp2 sessions: blocks up to 1 KiB come from per-thread free lists by size class. A session makes
// and frees some twenty small blocks per request, many requests at once, which is more than malloc's own per-thread
// cache holds. Under AddressSanitizer it is plain malloc, so that misuse stays visible.
//
// Thread safety: any thread; a block may be freed on another thread than it came from.
nghttp2_mem* Http2Memory();

}  // namespace alcove::net
