// Uninitialised words on large pages, for what is scanned once and is megabytes in size: every small page would cost a
// fault when it is first written and a walk when it is read.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace alcove::fhe {

// Aligned to 4096 bytes at least. Copies are deep. Empty when default-made or moved from.
class LargeWords {
 public:
  LargeWords() = default;
  // Null data() when there is no memory.
  explicit LargeWords(size_t count) : size_(count) {
    constexpr size_t kLargePage = size_t{2} << 20;
    const size_t bytes = (count * sizeof(uint64_t) + 4095) / 4096 * 4096;
    void* memory = nullptr;
    if (posix_memalign(&memory, bytes >= kLargePage ? kLargePage : 4096, bytes) != 0) return;
    madvise(memory, bytes, MADV_HUGEPAGE);  // a wish; failing changes nothing
    data_ = static_cast<uint64_t*>(memory);
  }
  LargeWords(const LargeWords& other) : LargeWords(other.size_) {
    if (data_ == nullptr) throw std::bad_alloc();
    std::memcpy(data_, other.data_, size_ * sizeof(uint64_t));
  }
  LargeWords(LargeWords&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  LargeWords& operator=(LargeWords other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~LargeWords() { std::free(data_); }

  uint64_t* data() { return data_; }
  const uint64_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint64_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace alcove::fhe
