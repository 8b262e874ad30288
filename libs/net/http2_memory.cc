#include "libs/net/http2_memory.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace alcove::net {
namespace {

constexpr size_t kClassBytes = 64;
constexpr size_t kClasses = 16;  // up to 1 KiB
constexpr uint32_t kMaxFree = 4096;
constexpr uint32_t kLarge = ~uint32_t{0};

// Before each block; keeps the block aligned for anything.
struct alignas(16) Header {
  uint32_t size_class;
  uint32_t unused;
  uint64_t size;  // usable bytes
};

struct FreeList {
  void* head = nullptr;
  uint32_t count = 0;
};

struct ThreadLists {
  std::array<FreeList, kClasses> lists;
  ~ThreadLists() {
    for (FreeList& list : lists) {
      while (list.head != nullptr) {
        void* next = *static_cast<void**>(list.head);
        std::free(static_cast<Header*>(list.head) - 1);
        list.head = next;
      }
      // Blocks freed after the thread's end of lists go to malloc.
      list.count = kMaxFree;
    }
  }
};
thread_local ThreadLists t_lists;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPooled = false;
#else
constexpr bool kPooled = true;
#endif

void* Allocate(size_t size, void*) {
  const size_t size_class = size == 0 ? 0 : (size - 1) / kClassBytes;
  const bool pooled = kPooled && size_class < kClasses;
  if (pooled) {
    FreeList& list = t_lists.lists[size_class];
    if (list.head != nullptr) {
      void* block = list.head;
      list.head = *static_cast<void**>(block);
      --list.count;
      return block;
    }
  }
  const size_t usable = pooled ? (size_class + 1) * kClassBytes : size;
  auto* header = static_cast<Header*>(std::malloc(sizeof(Header) + usable));
  if (header == nullptr) return nullptr;
  header->size_class = pooled ? static_cast<uint32_t>(size_class) : kLarge;
  header->size = usable;
  return header + 1;
}

void Free(void* block, void*) {
  if (block == nullptr) return;
  Header* header = static_cast<Header*>(block) - 1;
  if (header->size_class != kLarge) {
    FreeList& list = t_lists.lists[header->size_class];
    if (list.count < kMaxFree) {
      *static_cast<void**>(block) = list.head;
      list.head = block;
      ++list.count;
      return;
    }
  }
  std::free(header);
}

void* AllocateZeroed(size_t count, size_t size, void*) {
  if (size != 0 && count > SIZE_MAX / size) return nullptr;
  void* block = Allocate(count * size, nullptr);
  if (block != nullptr) std::memset(block, 0, count * size);
  return block;
}

void* Reallocate(void* block, size_t size, void*) {
  if (block == nullptr) return Allocate(size, nullptr);
  const Header* header = static_cast<Header*>(block) - 1;
  if (size <= header->size) return block;
  void* bigger = Allocate(size, nullptr);
  if (bigger == nullptr) return nullptr;
  std::memcpy(bigger, block, header->size);
  Free(block, nullptr);
  return bigger;
}

}  // namespace

nghttp2_mem* Http2Memory() {
  static nghttp2_mem mem{nullptr, Allocate, Free, AllocateZeroed, Reallocate};
  return &mem;
}

}  // namespace alcove::net
