// The rows that hold one term, ascending, each with a value: how often a word occurs, or a weight. Blocks of up to 128
// postings are packed to the bits they need and know the largest and smallest impact of their postings, so that a
// search can pass over a block without reading it. Changed in place: an insertion or removal rewrites one block.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <absl/functional/function_ref.h>

#include "services/vector-search/collection/row_set.h"

namespace alcove::vector_search {

// Not thread-safe. Invariants: blocks are not empty and ascend without overlap; within a block rows ascend strictly.
class PostingList {
 public:
  static constexpr uint32_t kBlockPostings = 128;

  // What a posting can add to a score, for a query of weight 1. Only bounds are kept of it.
  using Impact = absl::FunctionRef<float(Row row, uint32_t value)>;

  // Entry i lies at bit i * (row_bits + value_bits): row - first, then value - the list's smallest value.
  struct Block {
    Row first = 0;
    Row last = 0;
    float high = 0;  // largest impact; may be stale upwards, never downwards
    float low = 0;   // smallest impact
    std::unique_ptr<uint8_t[]> bytes;
    uint8_t count = 0;
    uint8_t capacity = 0;  // entries there is room for
    uint8_t row_bits = 0;
    uint8_t value_bits = 0;
  };

  // Values are at least `smallest`.
  explicit PostingList(uint32_t smallest = 0) : smallest_(smallest) {}

  // `row` is not in the list.
  void Insert(Row row, uint32_t value, Impact impact);
  // False when the row is not in the list.
  bool Remove(Row row, Impact impact);
  // Computes all bounds anew.
  void Rescore(Impact impact);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Of all blocks.
  float high() const { return high_; }
  float low() const { return low_; }
  const std::vector<Block>& blocks() const { return blocks_; }
  size_t MemoryBytes() const { return bytes_ + blocks_.capacity() * sizeof(Block); }

  Row RowAt(const Block& block, uint32_t i) const {
    return block.first + Extract(block, i * (block.row_bits + block.value_bits), block.row_bits);
  }
  uint32_t ValueAt(const Block& block, uint32_t i) const {
    return smallest_ + Extract(block, i * (block.row_bits + block.value_bits) + block.row_bits, block.value_bits);
  }

 private:
  static uint32_t Extract(const Block& block, uint32_t bit, uint32_t width) {
    uint64_t word;
    std::memcpy(&word, block.bytes.get() + (bit >> 3), sizeof word);  // blocks end in eight spare bytes
    return static_cast<uint32_t>(word >> (bit & 7)) & static_cast<uint32_t>((uint64_t{1} << width) - 1);
  }
  void Decode(const Block& block, Row* rows, uint32_t* values) const;
  Block Encode(const Row* rows, const uint32_t* values, uint32_t count, Impact impact);
  void Drop(const Block& block);
  void Widen(const Block& block);
  void RecomputeBounds();

  std::vector<Block> blocks_;
  size_t size_ = 0;
  size_t bytes_ = 0;  // of the blocks' packed entries
  float high_ = 0;
  float low_ = 0;
  uint32_t smallest_;
};

// Walks one list forwards. The list must not change meanwhile.
class PostingCursor {
 public:
  static constexpr Row kEnd = ~Row{0};

  explicit PostingCursor(const PostingList& list) : list_(&list) { Load(); }

  Row row() const { return row_; }
  // While row() != kEnd.
  uint32_t value() const { return list_->ValueAt(list_->blocks()[block_], entry_); }
  void Next() {
    if (++entry_ >= list_->blocks()[block_].count) {
      ++block_;
      entry_ = 0;
    }
    Load();
  }
  // The first row at or after `target`; never moves backwards.
  void Seek(Row target);
  // The block that row `target` (not before row()) would lie in, or null past the end. Does not move the cursor.
  const PostingList::Block* BlockOf(Row target);

 private:
  void Load() {
    const auto& blocks = list_->blocks();
    row_ = block_ < blocks.size() ? list_->RowAt(blocks[block_], entry_) : kEnd;
  }
  // The first block from `from` on whose last row is not before `target`.
  size_t FindBlock(size_t from, Row target) const;

  const PostingList* list_;
  size_t block_ = 0;
  size_t shallow_ = 0;
  uint32_t entry_ = 0;
  Row row_ = kEnd;
};

}  // namespace alcove::vector_search
