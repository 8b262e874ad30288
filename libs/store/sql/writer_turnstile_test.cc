#include "libs/store/sql/writer_turnstile.h"

#include <csignal>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/synchronization/mutex.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace alcove::store::sql {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;

// Each instance is what another process would have: a file description of its own.
class WriterTurnstileTest : public ::testing::Test {
 protected:
  std::unique_ptr<WriterTurnstile> Turnstile() { return *WriterTurnstile::Open(path_); }

  // Whether somebody holds the byte.
  bool Taken(int byte) {
    const int fd = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_start = byte;
    lock.l_len = 1;
    EXPECT_EQ(::fcntl(fd, F_OFD_GETLK, &lock), 0);
    ::close(fd);
    return lock.l_type != F_UNLCK;
  }

  testing::TempDir folder_;
  const std::string path_ = folder_.File("turn");
};

TEST_F(WriterTurnstileTest, WhoeverWaitsComesBeforeWhoJustWrote) {
  auto busy = Turnstile();
  auto patient = Turnstile();
  // File locks are no synchronisation a sanitizer knows of.
  absl::Mutex mutex;
  std::string order;
  const auto took_turn = [&](const char* who) {
    absl::MutexLock lock(&mutex);
    order += who;
  };
  ASSERT_THAT(busy->Acquire(absl::Seconds(10)), IsOk());
  std::thread waiter([&] {
    ASSERT_THAT(patient->Acquire(absl::Seconds(10)), IsOk());
    took_turn("patient ");
    patient->Release();
  });
  while (!Taken(0)) std::this_thread::yield();
  took_turn("busy ");
  busy->Release();
  ASSERT_THAT(busy->Acquire(absl::Seconds(10)), IsOk());
  took_turn("busy ");
  busy->Release();
  waiter.join();
  EXPECT_EQ(order, "busy patient busy ");
}

TEST_F(WriterTurnstileTest, GivesUpAfterTheTimeoutAndLeavesNothingLocked) {
  auto holder = Turnstile();
  auto other = Turnstile();
  ASSERT_THAT(holder->Acquire(absl::Seconds(1)), IsOk());
  EXPECT_THAT(other->Acquire(absl::Milliseconds(5)), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(Taken(0));
  holder->Release();
  EXPECT_THAT(other->Acquire(absl::Seconds(1)), IsOk());
}

TEST_F(WriterTurnstileTest, AKilledHolderKeepsNobodyOut) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto held = WriterTurnstile::Open(path_);
    if (!held.ok() || !(*held)->Acquire(absl::Seconds(1)).ok()) ::_exit(1);
    while (true) ::pause();
  }
  while (::access(path_.c_str(), F_OK) != 0 || !Taken(1)) std::this_thread::yield();
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_THAT(Turnstile()->Acquire(absl::Seconds(10)), IsOk());
}

}  // namespace
}  // namespace alcove::store::sql
