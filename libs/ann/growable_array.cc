#include "libs/ann/growable_array.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "libs/common/status.h"

namespace alcove::ann {
namespace {

constexpr size_t kSmallStep = size_t{64} << 10;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallSteps = 2 * kHugePage;  // arrays up to this size grow by kSmallStep

size_t RoundUp(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

// A file that is gone when it is closed.
absl::StatusOr<int> NamelessFile(const std::string& directory) {
  int file = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
    std::string path = directory + "/vectors.XXXXXX";
    file = mkostemp(path.data(), O_CLOEXEC);
    if (file >= 0) unlink(path.c_str());
  }
  if (file < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make a file in ", directory));
  return file;
}

}  // namespace

GrowableArray::~GrowableArray() {
  if (mapping_ != nullptr) munmap(mapping_, mapping_bytes_);
  if (file_ >= 0) close(file_);
}

absl::Status GrowableArray::Reserve(size_t max_bytes, const std::string& directory) {
  max_bytes_ = RoundUp(std::max<size_t>(max_bytes, 1), kHugePage);
  mapping_bytes_ = max_bytes_ + kHugePage;
  void* mapping = mmap(nullptr, mapping_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot reserve ", mapping_bytes_, " bytes of address space; lower max_rows or raise ulimit -v"));
  }
  mapping_ = static_cast<uint8_t*>(mapping);
  data_ = reinterpret_cast<uint8_t*>(RoundUp(reinterpret_cast<uintptr_t>(mapping_), kHugePage));
  if (!directory.empty()) {
    ALCOVE_ASSIGN_OR_RETURN(file_, NamelessFile(directory));
  }
  return absl::OkStatus();
}

absl::Status GrowableArray::GrowFile(size_t from, size_t to) {
  const auto offset = static_cast<off_t>(from);
  // Room on the disk first: a page that finds none when it is written would end the process.
  if (const int error = posix_fallocate(file_, offset, static_cast<off_t>(to - from)); error != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no room on the disk to grow an index array to ", to, " bytes: ", std::strerror(error)));
  }
  if (mmap(data_ + from, to - from, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file_, offset) == MAP_FAILED) {
    return absl::ErrnoToStatus(errno, "cannot map an index file");
  }
  // A read of one vector should not bring its neighbours.
  madvise(data_ + from, to - from, MADV_RANDOM);
  return absl::OkStatus();
}

absl::Status GrowableArray::Grow(size_t bytes, bool exact) {
  const size_t before = grown_.load(std::memory_order_relaxed);
  if (bytes <= before) return absl::OkStatus();
  if (bytes > max_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat("index capacity of ", max_bytes_, " bytes an array is used up"));
  }
  const size_t target = RoundUp(bytes, exact || bytes <= kSmallSteps ? kSmallStep : kHugePage);
  if (in_file()) {
    ALCOVE_RETURN_IF_ERROR(GrowFile(before, target));
  } else {
    if (mprotect(data_ + before, target - before, PROT_READ | PROT_WRITE) != 0) {
      return absl::ResourceExhaustedError(absl::StrCat("no memory to grow an index array to ", target, " bytes"));
    }
    // Advice only: without transparent huge pages everything works on small ones.
    if (target > kHugePage) madvise(data_ + before, target - before, MADV_HUGEPAGE);
  }
  grown_.store(target, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status GrowableArray::Map(int file, size_t offset, size_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  void* mapping = mmap(data_, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, static_cast<off_t>(offset));
  if (mapping == MAP_FAILED) return absl::ErrnoToStatus(errno, "cannot map a snapshot into memory");
  mapped_ = RoundUp(bytes, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  return absl::OkStatus();
}

}  // namespace alcove::ann
