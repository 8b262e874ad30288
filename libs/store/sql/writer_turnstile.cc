#include "libs/store/sql/writer_turnstile.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/common/status.h"

namespace alcove::store::sql {
namespace {

constexpr int kNext = 0;
constexpr int kNow = 1;

struct flock ByteLock(short type, int byte) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WriterTurnstile>> WriterTurnstile::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  return std::unique_ptr<WriterTurnstile>(new WriterTurnstile(fd, path));
}

WriterTurnstile::~WriterTurnstile() { ::close(fd_); }

absl::StatusOr<bool> WriterTurnstile::TryLock(int byte) {
  struct flock lock = ByteLock(F_WRLCK, byte);
  if (::fcntl(fd_, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES || errno == EINTR) return false;
  return ErrnoStatus(errno, absl::StrCat("locking ", path_));
}

void WriterTurnstile::Unlock(int byte) {
  struct flock lock = ByteLock(F_UNLCK, byte);
  ::fcntl(fd_, F_OFD_SETLK, &lock);
}

absl::Status WriterTurnstile::Wait(int byte, absl::Time deadline) {
  absl::Duration pause = absl::Microseconds(50);
  while (true) {
    absl::StatusOr<bool> locked = TryLock(byte);
    if (!locked.ok()) return locked.status();
    if (*locked) return absl::OkStatus();
    if (absl::Now() >= deadline) {
      return absl::UnavailableError(
          absl::StrCat("another process kept the database locked for writing (", path_, "); try again"));
    }
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Milliseconds(1));
  }
}

absl::Status WriterTurnstile::Acquire(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  ALCOVE_RETURN_IF_ERROR(Wait(kNext, deadline));
  absl::Status now = Wait(kNow, deadline);
  Unlock(kNext);
  return now;
}

void WriterTurnstile::Release() { Unlock(kNow); }

}  // namespace alcove::store::sql
