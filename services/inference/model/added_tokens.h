// Tokens that are recognised in text before it is split into words: [MASK], [SEP] and what a model's author added.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <absl/strings/string_view.h>

namespace alcove::inference {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  // not inside a longer word
  bool lstrip = false;       // swallow white space before it
  bool rstrip = false;       // swallow white space after it
  bool normalized = false;   // compared with normalised text instead of the text as given
  bool special = false;
};

// Finds a set of tokens, leftmost first and longest first among those that begin at the same place. Immutable, thread
// safe.
class AddedTokenMatcher {
 public:
  // Tokens with empty content are ignored.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  // Calls `text_part` for each stretch without tokens (not empty) and `token` for each token, in order. Cost: linear
  // while no byte of the text starts a token.
  void Split(absl::string_view text, const std::function<void(absl::string_view)>& text_part,
             const std::function<void(const AddedToken&)>& token) const;

  bool empty() const { return tokens_.empty(); }

 private:
  const AddedToken* MatchAt(absl::string_view text) const;

  std::vector<AddedToken> tokens_;  // longest first
  bool starts_token_[256] = {};
};

}  // namespace alcove::inference
