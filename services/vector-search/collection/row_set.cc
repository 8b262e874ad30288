#include "services/vector-search/collection/row_set.h"

#include <algorithm>

namespace alcove::vector_search {

size_t RowBitmap::Count() const {
  size_t count = 0;
  for (const uint64_t word : words_) count += static_cast<size_t>(std::popcount(word));
  return count;
}

void RowBitmap::And(const RowBitmap& other) {
  for (size_t i = 0; i < words_.size(); ++i) words_[i] &= i < other.words_.size() ? other.words_[i] : 0;
}

void RowBitmap::Or(const RowBitmap& other) {
  for (size_t i = 0; i < std::min(words_.size(), other.words_.size()); ++i) words_[i] |= other.words_[i];
}

void RowBitmap::AndNot(const RowBitmap& other) {
  for (size_t i = 0; i < std::min(words_.size(), other.words_.size()); ++i) words_[i] &= ~other.words_[i];
}

void RowBitmap::ForEach(absl::FunctionRef<bool(Row)> visit) const {
  for (size_t i = 0; i < words_.size(); ++i) {
    for (uint64_t word = words_[i]; word != 0; word &= word - 1) {
      if (!visit(static_cast<Row>(i * 64 + static_cast<size_t>(std::countr_zero(word))))) return;
    }
  }
}

Row RowBitmap::NextFrom(Row row) const {
  if (row >= size_) return ~Row{0};
  size_t at = row >> 6;
  uint64_t word = words_[at] & (~uint64_t{0} << (row & 63));
  while (word == 0) {
    if (++at == words_.size()) return ~Row{0};
    word = words_[at];
  }
  return static_cast<Row>(at * 64 + static_cast<size_t>(std::countr_zero(word)));
}

bool RowSet::Add(Row row) {
  const size_t high = row >> 16;
  const auto low = static_cast<uint16_t>(row);
  if (high >= containers_.size()) containers_.resize(high + 1);
  Container& c = containers_[high];
  if (c.bits != nullptr) {
    uint64_t& word = c.bits[low >> 6];
    const uint64_t bit = uint64_t{1} << (low & 63);
    if ((word & bit) != 0) return false;
    word |= bit;
  } else {
    const auto at = std::lower_bound(c.array.begin(), c.array.end(), low);
    if (at != c.array.end() && *at == low) return false;
    if (c.array.size() < kMaxArray) {
      c.array.insert(at, low);
    } else {
      c.bits = std::make_unique<uint64_t[]>(kWords);
      for (const uint16_t v : c.array) c.bits[v >> 6] |= uint64_t{1} << (v & 63);
      c.bits[low >> 6] |= uint64_t{1} << (low & 63);
      std::vector<uint16_t>().swap(c.array);
    }
  }
  ++c.count;
  ++size_;
  return true;
}

bool RowSet::Remove(Row row) {
  const size_t high = row >> 16;
  const auto low = static_cast<uint16_t>(row);
  if (high >= containers_.size()) return false;
  Container& c = containers_[high];
  if (c.bits != nullptr) {
    uint64_t& word = c.bits[low >> 6];
    const uint64_t bit = uint64_t{1} << (low & 63);
    if ((word & bit) == 0) return false;
    word &= ~bit;
    // Half the border where it became a bitmap, so that a set that hovers there does not change form at every step.
    if (--c.count <= kMaxArray / 2) {
      c.array.reserve(c.count);
      for (size_t w = 0; w < kWords; ++w) {
        for (uint64_t bits = c.bits[w]; bits != 0; bits &= bits - 1) {
          c.array.push_back(static_cast<uint16_t>(w * 64 + static_cast<size_t>(std::countr_zero(bits))));
        }
      }
      c.bits.reset();
    }
  } else {
    const auto at = std::lower_bound(c.array.begin(), c.array.end(), low);
    if (at == c.array.end() || *at != low) return false;
    c.array.erase(at);
    --c.count;
  }
  --size_;
  return true;
}

bool RowSet::Contains(Row row) const {
  const size_t high = row >> 16;
  if (high >= containers_.size()) return false;
  const auto low = static_cast<uint16_t>(row);
  const Container& c = containers_[high];
  if (c.bits != nullptr) return (c.bits[low >> 6] >> (low & 63) & 1) != 0;
  return std::binary_search(c.array.begin(), c.array.end(), low);
}

void RowSet::AddTo(RowBitmap& bitmap) const {
  for (size_t high = 0; high < containers_.size(); ++high) {
    const Container& c = containers_[high];
    const size_t base = high << 16;
    if (base >= bitmap.size()) return;
    if (c.bits != nullptr) {
      std::vector<uint64_t>& words = bitmap.words();
      const size_t first = base / 64;
      const size_t n = std::min(kWords, words.size() - first);
      for (size_t w = 0; w < n; ++w) words[first + w] |= c.bits[w];
      if (bitmap.size() % 64 != 0) words.back() &= (uint64_t{1} << (bitmap.size() % 64)) - 1;
    } else {
      for (const uint16_t low : c.array) {
        if (base + low < bitmap.size()) bitmap.Add(static_cast<Row>(base + low));
      }
    }
  }
}

size_t RowSet::CountIn(const RowBitmap& bitmap) const {
  size_t count = 0;
  for (size_t high = 0; high < containers_.size(); ++high) {
    const Container& c = containers_[high];
    const size_t base = high << 16;
    if (base >= bitmap.size()) break;
    if (c.bits != nullptr) {
      const std::vector<uint64_t>& words = bitmap.words();
      const size_t first = base / 64;
      const size_t n = std::min(kWords, words.size() - first);
      for (size_t w = 0; w < n; ++w) count += static_cast<size_t>(std::popcount(words[first + w] & c.bits[w]));
    } else {
      for (const uint16_t low : c.array) count += bitmap.Contains(static_cast<Row>(base + low));
    }
  }
  return count;
}

size_t RowSet::MemoryBytes() const {
  size_t bytes = containers_.capacity() * sizeof(Container);
  for (const Container& c : containers_) {
    bytes += c.array.capacity() * sizeof(uint16_t) + (c.bits != nullptr ? kWords * sizeof(uint64_t) : 0);
  }
  return bytes;
}

}  // namespace alcove::vector_search
