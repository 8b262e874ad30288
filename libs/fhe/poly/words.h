// 64-byte aligned arrays of words, as the kernels want them.
#pragma once

#include <cstdint>
#include <new>
#include <vector>

namespace alcove::fhe {

template <class T>
struct CacheLineAllocator {
  using value_type = T;
  CacheLineAllocator() = default;
  template <class U>
  CacheLineAllocator(const CacheLineAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(64))); }
  void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t(64)); }
  template <class U>
  bool operator==(const CacheLineAllocator<U>&) const {
    return true;
  }
};

using Words = std::vector<uint64_t, CacheLineAllocator<uint64_t>>;

}  // namespace alcove::fhe
