#include "libs/store/internal/backup_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/common/fs.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"
#include "libs/store/internal/log_chunk.h"

namespace alcove::store::internal {
namespace {

constexpr absl::string_view kMagic = "ALCVBKUP";
constexpr size_t kBlockHeaderBytes = 1 + 4 + 8;

template <typename T>
void AppendRaw(T value, std::string* out) {
  for (size_t i = 0; i < sizeof value; ++i) out->push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
}

template <typename T>
T TakeRaw(const char* bytes) {
  uint64_t value = 0;
  for (size_t i = sizeof(T); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return static_cast<T>(value);
}

// Blocks that changed places fail, too.
uint64_t Checksum(int64_t number, BackupBlock type, absl::string_view bytes) {
  return Hash64(bytes, static_cast<uint64_t>(number) << 8 | static_cast<uint64_t>(type));
}

absl::Status FileError(const std::string& path, absl::string_view what) {
  const int error = errno;
  const std::string text = absl::StrCat(path, ": ", what, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) return absl::ResourceExhaustedError(text);
  if (error == ENOENT) return absl::NotFoundError(text);
  if (error == EACCES || error == EPERM || error == EROFS) return absl::PermissionDeniedError(text);
  return absl::UnavailableError(text);
}

}  // namespace

void BackupWriter::Number(int64_t value) {
  // Zigzag, so that small negative numbers stay small.
  AppendVarint(static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63), &out_);
}

void BackupWriter::Bytes(absl::string_view value) {
  AppendVarint(value.size(), &out_);
  out_.append(value.data(), value.size());
}

bool BackupReader::Number(int64_t* value) {
  uint64_t raw = 0;
  if (!TakeVarint(&rest_, &raw)) return false;
  *value = static_cast<int64_t>(raw >> 1 ^ (~(raw & 1) + 1));
  return true;
}

bool BackupReader::Bytes(absl::string_view* value) {
  uint64_t size = 0;
  if (!TakeVarint(&rest_, &size) || size > rest_.size()) return false;
  *value = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return true;
}

absl::StatusOr<std::unique_ptr<BackupOutput>> BackupOutput::Create(const std::string& path) {
  std::unique_ptr<BackupOutput> out(new BackupOutput(path));
  // Keys and vectors are in it: for its owner's eyes.
  out->fd_ = ::open((path + ".tmp").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (out->fd_ < 0) return FileError(path + ".tmp", "cannot be written");
  std::string head(kMagic);
  AppendRaw(kBackupVersion, &head);
  ALCOVE_RETURN_IF_ERROR(out->Write(head));
  return out;
}

BackupOutput::~BackupOutput() {
  if (fd_ < 0) return;
  ::close(fd_);
  RemoveFile(path_ + ".tmp").IgnoreError();
}

absl::Status BackupOutput::Write(absl::string_view bytes) {
  bytes_ += static_cast<int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(path_ + ".tmp", "cannot be written");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status BackupOutput::Block(BackupBlock type, absl::string_view bytes) {
  if (bytes.size() > kMaxBackupBlockBytes) return absl::InternalError("a backup block is too large");
  std::string head;
  head.push_back(static_cast<char>(type));
  AppendRaw(static_cast<uint32_t>(bytes.size()), &head);
  AppendRaw(Checksum(blocks_, type, bytes), &head);
  ++blocks_;
  ALCOVE_RETURN_IF_ERROR(Write(head));
  return Write(bytes);
}

absl::Status BackupOutput::Commit() {
  if (::fsync(fd_) != 0) return FileError(path_ + ".tmp", "cannot be synced");
  ::close(std::exchange(fd_, -1));
  if (std::rename((path_ + ".tmp").c_str(), path_.c_str()) != 0) return FileError(path_, "cannot be renamed");
  return SyncDirectory(DirectoryOf(path_));
}

absl::StatusOr<std::unique_ptr<BackupInput>> BackupInput::Open(const std::string& path) {
  std::unique_ptr<BackupInput> in(new BackupInput(path));
  in->file_ = std::fopen(path.c_str(), "rbe");
  if (in->file_ == nullptr) return FileError(path, "cannot be read");
  char head[12];
  if (!in->Read(head, sizeof head).ok() || absl::string_view(head, kMagic.size()) != kMagic) {
    return absl::DataLossError(absl::StrCat(path, ": is no backup"));
  }
  const auto version = TakeRaw<uint32_t>(head + kMagic.size());
  if (version > kBackupVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": is a backup of version ", version,
                                                      ", written by a newer Alcove; this one knows up to version ",
                                                      kBackupVersion));
  }
  if (version == 0) return in->Damaged("the version is 0");
  return in;
}

BackupInput::~BackupInput() {
  if (file_ != nullptr) std::fclose(file_);
}

absl::Status BackupInput::Damaged(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat(path_, ": damaged at byte ", bytes_, ": ", what));
}

absl::Status BackupInput::Read(char* out, size_t size) {
  const size_t n = std::fread(out, 1, size, file_);
  bytes_ += static_cast<int64_t>(n);
  if (n == size) return absl::OkStatus();
  if (std::ferror(file_) != 0) return FileError(path_, "cannot be read");
  return Damaged("the file ends too soon");
}

absl::StatusOr<BackupBlockBytes> BackupInput::Next() {
  char head[kBlockHeaderBytes];
  ALCOVE_RETURN_IF_ERROR(Read(head, sizeof head));
  BackupBlockBytes block;
  const auto type = static_cast<unsigned char>(head[0]);
  const auto size = TakeRaw<uint32_t>(head + 1);
  if (type < 1 || type > static_cast<unsigned char>(BackupBlock::kEnd)) return Damaged("unknown block type");
  if (size > kMaxBackupBlockBytes) return Damaged("block size out of bounds");
  block.type = static_cast<BackupBlock>(type);
  // Grown as it is read: a damaged size does not reserve what the file cannot fill.
  for (size_t left = size; left > 0;) {
    const size_t piece = std::min<size_t>(left, 1 << 20);
    const size_t at = block.bytes.size();
    block.bytes.resize(at + piece);
    ALCOVE_RETURN_IF_ERROR(Read(block.bytes.data() + at, piece));
    left -= piece;
  }
  if (Checksum(blocks_, block.type, block.bytes) != TakeRaw<uint64_t>(head + 5)) {
    return Damaged("block checksum does not match");
  }
  ++blocks_;
  return block;
}

absl::Status BackupInput::ExpectEnd() {
  return std::fgetc(file_) == EOF ? absl::OkStatus() : Damaged("bytes after the end");
}

}  // namespace alcove::store::internal
