#include "libs/common/memory.h"

#include <csignal>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libs/common/fs.h"

namespace alcove {
namespace {

using ::testing::HasSubstr;

TEST(AlignedBuffer, IsAlignedZeroedAndMovable) {
  AlignedBuffer<float> buffer(1001);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
  for (const float value : buffer) EXPECT_EQ(value, 0);
  buffer[1000] = 5;
  AlignedBuffer<float> moved = std::move(buffer);
  EXPECT_EQ(moved[1000], 5);
  EXPECT_EQ(moved.size(), 1001u);
  EXPECT_TRUE(buffer.empty());  // NOLINT(bugprone-use-after-move)
  buffer = AlignedBuffer<float>(3);
  EXPECT_EQ(buffer.span().size(), 3u);
  EXPECT_TRUE(AlignedBuffer<int>().empty());
}

TEST(AlignedBuffer, AlignsHugePages) {
  AlignedBuffer<uint8_t> buffer((size_t{5} << 20) + 17, HugePages::kTransparent);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % (size_t{2} << 20), 0u);
  buffer[buffer.size() - 1] = 1;
  EXPECT_EQ(buffer[0], 0);
  AlignedBuffer<uint8_t> small(100, HugePages::kTransparent);
  small[99] = 1;
}

TEST(SecureBytes, CopiesOnlyWhenAsked) {
  const uint8_t secret[] = {1, 2, 3};
  SecureBytes bytes{absl::MakeConstSpan(secret)};
  SecureBytes clone = bytes.Clone();
  bytes.Clear();
  EXPECT_TRUE(bytes.empty());
  EXPECT_TRUE(ConstantTimeEqual(clone.span(), secret));
  SecureBytes moved = std::move(clone);
  EXPECT_EQ(moved.size(), 3u);
  uint8_t plain[] = {7, 7};
  SecureZero(plain, sizeof(plain));
  EXPECT_EQ(plain[0] + plain[1], 0);
}

TEST(ConstantTimeEqual, ComparesEveryByte) {
  const uint8_t a[] = {1, 2, 3};
  const uint8_t b[] = {1, 2, 4};
  EXPECT_TRUE(ConstantTimeEqual(a, a));
  EXPECT_FALSE(ConstantTimeEqual(a, b));
  EXPECT_FALSE(ConstantTimeEqual(a, absl::MakeConstSpan(a, 2)));
}

TEST(Memory, KnowsItsUseAndLimit) {
  EXPECT_GT(ResidentBytes(), uint64_t{1} << 20);
  EXPECT_GT(MemoryLimitBytes(), ResidentBytes());
  EXPECT_GT(MemoryAvailableBytes(), 0u);
  EXPECT_LE(MemoryAvailableBytes(), MemoryLimitBytes());
}

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/alcove-files-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(Files, AreReplacedWhole) {
  const std::string path = folder_ + "/x";
  ASSERT_TRUE(WriteFileAtomically(path, "one").ok());
  ASSERT_TRUE(WriteFileAtomically(path, std::string("two\0three", 9), 0600).ok());
  EXPECT_EQ(*ReadFile(path, 100), std::string("two\0three", 9));
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "no temporary file is left";
}

TEST_F(Files, SayWhatIsWrongWithThem) {
  EXPECT_EQ(ReadFile(folder_ + "/none", 10).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadFile(folder_, 10).status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/big", std::string(100, 'x')).ok());
  EXPECT_EQ(ReadFile(folder_ + "/big", 99).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(ReadFile(folder_ + "/big", 100).ok());
  const absl::Status failed = WriteFileAtomically(folder_ + "/none/x", "y");
  EXPECT_EQ(failed.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(failed.message()), HasSubstr(folder_ + "/none/x"));
  EXPECT_EQ(EnsureDirectory(folder_ + "/big/sub").code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(Files, KeepTheOldBytesWhenANewWriteFails) {
  const std::string path = folder_ + "/x";
  ASSERT_TRUE(WriteFileAtomically(path, "kept").ok());
  // A file larger than the process may write fails half-way, as on a full disk.
  struct sigaction ignore = {};
  struct sigaction before = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGXFSZ, &ignore, &before);
  rlimit old_limit = {};
  getrlimit(RLIMIT_FSIZE, &old_limit);
  const rlimit small = {4096, old_limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status failed = WriteFileAtomically(path, std::string(100'000, 'x'));
  setrlimit(RLIMIT_FSIZE, &old_limit);
  sigaction(SIGXFSZ, &before, nullptr);
  EXPECT_EQ(failed.code(), absl::StatusCode::kResourceExhausted) << failed;
  EXPECT_EQ(*ReadFile(path, 100), "kept");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_GT(*FreeDiskBytes(folder_), 0u);
}

TEST_F(Files, MakeAndRemove) {
  ASSERT_TRUE(EnsureDirectory(folder_ + "/a/b/c").ok());
  ASSERT_TRUE(EnsureDirectory(folder_ + "/a/b/c/").ok());
  ASSERT_TRUE(SyncDirectory(folder_ + "/a").ok());
  EXPECT_TRUE(RemoveFile(folder_ + "/none").ok());
  EXPECT_EQ(DirectoryOf("a/b"), "a");
  EXPECT_EQ(DirectoryOf("b"), ".");
  EXPECT_EQ(DirectoryOf("/b"), "/");
}

TEST_F(Files, AreMapped) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/x", "mapped").ok());
  absl::StatusOr<MappedFile> file = MappedFile::Open(folder_ + "/x");
  ASSERT_TRUE(file.ok());
  const MappedFile moved = *std::move(file);
  EXPECT_EQ(moved.text(), "mapped");
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/empty", "").ok());
  EXPECT_EQ(MappedFile::Open(folder_ + "/empty")->size(), 0u);
  EXPECT_FALSE(MappedFile::Open(folder_).ok());
}

}  // namespace
}  // namespace alcove
