#include "services/inference/model/wordpiece.h"

#include <absl/strings/str_cat.h>

namespace alcove::inference {

absl::StatusOr<WordPiece> WordPiece::Create(const std::vector<std::string>& vocabulary,
                                            const WordPieceOptions& options) {
  WordPiece model;
  model.max_chars_ = options.max_chars_per_word;
  model.unknown_id_ = kNoToken;
  size_t total_bytes = 1;
  for (const std::string& token : vocabulary) total_bytes += token.size();
  if (total_bytes >= (size_t{1} << 24)) {
    return absl::InvalidArgumentError(absl::StrCat("the vocabulary holds ", total_bytes, " bytes; the limit is 2^24"));
  }
  // Sharing of prefixes makes the real number of edges smaller; a table at most half full keeps probes short.
  size_t capacity = 16;
  while (capacity < total_bytes * 2) capacity *= 2;
  model.edges_.resize(capacity);
  model.token_of_node_.push_back(kNoToken);

  const size_t mask = capacity - 1;
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    const std::string& token = vocabulary[id];
    if (token.empty()) continue;
    uint32_t node = 0;
    for (const char c : token) {
      const uint32_t key = node << 8 | static_cast<unsigned char>(c);
      size_t slot = Slot(key, mask);
      while (model.edges_[slot].key != kEmpty && model.edges_[slot].key != key) slot = (slot + 1) & mask;
      if (model.edges_[slot].key == kEmpty) {
        model.edges_[slot] = {key, static_cast<uint32_t>(model.token_of_node_.size())};
        model.token_of_node_.push_back(kNoToken);
      }
      node = model.edges_[slot].node;
    }
    model.token_of_node_[node] = static_cast<int32_t>(id);
    if (token == options.unknown_token) model.unknown_id_ = static_cast<int32_t>(id);
  }
  if (model.unknown_id_ == kNoToken) {
    return absl::InvalidArgumentError(
        absl::StrCat("the unknown token \"", options.unknown_token, "\" is not in the vocabulary"));
  }
  for (const char c : options.continuing_prefix) {
    const uint32_t child = model.Child(model.continuing_node_, static_cast<unsigned char>(c));
    if (child == 0) {
      model.can_continue_ = false;
      break;
    }
    model.continuing_node_ = child;
  }
  return model;
}

uint32_t WordPiece::Child(uint32_t node, unsigned char byte) const {
  const uint32_t key = node << 8 | byte;
  const size_t mask = edges_.size() - 1;
  for (size_t slot = Slot(key, mask);; slot = (slot + 1) & mask) {
    const Edge& edge = edges_[slot];
    if (edge.key == key) return edge.node;
    if (edge.key == kEmpty) return 0;
  }
}

void WordPiece::AppendWord(absl::string_view word, std::vector<int32_t>& ids) const {
  if (word.size() > max_chars_) {
    size_t chars = 0;
    for (const char c : word) chars += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (chars > max_chars_) {
      ids.push_back(unknown_id_);
      return;
    }
  }
  const size_t first = ids.size();
  uint32_t start_node = 0;
  size_t position = 0;
  while (position < word.size()) {
    uint32_t node = start_node;
    int32_t best = kNoToken;
    size_t best_end = position;
    for (size_t i = position; i < word.size(); ++i) {
      node = Child(node, static_cast<unsigned char>(word[i]));
      if (node == 0) break;
      if (token_of_node_[node] != kNoToken) {
        best = token_of_node_[node];
        best_end = i + 1;
      }
    }
    if (best == kNoToken || (best_end < word.size() && !can_continue_)) {
      ids.resize(first);
      ids.push_back(unknown_id_);
      return;
    }
    ids.push_back(best);
    position = best_end;
    start_node = continuing_node_;
  }
}

}  // namespace alcove::inference
