#include "libs/common/fs.h"

#include <cerrno>
#include <utility>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "libs/common/trace.h"

namespace alcove {
namespace {

absl::Status PathError(int error_number, absl::string_view doing, absl::string_view path) {
  return ErrnoStatus(error_number, absl::StrCat(doing, " ", path));
}

absl::StatusOr<int> OpenForReading(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return PathError(errno, "cannot open", path);
  struct stat info = {};
  if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    close(fd);
    return absl::FailedPreconditionError(absl::StrCat("cannot read ", path, ": it is a directory"));
  }
  return fd;
}

absl::Status WriteAll(int fd, absl::string_view data, absl::string_view path) {
  while (!data.empty()) {
    const ssize_t written = write(fd, data.data(), data.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return PathError(errno, "cannot write", path);
    }
    data.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  ALCOVE_ASSIGN_OR_RETURN(const int fd, OpenForReading(path));
  const absl::Cleanup closer = [fd] { close(fd); };
  std::string data;
  // Files of /proc say they are empty, so the size is only a hint.
  struct stat info = {};
  if (fstat(fd, &info) == 0 && info.st_size > 0 && static_cast<size_t>(info.st_size) <= max_bytes) {
    data.reserve(static_cast<size_t>(info.st_size) + 1);
  }
  char buffer[16384];
  while (true) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0) {
      if (errno == EINTR) continue;
      return PathError(errno, "cannot read", path);
    }
    if (got == 0) return data;
    if (data.size() + static_cast<size_t>(got) > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot read ", path, ": it is larger than ", FormatBytes(max_bytes)));
    }
    data.append(buffer, static_cast<size_t>(got));
  }
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view data, int mode) {
  const std::string temporary = absl::StrCat(path, ".", absl::Hex(RandomBits(), absl::kZeroPad16), ".tmp");
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, static_cast<mode_t>(mode));
  if (fd < 0) return PathError(errno, "cannot create", temporary);
  absl::Cleanup remove_temporary = [&] { unlink(temporary.c_str()); };
  absl::Status status = WriteAll(fd, data, path);
  if (status.ok() && fsync(fd) != 0) status = PathError(errno, "cannot sync", path);
  if (close(fd) != 0 && status.ok()) status = PathError(errno, "cannot close", path);
  ALCOVE_RETURN_IF_ERROR(status);
  if (rename(temporary.c_str(), path.c_str()) != 0) return PathError(errno, "cannot replace", path);
  std::move(remove_temporary).Cancel();
  return SyncDirectory(DirectoryOf(path));
}

absl::Status EnsureDirectory(const std::string& path, int mode) {
  for (size_t slash = 0; slash != std::string::npos;) {
    slash = path.find('/', slash + 1);
    const std::string part = path.substr(0, slash);
    if (part.empty() || mkdir(part.c_str(), static_cast<mode_t>(mode)) == 0) continue;
    const int error = errno;
    struct stat info = {};
    if (stat(part.c_str(), &info) != 0) return PathError(error, "cannot make directory", part);
    if (!S_ISDIR(info.st_mode)) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot make directory ", path, ": ", part, " is not a directory"));
    }
  }
  return absl::OkStatus();
}

absl::Status SyncDirectory(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return PathError(errno, "cannot open directory", path);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  // Some file systems cannot sync a directory and say EINVAL.
  if (result != 0 && error != EINVAL) return PathError(error, "cannot sync directory", path);
  return absl::OkStatus();
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return PathError(errno, "cannot remove", path);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> FreeDiskBytes(const std::string& path) {
  struct statvfs info = {};
  if (statvfs(path.c_str(), &info) != 0) return PathError(errno, "cannot ask the file system of", path);
  return uint64_t{info.f_bavail} * info.f_frsize;
}

std::string DirectoryOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  ALCOVE_ASSIGN_OR_RETURN(const int fd, OpenForReading(path));
  const absl::Cleanup closer = [fd] { close(fd); };
  struct stat info = {};
  if (fstat(fd, &info) != 0) return PathError(errno, "cannot open", path);
  MappedFile file;
  if (info.st_size == 0) return file;
  void* data = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return PathError(errno, "cannot map", path);
  file.data_ = static_cast<const uint8_t*>(data);
  file.size_ = static_cast<size_t>(info.st_size);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

}  // namespace alcove
