#include "services/vector-search/shard/snapshot_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <unistd.h>

#include "libs/common/fs.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"

namespace alcove::vector_search {
namespace {

constexpr char kMagic[8] = {'A', 'L', 'C', 'V', 'S', 'H', 'R', 'D'};
constexpr size_t kFileHeaderBytes = sizeof kMagic + 4;
constexpr size_t kBlockHeaderBytes = 1 + 4 + 8;  // type, size, checksum
constexpr size_t kBufferBytes = 1 << 20;

uint64_t BlockChecksum(BlockType type, uint64_t number, absl::string_view bytes) {
  // The number makes blocks that changed places fail.
  return Hash64(bytes, (number << 8) | static_cast<uint64_t>(type));
}

template <typename T>
void AppendRaw(std::string& out, T value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  out.append(raw, sizeof value);
}

template <typename T>
T LoadRaw(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

absl::StatusOr<SnapshotWriter> SnapshotWriter::Create(const std::string& path) {
  const std::string temporary = path + ".tmp";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot create ", temporary));
  SnapshotWriter writer(fd, path);
  writer.buffer_.append(kMagic, sizeof kMagic);
  AppendRaw(writer.buffer_, kPlainSnapshotVersion);
  return writer;
}

void SnapshotWriter::SetVersion(uint32_t version) {
  std::memcpy(buffer_.data() + sizeof kMagic, &version, sizeof version);
}

SnapshotWriter::SnapshotWriter(SnapshotWriter&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      buffer_(std::move(other.buffer_)),
      written_(other.written_),
      blocks_(other.blocks_) {}

SnapshotWriter::~SnapshotWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  (void)RemoveFile(path_ + ".tmp");
}

absl::Status SnapshotWriter::Flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("cannot write ", path_, ".tmp"));
    }
    done += static_cast<size_t>(n);
  }
  written_ += done;
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status SnapshotWriter::WriteBlock(BlockType type, absl::string_view bytes) {
  if (bytes.size() > kMaxSnapshotBlockBytes) return absl::InternalError("snapshot block too large");
  buffer_.push_back(static_cast<char>(type));
  AppendRaw(buffer_, static_cast<uint32_t>(bytes.size()));
  AppendRaw(buffer_, BlockChecksum(type, blocks_, bytes));
  buffer_.append(bytes.data(), bytes.size());
  ++blocks_;
  return buffer_.size() >= kBufferBytes ? Flush() : absl::OkStatus();
}

absl::Status SnapshotWriter::Finish() {
  std::string count;
  AppendRaw(count, blocks_);
  ALCOVE_RETURN_IF_ERROR(WriteBlock(BlockType::kEnd, count));
  return Flush();
}

absl::Status SnapshotWriter::Commit() {
  const std::string temporary = path_ + ".tmp";
  if (::fsync(fd_) != 0) return ErrnoStatus(errno, absl::StrCat("cannot sync ", temporary));
  if (::rename(temporary.c_str(), path_.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot rename ", temporary, " to ", path_));
  }
  ::close(std::exchange(fd_, -1));
  return SyncDirectory(DirectoryOf(path_));
}

absl::StatusOr<SnapshotReader> SnapshotReader::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  SnapshotReader reader(fd, path);
  reader.buffer_.resize(kBufferBytes);
  char header[kFileHeaderBytes];
  ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(header, sizeof header));
  if (std::memcmp(header, kMagic, sizeof kMagic) != 0) return reader.Damaged("it does not begin as a snapshot does");
  const auto version = LoadRaw<uint32_t>(header + sizeof kMagic);
  if (version > kSnapshotVersion) {
    return absl::FailedPreconditionError(absl::StrCat("snapshot ", path, " has version ", version,
                                                      ", this build reads up to ", kSnapshotVersion,
                                                      ": run the newer build, or move the file away to rebuild"));
  }
  if (version == 0) return reader.Damaged("it has version 0");
  return reader;
}

SnapshotReader::SnapshotReader(SnapshotReader&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      buffer_(std::move(other.buffer_)),
      at_(other.at_),
      end_(other.end_),
      offset_(other.offset_),
      blocks_(other.blocks_) {}

SnapshotReader::~SnapshotReader() {
  if (fd_ >= 0) ::close(fd_);
}

absl::Status SnapshotReader::Damaged(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat("snapshot ", path_, ", byte ", offset_, ": ", what));
}

absl::Status SnapshotReader::ReadExactly(char* out, size_t size) {
  while (size > 0) {
    if (at_ == end_) {
      const ssize_t n = ::read(fd_, buffer_.data(), buffer_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, absl::StrCat("cannot read ", path_));
      if (n == 0) return Damaged("the file is cut short");
      at_ = 0;
      end_ = static_cast<size_t>(n);
    }
    const size_t n = std::min(size, end_ - at_);
    std::memcpy(out, buffer_.data() + at_, n);
    at_ += n;
    offset_ += n;
    out += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::StatusOr<SnapshotBlock> SnapshotReader::Next() {
  char header[kBlockHeaderBytes];
  ALCOVE_RETURN_IF_ERROR(ReadExactly(header, sizeof header));
  const auto type = static_cast<uint8_t>(header[0]);
  const auto size = LoadRaw<uint32_t>(header + 1);
  const auto checksum = LoadRaw<uint64_t>(header + 5);
  if (type < 1 || type > 7) return Damaged("unknown kind of block");
  if (size > kMaxSnapshotBlockBytes) return Damaged("a block is larger than allowed");
  SnapshotBlock block;
  block.type = static_cast<BlockType>(type);
  block.bytes.resize(size);
  ALCOVE_RETURN_IF_ERROR(ReadExactly(block.bytes.data(), size));
  if (BlockChecksum(block.type, blocks_, block.bytes) != checksum) return Damaged("a checksum does not match");
  if (block.type == BlockType::kEnd) {
    if (size != 8 || LoadRaw<uint64_t>(block.bytes.data()) != blocks_) return Damaged("blocks are missing");
  }
  ++blocks_;
  return block;
}

}  // namespace alcove::vector_search
