// Any bytes as a tokenizer.json, and any bytes as text for a fixed tokenizer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "services/inference/model/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::inference;
  static const Tokenizer* const fixed = [] {
    TokenizerSpec spec;
    spec.vocabulary = {"[UNK]", "[SEP]", "a", "##a", "e", "##\xcc\x81", "\xe4\xb8\xad", "."};
    spec.normalizer = BertNormalizerOptions{};
    spec.added_tokens = {{"[SEP]", 1, false, true, true, false, true}, {"Aa", 8, true, false, false, true, false}};
    return Tokenizer::Create(std::move(spec))->release();
  }();
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  for (const int32_t id : fixed->Encode(text, 0).ids) {
    if (id < 0 || static_cast<size_t>(id) >= fixed->vocabulary_size()) std::abort();
  }
  if (fixed->Encode(text, 4).ids.size() > 4) std::abort();
  const auto parsed = Tokenizer::FromJson(text, "fuzz");
  if (parsed.ok()) (void)(*parsed)->EncodePair("Hello \xc3\xa9", text.substr(0, 64), 16);
  return 0;
}
