// zlib and zstd streams, bounded on the way in.
#pragma once

#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace alcove::fhe {

// Inflates one RFC 1950 stream that fills `in`. Stops with kTooLarge as soon as more than `max_bytes` would come out.
absl::StatusOr<std::string> ZlibDecompress(absl::string_view in, size_t max_bytes);
std::string ZlibCompress(absl::string_view in);

// Decodes one zstd frame that fills `in`, with a window of at most 8 MiB; bounded as above.
absl::StatusOr<std::string> ZstdDecompress(absl::string_view in, size_t max_bytes);
std::string ZstdCompress(absl::string_view in);

}  // namespace alcove::fhe
