// Files, whole and safely. Errors say which path and why; a full disk or quota is RESOURCE_EXHAUSTED.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

namespace alcove {

// The whole file; RESOURCE_EXHAUSTED when it is larger than `max_bytes`, FAILED_PRECONDITION when it is a directory.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes);

// Writes `data` beside `path`, syncs it, renames it over `path` and syncs the directory: after a crash the file holds
// either the old bytes or the new ones. On error the temporary file is removed and `path` is as it was.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view data, int mode = 0644);

// Makes the directory and its parents; OK when it exists.
absl::Status EnsureDirectory(const std::string& path, int mode = 0755);
// Syncs a directory, which makes renames inside it durable.
absl::Status SyncDirectory(const std::string& path);
// Removes a file; OK when there is none.
absl::Status RemoveFile(const std::string& path);
// Bytes an unprivileged process may still write to the file system of `path`.
absl::StatusOr<uint64_t> FreeDiskBytes(const std::string& path);
// The directory part of a path, "." when there is none.
std::string DirectoryOf(absl::string_view path);

// A file mapped read-only. The bytes are those of the page cache; the file must not be truncated while mapped.
// Move-only.
class MappedFile {
 public:
  MappedFile() = default;
  // An empty file gives an empty mapping.
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  absl::Span<const uint8_t> bytes() const { return {data_, size_}; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  absl::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace alcove
