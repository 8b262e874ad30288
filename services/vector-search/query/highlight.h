// Pieces of a text around the words a query found it by.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/string_view.h>

#include "services/vector-search/text/tokenizer.h"

namespace alcove::vector_search {

inline constexpr uint32_t kMaxHighlightFragments = 10;
inline constexpr uint32_t kMaxFragmentBytes = 2'000;
inline constexpr size_t kMaxHighlightMark = 64;  // bytes

struct HighlightOptions {
  std::vector<std::string> fields;  // payload paths of texts; empty: those the query's text fields are made of
  uint32_t fragments = 3;           // of one field, 1 to kMaxHighlightFragments
  uint32_t fragment_bytes = 160;    // about; 20 to kMaxFragmentBytes
  std::string pre = "<em>";         // before and after each matching word
  std::string post = "</em>";
};

// Up to options.fragments pieces of `text` in the order of the text, chosen for most different words of `words` (as
// `tokenizer` makes them), cut between words, matching words marked. Nothing when no word matches. The text itself is
// not escaped.
std::vector<std::string> Highlight(const Tokenizer& tokenizer, const absl::flat_hash_set<std::string>& words,
                                   absl::string_view text, const HighlightOptions& options);

}  // namespace alcove::vector_search
