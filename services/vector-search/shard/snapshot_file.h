// The container of a shard snapshot: checksummed blocks in one file (docs/formats/shard_snapshot.md). This layer knows
// nothing of what is inside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace alcove::vector_search {

inline constexpr uint32_t kSnapshotVersion = 2;       // the newest that is read
inline constexpr uint32_t kPlainSnapshotVersion = 1;  // of a file without kSparse blocks
inline constexpr size_t kMaxSnapshotBlockBytes = 16 << 20;

enum class BlockType : uint8_t {
  kHeader = 1,      // what the snapshot is of
  kRecords = 2,     // points without their vectors
  kIndexBegin = 3,  // name of a vector field
  kIndexBytes = 4,  // a piece of its index
  kIndexEnd = 5,
  kEnd = 6,     // number of blocks before it; a file without it was not finished
  kSparse = 7,  // sparse vectors of one field; version 2
};

// Writes `path` + ".tmp"; nothing is at `path` until Commit. Not thread-safe.
class SnapshotWriter {
 public:
  static absl::StatusOr<SnapshotWriter> Create(const std::string& path);
  SnapshotWriter(SnapshotWriter&& other) noexcept;
  SnapshotWriter& operator=(SnapshotWriter&&) = delete;
  // Removes the temporary file unless committed.
  ~SnapshotWriter();

  // Of the file; kPlainSnapshotVersion without it. Only before the first block.
  void SetVersion(uint32_t version);
  // At most kMaxSnapshotBlockBytes. RESOURCE_EXHAUSTED when the disk is full.
  absl::Status WriteBlock(BlockType type, absl::string_view bytes);
  // Writes the end block and what is still buffered.
  absl::Status Finish();
  // Syncs and renames over `path`: afterwards the snapshot survives a crash. Slow; needs no lock of the shard.
  absl::Status Commit();

  uint64_t bytes_written() const { return written_; }

 private:
  SnapshotWriter(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  absl::Status Flush();

  int fd_ = -1;
  std::string path_;
  std::string buffer_;
  uint64_t written_ = 0;
  uint64_t blocks_ = 0;
};

struct SnapshotBlock {
  BlockType type = BlockType::kEnd;
  std::string bytes;
};

// Reads block by block, checking each. Not thread-safe.
class SnapshotReader {
 public:
  // NOT_FOUND when there is no file; FAILED_PRECONDITION for a newer version; DATA_LOSS when it is no snapshot.
  static absl::StatusOr<SnapshotReader> Open(const std::string& path);
  SnapshotReader(SnapshotReader&& other) noexcept;
  SnapshotReader& operator=(SnapshotReader&&) = delete;
  ~SnapshotReader();

  // The next block; after the kEnd block nothing may follow. DATA_LOSS names the file and the byte.
  absl::StatusOr<SnapshotBlock> Next();

 private:
  SnapshotReader(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  absl::Status ReadExactly(char* out, size_t size);
  absl::Status Damaged(absl::string_view what) const;

  int fd_ = -1;
  std::string path_;
  std::vector<char> buffer_;
  size_t at_ = 0, end_ = 0;
  uint64_t offset_ = 0;
  uint64_t blocks_ = 0;
};

}  // namespace alcove::vector_search
