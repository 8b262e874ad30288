// Text to token ids, as the model's own tokenizer does it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "services/inference/model/added_tokens.h"
#include "services/inference/model/bert_normalizer.h"
#include "services/inference/model/wordpiece.h"

namespace alcove::inference {

// A text as the model reads it.
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;  // as long as `ids`
  bool truncated = false;
};

// One element of a post-processing template: a special token, or the first or second text.
struct TemplatePiece {
  enum class Kind { kSpecial, kFirst, kSecond };
  Kind kind = Kind::kFirst;
  std::vector<int32_t> special_ids;
  int32_t type_id = 0;
};

// Everything a WordPiece tokenizer consists of.
struct TokenizerSpec {
  std::vector<std::string> vocabulary;  // text of each id; empty where an id has no token
  WordPieceOptions wordpiece;
  std::optional<BertNormalizerOptions> normalizer;  // absent: text is taken as it is
  std::vector<AddedToken> added_tokens;
  std::vector<TemplatePiece> single;  // empty: the text alone
  std::vector<TemplatePiece> pair;    // empty: both texts, one after the other
};

// Immutable, thread safe. Token ids are equal to those of Hugging Face `tokenizers` (tested on a multilingual corpus).
class Tokenizer {
 public:
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Create(TokenizerSpec spec);

  // Reads `tokenizer.json`, or `vocab.txt` with `tokenizer_config.json`, from a model folder. NOT_FOUND naming both
  // when neither is there; INVALID_ARGUMENT naming the file and field when it is malformed or of a kind that is not
  // built.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromFolder(const std::string& folder);
  // Reads the text of a tokenizer.json; `name` is for messages.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromJson(absl::string_view json, absl::string_view name);

  // Ids of `text` with the model's special tokens, cut from the right so that they number at most `max_tokens`
  // (0: no limit; special tokens are never cut).
  Encoding Encode(absl::string_view text, size_t max_tokens) const;
  // Two texts in one sequence (cross-encoders). The longer one is cut first.
  Encoding EncodePair(absl::string_view first, absl::string_view second, size_t max_tokens) const;
  // Ids of `text` alone: no special tokens, no limit.
  std::vector<int32_t> EncodeWithoutSpecialTokens(absl::string_view text) const;

  // One more than the largest id.
  size_t vocabulary_size() const { return vocabulary_.size(); }
  // Text of a token; empty for an id that has none or is out of range.
  absl::string_view TokenText(int32_t id) const;
  // How many special tokens Encode adds.
  size_t special_tokens_added() const { return single_specials_; }
  // Bytes the tables take, about.
  size_t memory_bytes() const;

 private:
  Tokenizer(TokenizerSpec spec, WordPiece wordpiece);
  void AppendText(absl::string_view text, std::vector<int32_t>& ids) const;
  void AppendNormalized(absl::string_view text, std::vector<int32_t>& ids) const;
  void AppendWords(absl::string_view text, std::vector<int32_t>& ids) const;
  static Encoding Assemble(const std::vector<TemplatePiece>& pieces, const std::vector<int32_t>& first,
                           const std::vector<int32_t>& second);

  std::vector<std::string> vocabulary_;
  WordPiece wordpiece_;
  std::optional<BertNormalizer> normalizer_;
  AddedTokenMatcher raw_tokens_;
  AddedTokenMatcher normalized_tokens_;
  std::vector<TemplatePiece> single_;
  std::vector<TemplatePiece> pair_;
  size_t single_specials_ = 0;
  size_t pair_specials_ = 0;
};

}  // namespace alcove::inference
