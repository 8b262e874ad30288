#include "services/vector-search/sparse/posting_list.h"

#include <algorithm>
#include <array>

namespace alcove::vector_search {
namespace {

constexpr uint32_t kSmallestCapacity = 4;
constexpr size_t kSpareBytes = 8;  // so that an entry is read with one unaligned load

uint32_t BitsFor(uint32_t value) { return static_cast<uint32_t>(std::bit_width(value)); }

size_t PackedBytes(uint32_t capacity, uint32_t bits) { return (size_t{capacity} * bits + 7) / 8 + kSpareBytes; }

// `bytes` at and after `bit` must be zero.
void Pack(uint8_t* bytes, uint32_t bit, uint32_t value) {
  uint64_t word;
  std::memcpy(&word, bytes + (bit >> 3), sizeof word);
  word |= uint64_t{value} << (bit & 7);
  std::memcpy(bytes + (bit >> 3), &word, sizeof word);
}

struct ByLast {
  bool operator()(const PostingList::Block& block, Row row) const { return block.last < row; }
};

}  // namespace

void PostingList::Decode(const Block& block, Row* rows, uint32_t* values) const {
  for (uint32_t i = 0; i < block.count; ++i) {
    rows[i] = RowAt(block, i);
    values[i] = ValueAt(block, i);
  }
}

PostingList::Block PostingList::Encode(const Row* rows, const uint32_t* values, uint32_t count, Impact impact) {
  Block block;
  block.first = rows[0];
  block.last = rows[count - 1];
  block.count = static_cast<uint8_t>(count);
  uint32_t capacity = std::max(std::bit_ceil(count), kSmallestCapacity);
  block.capacity = static_cast<uint8_t>(capacity);
  uint32_t largest = 0;
  block.high = block.low = impact(rows[0], values[0]);
  for (uint32_t i = 0; i < count; ++i) {
    largest = std::max(largest, values[i] - smallest_);
    const float value = impact(rows[i], values[i]);
    block.high = std::max(block.high, value);
    block.low = std::min(block.low, value);
  }
  // A block that is not full grows at its end by rows about as far apart as those it has.
  uint64_t span = block.last - block.first;
  if (count < kBlockPostings) span = std::max<uint64_t>(1, span + span * (capacity - count + 1) / count);
  block.row_bits = static_cast<uint8_t>(BitsFor(static_cast<uint32_t>(std::min<uint64_t>(span, ~Row{0}))));
  block.value_bits = static_cast<uint8_t>(BitsFor(largest));
  const uint32_t bits = block.row_bits + block.value_bits;
  const size_t bytes = PackedBytes(capacity, bits);
  block.bytes = std::make_unique<uint8_t[]>(bytes);
  for (uint32_t i = 0; i < count; ++i) {
    Pack(block.bytes.get(), i * bits, rows[i] - block.first);
    Pack(block.bytes.get(), i * bits + block.row_bits, values[i] - smallest_);
  }
  bytes_ += bytes;
  return block;
}

void PostingList::Drop(const Block& block) {
  bytes_ -= PackedBytes(block.capacity, uint32_t{block.row_bits} + block.value_bits);
}

void PostingList::Widen(const Block& block) {
  high_ = std::max(high_, block.high);
  low_ = std::min(low_, block.low);
}

void PostingList::RecomputeBounds() {
  high_ = blocks_.empty() ? 0 : blocks_[0].high;
  low_ = blocks_.empty() ? 0 : blocks_[0].low;
  for (const Block& block : blocks_) Widen(block);
}

void PostingList::Insert(Row row, uint32_t value, Impact impact) {
  std::array<Row, kBlockPostings + 1> rows;
  std::array<uint32_t, kBlockPostings + 1> values;
  const bool first = size_++ == 0;
  auto at = std::lower_bound(blocks_.begin(), blocks_.end(), row, ByLast());
  if (at == blocks_.end()) {
    if (blocks_.empty() || blocks_.back().count == kBlockPostings) {
      blocks_.push_back(Encode(&row, &value, 1, impact));
      if (first) {
        high_ = blocks_.back().high;
        low_ = blocks_.back().low;
      }
      return Widen(blocks_.back());
    }
    at = std::prev(blocks_.end());
    Block& block = *at;
    const uint32_t offset = row - block.first;
    if (block.count < block.capacity && BitsFor(offset) <= block.row_bits &&
        BitsFor(value - smallest_) <= block.value_bits && block.count + 1 < static_cast<int>(kBlockPostings)) {
      const uint32_t bit = block.count * (uint32_t{block.row_bits} + block.value_bits);
      Pack(block.bytes.get(), bit, offset);
      Pack(block.bytes.get(), bit + block.row_bits, value - smallest_);
      ++block.count;
      block.last = row;
      const float reached = impact(row, value);
      block.high = std::max(block.high, reached);
      block.low = std::min(block.low, reached);
      return Widen(block);
    }
  }
  Block& block = *at;
  Decode(block, rows.data(), values.data());
  const uint32_t place =
      static_cast<uint32_t>(std::lower_bound(rows.begin(), rows.begin() + block.count, row) - rows.begin());
  std::copy_backward(rows.begin() + place, rows.begin() + block.count, rows.begin() + block.count + 1);
  std::copy_backward(values.begin() + place, values.begin() + block.count, values.begin() + block.count + 1);
  rows[place] = row;
  values[place] = value;
  const uint32_t count = block.count + 1u;
  Drop(block);
  if (count <= kBlockPostings) {
    block = Encode(rows.data(), values.data(), count, impact);
    return Widen(block);
  }
  const uint32_t half = count / 2;
  block = Encode(rows.data(), values.data(), half, impact);
  Block upper = Encode(rows.data() + half, values.data() + half, count - half, impact);
  Widen(block);
  Widen(upper);
  blocks_.insert(std::next(at), std::move(upper));
}

bool PostingList::Remove(Row row, Impact impact) {
  const auto at = std::lower_bound(blocks_.begin(), blocks_.end(), row, ByLast());
  if (at == blocks_.end()) return false;
  std::array<Row, 2 * kBlockPostings> rows;
  std::array<uint32_t, 2 * kBlockPostings> values;
  Block& block = *at;
  Decode(block, rows.data(), values.data());
  const auto place = std::lower_bound(rows.begin(), rows.begin() + block.count, row);
  if (place == rows.begin() + block.count || *place != row) return false;
  const auto value_place = values.begin() + (place - rows.begin());
  std::copy(place + 1, rows.begin() + block.count, place);
  std::copy(value_place + 1, values.begin() + block.count, value_place);
  uint32_t count = block.count - 1u;
  const bool at_bound = block.high >= high_ || block.low <= low_;
  Drop(block);
  --size_;
  if (count == 0) {
    blocks_.erase(at);
  } else {
    // A small block joins the next one when both fit well into one.
    if (const auto next = std::next(at); next != blocks_.end() && count + next->count <= kBlockPostings * 3 / 4) {
      Decode(*next, rows.data() + count, values.data() + count);
      count += next->count;
      Drop(*next);
      blocks_.erase(next);
    }
    block = Encode(rows.data(), values.data(), count, impact);
  }
  if (at_bound) RecomputeBounds();
  return true;
}

void PostingList::Rescore(Impact impact) {
  for (Block& block : blocks_) {
    block.high = block.low = impact(RowAt(block, 0), ValueAt(block, 0));
    for (uint32_t i = 1; i < block.count; ++i) {
      const float value = impact(RowAt(block, i), ValueAt(block, i));
      block.high = std::max(block.high, value);
      block.low = std::min(block.low, value);
    }
  }
  RecomputeBounds();
}

size_t PostingCursor::FindBlock(size_t from, Row target) const {
  const auto& blocks = list_->blocks();
  if (from >= blocks.size() || blocks[from].last >= target) return from;
  // Doubling steps: most moves are short.
  size_t step = 1;
  size_t low = from;
  while (low + step < blocks.size() && blocks[low + step].last < target) {
    low += step;
    step *= 2;
  }
  const size_t high = std::min(low + step + 1, blocks.size());
  return static_cast<size_t>(std::lower_bound(blocks.begin() + static_cast<ptrdiff_t>(low) + 1,
                                              blocks.begin() + static_cast<ptrdiff_t>(high), target, ByLast()) -
                             blocks.begin());
}

void PostingCursor::Seek(Row target) {
  if (row_ >= target) return;
  const size_t block = FindBlock(block_, target);
  if (block != block_) entry_ = 0;
  block_ = block;
  const auto& blocks = list_->blocks();
  if (block_ >= blocks.size()) {
    row_ = kEnd;
    return;
  }
  const PostingList::Block& in = blocks[block_];
  uint32_t low = entry_;
  uint32_t high = in.count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (list_->RowAt(in, middle) < target) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  entry_ = low;
  row_ = list_->RowAt(in, entry_);
}

const PostingList::Block* PostingCursor::BlockOf(Row target) {
  const auto& blocks = list_->blocks();
  shallow_ = FindBlock(std::max(shallow_, block_), target);
  return shallow_ < blocks.size() ? &blocks[shallow_] : nullptr;
}

}  // namespace alcove::vector_search
