#pragma once

// What the tests of the store share: temporary folders, a clock under the test's control, a private PostgreSQL, and
// the fixture that runs one suite on both engines.

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/common/clock.h"
#include "libs/store/store.h"

namespace alcove::store {

// A folder that is gone with the object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::string File(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// Stands still until Advance. Waits end when the condition holds or the clock has been advanced far enough.
class ManualClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixMicros(now_us_.load()); }
  int64_t MonotonicNanos() const override { return now_us_.load() * 1000; }
  bool AwaitWithDeadline(absl::Mutex* mu, const absl::Condition& condition, absl::Time deadline) override;
  void Advance(absl::Duration by) { now_us_ += absl::ToInt64Microseconds(by); }
  // Threads inside AwaitWithDeadline.
  int waiters() const { return waiters_.load(); }

 private:
  std::atomic<int64_t> now_us_{1'700'000'000'000'000};
  std::atomic<int> waiters_{0};
};

// A PostgreSQL server of this test process alone: temporary folder, Unix socket, no TCP, ended with the process.
// Null where PostgreSQL is not installed.
class PrivatePostgres {
 public:
  static PrivatePostgres* Shared();
  ~PrivatePostgres();
  // The url of a new, empty database.
  std::string NewDatabase();
  // The url of a database by name, existing or not.
  std::string Url(const std::string& database) const;

 private:
  PrivatePostgres() = default;
  bool Start();
  TempFolder folder_;
  int pid_ = 0;
  int databases_ = 0;
};

// TEST_P bodies run once on SQLite and once on PostgreSQL, each on an empty database.
class StoreTest : public ::testing::TestWithParam<Engine> {
 protected:
  void SetUp() override;
  // Opens the same database once more, as another process would.
  std::unique_ptr<Store> OpenAgain(StoreOptions options = {});
  Store& store() { return *store_; }
  const std::string& url() const { return url_; }

  ManualClock clock_;
  TempFolder folder_;
  std::string url_;
  std::unique_ptr<Store> store_;
};

// INSTANTIATE_TEST_SUITE_P arguments: a readable name for each engine.
std::string EngineName(const ::testing::TestParamInfo<Engine>& info);

}  // namespace alcove::store
