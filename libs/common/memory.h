// Memory that is aligned, memory that forgets, and how much of it there is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

namespace alcove {

// Asks for the cache line of `at`, to be read soon. Any address is allowed.
//
// The empty asm keeps the request: a function that does nothing but __builtin_prefetch counts as one without effect for
// GCC 12, which then removes the calls to it.
inline void PrefetchForRead(const void* at) {
  __builtin_prefetch(at, 0, 3);
  asm volatile("");
}
// The same into the second-level cache, for more lines than the few a core can fetch into the first at a time.
inline void PrefetchToL2(const void* at) {
  __builtin_prefetch(at, 0, 2);
  asm volatile("");
}

enum class HugePages { kNo, kTransparent };

namespace memory_internal {
// Zero-filled, 64-byte aligned (2 MiB aligned and advised for huge pages when asked and at least 2 MiB). Aborts the
// process when the kernel has no memory, as operator new would without exceptions.
void* Allocate(size_t bytes, HugePages huge_pages);
void Free(void* data, size_t bytes, HugePages huge_pages);
}  // namespace memory_internal

// A fixed-size array of trivial values, zero-filled and aligned to a cache line. Move-only.
template <typename T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size, HugePages huge_pages = HugePages::kNo)
      : data_(size == 0 ? nullptr : static_cast<T*>(memory_internal::Allocate(size * sizeof(T), huge_pages))),
        size_(size),
        huge_pages_(huge_pages) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer(std::move(other)).swap(*this);
    return *this;
  }
  ~AlignedBuffer() {
    if (data_ != nullptr) memory_internal::Free(data_, size_ * sizeof(T), huge_pages_);
  }
  void swap(AlignedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(huge_pages_, other.huge_pages_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  absl::Span<T> span() { return {data_, size_}; }
  absl::Span<const T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
  HugePages huge_pages_ = HugePages::kNo;
};

// Overwrites memory in a way the compiler may not remove.
void SecureZero(void* data, size_t bytes);

// Bytes of a secret: overwritten with zeros before their memory is given back. Move-only; copying is spelt Clone().
class SecureBytes {
 public:
  SecureBytes() = default;
  explicit SecureBytes(size_t size) : bytes_(size) {}
  explicit SecureBytes(absl::Span<const uint8_t> bytes) : bytes_(bytes.size()) {
    if (!bytes.empty()) std::memcpy(bytes_.data(), bytes.data(), bytes.size());
  }
  SecureBytes(SecureBytes&&) noexcept = default;
  SecureBytes& operator=(SecureBytes&& other) noexcept {
    Clear();
    bytes_ = std::move(other.bytes_);
    return *this;
  }
  ~SecureBytes() { Clear(); }

  SecureBytes Clone() const { return SecureBytes(bytes_.span()); }
  // Overwrites and frees.
  void Clear() {
    if (!bytes_.empty()) SecureZero(bytes_.data(), bytes_.size());
    bytes_ = {};
  }
  uint8_t* data() { return bytes_.data(); }
  const uint8_t* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  absl::Span<uint8_t> span() { return bytes_.span(); }
  absl::Span<const uint8_t> span() const { return bytes_.span(); }

 private:
  AlignedBuffer<uint8_t> bytes_;
};

// Equality in time that depends only on the lengths.
bool ConstantTimeEqual(absl::Span<const uint8_t> a, absl::Span<const uint8_t> b);

// Resident set size of this process in bytes; 0 when /proc cannot be read.
uint64_t ResidentBytes();
// The memory this process may use: the smallest limit of its cgroups (v2 or v1), else the machine's memory, in bytes.
uint64_t MemoryLimitBytes();
// What is still free below that limit: the limit minus the cgroup's usage (page cache that can be dropped not counted),
// else MemAvailable of the machine.
uint64_t MemoryAvailableBytes();

}  // namespace alcove
