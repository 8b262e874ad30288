// A file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

namespace alcove::inference {

// Owns the mapping; bytes() is valid for the object's life. Pages are read on first touch and shared with every other
// process that maps the same file. A file that shrinks while it is mapped ends the process with SIGBUS (as for every
// memory map), so model folders are replaced, never rewritten in place.
class MappedFile {
 public:
  // NOT_FOUND when the file does not exist; INVALID_ARGUMENT when it is not a regular file. An empty file maps to an
  // empty span.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  absl::Span<const uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const uint8_t* data, size_t size) : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace alcove::inference
