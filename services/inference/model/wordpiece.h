// WordPiece: greedy longest-match-first splitting of a word into vocabulary pieces (Schuster and Nakajima 2012; as BERT
// uses it).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace alcove::inference {

struct WordPieceOptions {
  std::string unknown_token = "[UNK]";
  std::string continuing_prefix = "##";  // put before every piece but a word's first when it is looked up
  size_t max_chars_per_word = 100;       // longer words become the unknown token
};

// Immutable, thread safe. The vocabulary is held as a byte trie in one open-addressing table, so finding the longest
// piece costs one probe per byte.
class WordPiece {
 public:
  // `vocabulary[id]` is the text of token `id`; empty entries are ids without a token. INVALID_ARGUMENT when the
  // unknown token is not in the vocabulary, or when the vocabulary is too large (more than 2^24 trie nodes).
  static absl::StatusOr<WordPiece> Create(const std::vector<std::string>& vocabulary, const WordPieceOptions& options);

  // Appends the ids of `word` (UTF-8, not empty). A word that cannot be split into pieces is one unknown token.
  void AppendWord(absl::string_view word, std::vector<int32_t>& ids) const;

  int32_t unknown_id() const { return unknown_id_; }
  // Bytes of the tables.
  size_t memory_bytes() const { return edges_.size() * sizeof(Edge) + token_of_node_.size() * sizeof(int32_t); }

 private:
  struct Edge {
    uint32_t key = kEmpty;  // node << 8 | byte
    uint32_t node = 0;
  };
  static constexpr uint32_t kEmpty = 0xffffffff;
  static constexpr int32_t kNoToken = -1;

  WordPiece() = default;
  static size_t Slot(uint32_t key, size_t mask) { return (key * size_t{0x9e3779b97f4a7c15} >> 32) & mask; }
  // The node reached from `node` by `byte`; 0 (the root, never a child) when there is none.
  uint32_t Child(uint32_t node, unsigned char byte) const;

  std::vector<Edge> edges_;
  std::vector<int32_t> token_of_node_;
  uint32_t continuing_node_ = 0;
  bool can_continue_ = true;
  int32_t unknown_id_ = 0;
  size_t max_chars_ = 0;
};

}  // namespace alcove::inference
