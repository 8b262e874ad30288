// Sets of row numbers. RowBitmap is flat: one bit a row, what a filter evaluates to. RowSet is compressed in the manner
// of Roaring bitmaps: what an index keeps for each value. Source: S. Chambi et al., "Better bitmap performance with
// Roaring bitmaps", 2016, arXiv:1402.6407.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <absl/functional/function_ref.h>

namespace alcove::vector_search {

using Row = uint32_t;

// Rows in [0, size()). Not thread-safe.
class RowBitmap {
 public:
  explicit RowBitmap(size_t size) : size_(size), words_((size + 63) / 64) {}
  size_t size() const { return size_; }
  bool Contains(Row row) const { return row < size_ && (words_[row >> 6] >> (row & 63) & 1) != 0; }
  // `row` < size().
  void Add(Row row) { words_[row >> 6] |= uint64_t{1} << (row & 63); }
  size_t Count() const;
  void And(const RowBitmap& other);
  void Or(const RowBitmap& other);
  void AndNot(const RowBitmap& other);
  // Calls visit(row) in ascending order until it returns false.
  void ForEach(absl::FunctionRef<bool(Row)> visit) const;
  // The first row of the set at or after `row`; ~Row{0} when there is none.
  Row NextFrom(Row row) const;
  const std::vector<uint64_t>& words() const { return words_; }
  std::vector<uint64_t>& words() { return words_; }

 private:
  size_t size_;
  std::vector<uint64_t> words_;
};

// Not thread-safe. Memory: 2 bytes a row while sparse, at most 8 KiB for each 65,536 rows.
class RowSet {
 public:
  // Return whether the set changed. O(4096) moves of two bytes at worst.
  bool Add(Row row);
  bool Remove(Row row);
  bool Contains(Row row) const;
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Sets the bits of all rows below bitmap.size().
  void AddTo(RowBitmap& bitmap) const;
  // How many of the rows are in the bitmap.
  size_t CountIn(const RowBitmap& bitmap) const;
  size_t MemoryBytes() const;

 private:
  static constexpr size_t kMaxArray = 4096;
  static constexpr size_t kWords = 1024;
  // Rows that share their upper 16 bits: a sorted array, or a bitmap once it is the smaller of the two.
  struct Container {
    std::vector<uint16_t> array;
    std::unique_ptr<uint64_t[]> bits;
    uint32_t count = 0;
  };
  std::vector<Container> containers_;
  size_t size_ = 0;
};

}  // namespace alcove::vector_search
