#include "tools/alcovectl/ingest/source.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SourceTest : public ::testing::Test {
 protected:
  SourceTest() {
    std::string name = (std::filesystem::temp_directory_path() / "alcove-source-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~SourceTest() override { std::filesystem::remove_all(root_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = root_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  static std::vector<SourceDocument> ReadAll(DocumentSource& source, std::vector<absl::Status>* errors = nullptr) {
    std::vector<SourceDocument> out;
    for (;;) {
      auto next = source.Next();
      if (!next.ok()) {
        if (errors == nullptr) {
          ADD_FAILURE() << next.status();
          return out;
        }
        errors->push_back(next.status());
        continue;
      }
      if (!next->has_value()) return out;
      out.push_back(**next);
    }
  }

  std::string root_;
};

TEST_F(SourceTest, ReadsJsonLinesAndKeepsTheRestAsMetadata) {
  const std::string path = Write(
      "a.jsonl", "{\"id\":\"x\",\"text\":\"one\",\"n\":3}\n\n{\"id\":7,\"text\":\"two\",\"metadata\":{\"k\":\"v\"}}");
  auto source = OpenSource(path, {});
  ASSERT_TRUE(source.ok()) << source.status();
  const auto documents = ReadAll(**source);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].id, "x");
  EXPECT_EQ(documents[0].text, "one");
  EXPECT_EQ(documents[0].metadata.fields().at("n").number_value(), 3);
  EXPECT_EQ(documents[1].id, "7");
  EXPECT_EQ(documents[1].metadata.fields().at("k").string_value(), "v");
  EXPECT_EQ((*source)->Progress(), 1.0);
}

TEST_F(SourceTest, NamesTheLineOfBadJsonAndGoesOnBehindIt) {
  const std::string path = Write("a.jsonl", "{\"text\":\"one\"}\n{\"text\":\n{\"title\":\"x\"}\n{\"text\":\"four\"}\n");
  auto source = OpenSource(path, {});
  ASSERT_TRUE(source.ok());
  std::vector<absl::Status> errors;
  EXPECT_EQ(ReadAll(**source, &errors).size(), 2u);
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_THAT(std::string(errors[0].message()), HasSubstr("a.jsonl:2"));
  EXPECT_THAT(std::string(errors[1].message()), HasSubstr("no field \"text\""));
}

TEST_F(SourceTest, JoinsTwoTextFields) {
  const std::string path = Write("a.jsonl", "{\"title\":\"T\",\"body\":\"B\",\"x\":true}\n");
  SourceOptions options;
  options.text_field = "title+body";
  auto source = OpenSource(path, options);
  ASSERT_TRUE(source.ok());
  const auto documents = ReadAll(**source);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_EQ(documents[0].text, "T\nB");
  EXPECT_EQ(documents[0].metadata.fields_size(), 1);
}

TEST_F(SourceTest, ReadsCsvWithQuotesAndLineBreaks) {
  const std::string path = Write("a.csv", "id,text,size\r\n1,\"a, \"\"b\"\"\nc\",12\r\n2,plain,\r\n");
  auto source = OpenSource(path, {});
  ASSERT_TRUE(source.ok()) << source.status();
  const auto documents = ReadAll(**source);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].text, "a, \"b\"\nc");
  EXPECT_EQ(documents[0].metadata.fields().at("size").number_value(), 12);
  EXPECT_EQ(documents[1].id, "2");
}

TEST_F(SourceTest, RefusesACsvWithoutTheTextColumn) {
  const std::string path = Write("a.csv", "id,body\n1,x\n");
  EXPECT_THAT(std::string(OpenSource(path, {}).status().message()), HasSubstr("no column \"text\""));
}

TEST_F(SourceTest, NamesACsvRecordOfTheWrongWidth) {
  const std::string path = Write("a.csv", "id,text\n1,x,y\n2,z\n");
  auto source = OpenSource(path, {});
  ASSERT_TRUE(source.ok());
  std::vector<absl::Status> errors;
  EXPECT_EQ(ReadAll(**source, &errors).size(), 1u);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_THAT(std::string(errors[0].message()), HasSubstr("record 1 has 3 cells"));
}

TEST_F(SourceTest, ReadsAFolderInOrderOfName) {
  Write("f/b.md", "B");
  Write("f/a/x.txt", "X");
  Write("f/skip.bin", "?");
  auto source = OpenSource(root_ + "/f", {});
  ASSERT_TRUE(source.ok()) << source.status();
  const auto documents = ReadAll(**source);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].id, "a/x.txt");
  EXPECT_EQ(documents[1].text, "B");
}

TEST_F(SourceTest, SaysWhatIsMissing) {
  EXPECT_TRUE(absl::IsNotFound(OpenSource(root_ + "/none.jsonl", {}).status()));
  EXPECT_THAT(std::string(OpenSource(Write("a.dat", ""), {}).status().message()), HasSubstr("--format"));
}

TEST(SplitCsvRecord, AsksForMoreUntilTheRecordEnds) {
  std::vector<std::string> cells;
  EXPECT_EQ(*SplitCsvRecord("a,\"b", false, &cells), 0u);
  EXPECT_EQ(*SplitCsvRecord("a,\"b\"", false, &cells), 0u);
  EXPECT_EQ(*SplitCsvRecord("a,\"b\"", true, &cells), 5u);
  EXPECT_THAT(cells, ElementsAre("a", "b"));
  EXPECT_FALSE(SplitCsvRecord("a,\"b", true, &cells).ok());
  EXPECT_FALSE(SplitCsvRecord("a,b\"c\n", true, &cells).ok());
}

}  // namespace
}  // namespace alcove::ctl
