#include "services/vector-search/shard/snapshot_file.h"

#include <fstream>
#include <string>

#include "libs/common/fs.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

std::string Written(const std::string& path) {
  auto writer = SnapshotWriter::Create(path);
  EXPECT_THAT(writer, IsOk());
  EXPECT_THAT(writer->WriteBlock(BlockType::kHeader, "what it is"), IsOk());
  EXPECT_THAT(writer->WriteBlock(BlockType::kRecords, std::string(100'000, 'r')), IsOk());
  EXPECT_THAT(writer->WriteBlock(BlockType::kRecords, ""), IsOk());
  EXPECT_THAT(writer->Finish(), IsOk());
  EXPECT_THAT(writer->Commit(), IsOk());
  return ReadFile(path, 1 << 24).value();
}

absl::Status ReadAll(const std::string& path) {
  ALCOVE_ASSIGN_OR_RETURN(SnapshotReader reader, SnapshotReader::Open(path));
  while (true) {
    ALCOVE_ASSIGN_OR_RETURN(const SnapshotBlock block, reader.Next());
    if (block.type == BlockType::kEnd) return absl::OkStatus();
  }
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST(SnapshotFile, GivesBackItsBlocks) {
  const testing::TempDir dir;
  const std::string path = dir.File("s");
  Written(path);
  auto reader = SnapshotReader::Open(path);
  ASSERT_THAT(reader, IsOk());
  EXPECT_EQ(reader->Next()->bytes, "what it is");
  EXPECT_EQ(reader->Next()->bytes.size(), 100'000u);
  EXPECT_EQ(reader->Next()->bytes, "");
  EXPECT_EQ(reader->Next()->type, BlockType::kEnd);
}

TEST(SnapshotFile, LeavesNothingBehindWhenItIsNotCommitted) {
  const testing::TempDir dir;
  {
    auto writer = SnapshotWriter::Create(dir.File("s"));
    ASSERT_THAT(writer->WriteBlock(BlockType::kHeader, "x"), IsOk());
    ASSERT_THAT(writer->Finish(), IsOk());
  }
  EXPECT_THAT(SnapshotReader::Open(dir.File("s")).status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(SnapshotReader::Open(dir.File("s.tmp")).status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST(SnapshotFile, AnUnfinishedOneDoesNotReplaceTheLast) {
  const testing::TempDir dir;
  const std::string before = Written(dir.File("s"));
  {
    auto writer = SnapshotWriter::Create(dir.File("s"));
    ASSERT_THAT(writer->WriteBlock(BlockType::kHeader, "other"), IsOk());
  }
  EXPECT_EQ(ReadFile(dir.File("s"), 1 << 24).value(), before);
}

TEST(SnapshotFile, NoticesEveryTruncationAndEveryChangedByte) {
  const testing::TempDir dir;
  const std::string path = dir.File("s");
  const std::string good = Written(path);
  const std::string bad = dir.File("bad");
  for (size_t n = 0; n < good.size(); n += n < 64 || n + 64 > good.size() ? 1 : 997) {
    Write(bad, good.substr(0, n));
    EXPECT_THAT(ReadAll(bad), StatusIs(absl::StatusCode::kDataLoss)) << n;
    std::string changed = good;
    changed[n] = static_cast<char>(changed[n] ^ 0x40);
    Write(bad, changed);
    EXPECT_FALSE(ReadAll(bad).ok()) << n;
  }
}

TEST(SnapshotFile, RefusesANewerVersionAndSaysSo) {
  const testing::TempDir dir;
  std::string bytes = Written(dir.File("s"));
  bytes[8] = 9;
  Write(dir.File("s"), bytes);
  EXPECT_THAT(SnapshotReader::Open(dir.File("s")).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 9")));
}

TEST(SnapshotFile, SaysWhichPathCannotBeWritten) {
  EXPECT_THAT(SnapshotWriter::Create("/nonexistent/folder/s").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/folder/s")));
}

}  // namespace
}  // namespace alcove::vector_search
