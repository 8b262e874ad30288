#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace alcove::ann {

// Bytes that grow without moving: address space for the largest size is reserved at once, memory is committed in steps
// as it is needed (64 KiB, then 2 MiB on huge pages where the system offers them). New bytes are zero.
//
// Or, in a directory, bytes of a file without a name, which the system keeps in memory as long as there is room. A disk
// that fails to give them back ends the process (SIGBUS), as for every mapped file.
//
// Thread safety: data() is constant after Reserve(). Grow() needs outside locking; bytes below a size that was passed
// to a finished Grow() may be used by any thread.
class GrowableArray {
 public:
  GrowableArray() = default;
  GrowableArray(const GrowableArray&) = delete;
  GrowableArray& operator=(const GrowableArray&) = delete;
  ~GrowableArray();

  // RESOURCE_EXHAUSTED when the address space cannot be had; NOT_FOUND or PERMISSION_DENIED when no file can be made in
  // `directory` (empty: memory). Called once.
  absl::Status Reserve(size_t max_bytes, const std::string& directory = "");
  // Makes the first `bytes` usable. RESOURCE_EXHAUSTED past max_bytes, without memory, or when the disk is full.
  // With `exact`, commits only what is needed: for arrays made in one go, which then waste no part of a huge page.
  absl::Status Grow(size_t bytes, bool exact = false);

  // Replaces the first `bytes`, already grown to, by those of a file from `offset` on, a multiple of the page size.
  // They are read when they are touched, belong to the file's cache until they are written, and the file stays as it
  // is.
  absl::Status Map(int file, size_t offset, size_t bytes);

  uint8_t* data() const { return data_; }
  // Memory taken; what lies in a file does not count.
  size_t committed() const { return in_file() ? 0 : grown_.load(std::memory_order_relaxed) - mapped_; }
  // Bytes that lie in a file.
  size_t on_disk() const { return in_file() ? grown_.load(std::memory_order_relaxed) : mapped_; }
  bool in_file() const { return file_ >= 0; }

  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  absl::Status GrowFile(size_t from, size_t to);

  uint8_t* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
  uint8_t* data_ = nullptr;
  size_t max_bytes_ = 0;
  std::atomic<size_t> grown_{0};
  size_t mapped_ = 0;
  int file_ = -1;
};

}  // namespace alcove::ann
