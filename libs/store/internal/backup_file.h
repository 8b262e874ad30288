#pragma once

// The container of a backup: checksummed blocks in one file (docs/formats/backup.md), and the values inside blocks.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace alcove::store::internal {

inline constexpr uint32_t kBackupVersion = 1;
inline constexpr size_t kMaxBackupBlockBytes = 80 << 20;

enum class BackupBlock : uint8_t {
  kHeader = 1,
  kCollection = 2,     // begins a collection
  kRecords = 3,        // records of one of its shards
  kCollectionEnd = 4,  // how many there were
  kRow = 5,            // a row of another table
  kEnd = 6,            // totals; a file without it was not finished
};

// Values one after the other.
class BackupWriter {
 public:
  void Number(int64_t value);
  void Bytes(absl::string_view value);
  std::string& out() { return out_; }

 private:
  std::string out_;
};

// Each call answers false when the bytes do not fit.
class BackupReader {
 public:
  explicit BackupReader(absl::string_view bytes) : rest_(bytes) {}
  bool Number(int64_t* value);
  bool Bytes(absl::string_view* value);
  bool empty() const { return rest_.empty(); }

 private:
  absl::string_view rest_;
};

// Writes `path`.tmp; nothing is at `path` until Commit. Not thread-safe.
class BackupOutput {
 public:
  static absl::StatusOr<std::unique_ptr<BackupOutput>> Create(const std::string& path);
  ~BackupOutput();
  absl::Status Block(BackupBlock type, absl::string_view bytes);
  // Syncs and renames over `path`.
  absl::Status Commit();
  int64_t bytes() const { return bytes_; }
  int64_t blocks() const { return blocks_; }

 private:
  explicit BackupOutput(std::string path) : path_(std::move(path)) {}
  absl::Status Write(absl::string_view bytes);
  const std::string path_;
  int fd_ = -1;
  int64_t bytes_ = 0;
  int64_t blocks_ = 0;
};

struct BackupBlockBytes {
  BackupBlock type = BackupBlock::kEnd;
  std::string bytes;
};

// Reads block by block, checking each. Not thread-safe.
class BackupInput {
 public:
  static absl::StatusOr<std::unique_ptr<BackupInput>> Open(const std::string& path);
  ~BackupInput();
  absl::StatusOr<BackupBlockBytes> Next();
  // OK at the end of the file.
  absl::Status ExpectEnd();
  absl::Status Damaged(absl::string_view what) const;
  int64_t bytes() const { return bytes_; }
  int64_t blocks() const { return blocks_; }

 private:
  explicit BackupInput(std::string path) : path_(std::move(path)) {}
  absl::Status Read(char* out, size_t size);
  const std::string path_;
  std::FILE* file_ = nullptr;
  int64_t bytes_ = 0;
  int64_t blocks_ = 0;
};

}  // namespace alcove::store::internal
