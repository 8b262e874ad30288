// Memory of a model's packed weights, in the order they are read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "libs/common/memory.h"

namespace alcove::inference {

// Hands out memory side by side in huge pages. Matrices of a small model are each too small for huge pages, and a text
// that comes after a pause finds neither them nor the page tables in a cache: with 4 KiB pages, looking those up costs
// more than reading the weights. Not thread safe; what it gave lives as long as the arena.
class WeightArena {
 public:
  WeightArena() = default;
  WeightArena(const WeightArena&) = delete;
  WeightArena& operator=(const WeightArena&) = delete;

  // `count` zeros, aligned to 64 bytes.
  template <typename T>
  absl::Span<T> Allocate(size_t count) {
    const size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
    if (chunks_.empty() || chunks_.back().size() - used_ < bytes) {
      chunks_.emplace_back(std::max(bytes, kChunkBytes), HugePages::kTransparent);
      used_ = 0;
    }
    T* const data = reinterpret_cast<T*>(chunks_.back().data() + used_);
    used_ += bytes;
    total_ += bytes;
    return absl::MakeSpan(data, count);
  }

  // Bytes given out. Pages never touched take no memory.
  size_t bytes() const { return total_; }

 private:
  static constexpr size_t kChunkBytes = size_t{32} << 20;
  std::vector<AlignedBuffer<uint8_t>> chunks_;
  size_t used_ = 0;  // of the last chunk
  size_t total_ = 0;
};

}  // namespace alcove::inference
