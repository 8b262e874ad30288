// Tokens come back from clients: any text is either what was handed out or an error.
#include <cstdint>
#include <cstdlib>

#include "services/vector-search/coordinator/sequence_token.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::vector_search;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto token = ParseSequenceToken(text, {8, 3});
  if (token.ok() && FormatSequenceToken(token->epoch, token->sequences) != text) std::abort();
  (void)ParsePageToken(text, 7);
  return 0;
}
