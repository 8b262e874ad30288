#include "tools/alcovectl/ingest/vector_source.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class VectorSourceTest : public ::testing::Test {
 protected:
  VectorSourceTest() {
    std::string name = (std::filesystem::temp_directory_path() / "alcove-vectors-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~VectorSourceTest() override { std::filesystem::remove_all(root_); }
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = root_ + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  template <typename T>
  static std::string Raw(std::initializer_list<T> values) {
    std::string out;
    for (const T value : values) out.append(reinterpret_cast<const char*>(&value), sizeof value);
    return out;
  }
  static std::string Npy(const std::string& header, const std::string& data) {
    std::string out("\x93NUMPY\1\0", 8);
    const auto size = static_cast<uint16_t>(header.size());
    out.append(reinterpret_cast<const char*>(&size), 2);
    return out + header + data;
  }
  static std::string OpenError(const std::string& path, const std::string& format = "") {
    return std::string(OpenVectorSource(path, format, "id").status().message());
  }

  std::string root_;
};

TEST_F(VectorSourceTest, KnowsVectorsByNameOrByFormat) {
  EXPECT_TRUE(IsVectorFormat("a.fvecs", ""));
  EXPECT_TRUE(IsVectorFormat("a.npy", ""));
  EXPECT_TRUE(IsVectorFormat("a.jsonl", "vectors"));
  EXPECT_FALSE(IsVectorFormat("a.jsonl", ""));
  EXPECT_FALSE(IsVectorFormat("a.npy", "jsonl"));
}

TEST_F(VectorSourceTest, ReadsFvecsAndNumbersThem) {
  const std::string path =
      Write("a.fvecs", Raw<int32_t>({2}) + Raw<float>({1, 2}) + Raw<int32_t>({2}) + Raw<float>({3, 4}));
  auto source = OpenVectorSource(path, "", "id");
  ASSERT_TRUE(source.ok()) << source.status();
  SourceVector vector;
  ASSERT_TRUE(*(*source)->Next(&vector));
  EXPECT_EQ(vector.id, "0");
  EXPECT_THAT(vector.values, ElementsAre(1, 2));
  EXPECT_EQ((*source)->Progress(), 0.5);
  ASSERT_TRUE(*(*source)->Next(&vector));
  EXPECT_THAT(vector.values, ElementsAre(3, 4));
  EXPECT_FALSE(*(*source)->Next(&vector));
}

TEST_F(VectorSourceTest, SaysWhichVectorIsDamaged) {
  SourceVector vector;
  auto cut = OpenVectorSource(Write("cut.fvecs", Raw<int32_t>({2}) + Raw<float>({1})), "", "id");
  EXPECT_THAT(std::string((*cut)->Next(&vector).status().message()), HasSubstr("vector 0"));
  auto huge = OpenVectorSource(Write("huge.fvecs", Raw<int32_t>({1 << 30})), "", "id");
  EXPECT_THAT(std::string((*huge)->Next(&vector).status().message()), HasSubstr("dimension"));
}

TEST_F(VectorSourceTest, ReadsNpyOfFloatsInRows) {
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n";
  auto source = OpenVectorSource(Write("a.npy", Npy(header, Raw<float>({1, 2, 3, 4, 5, 6}))), "", "id");
  ASSERT_TRUE(source.ok()) << source.status();
  SourceVector vector;
  ASSERT_TRUE(*(*source)->Next(&vector));
  ASSERT_TRUE(*(*source)->Next(&vector));
  EXPECT_EQ(vector.id, "1");
  EXPECT_THAT(vector.values, ElementsAre(4, 5, 6));
  EXPECT_FALSE(*(*source)->Next(&vector));
  EXPECT_THAT(OpenError(Write("b.npy", Npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }", ""))),
              HasSubstr("float32"));
  EXPECT_THAT(OpenError(Write("c.npy", Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", ""))),
              HasSubstr("shape"));
  EXPECT_THAT(OpenError(Write("d.npy", "\x93NUM")), HasSubstr("no .npy"));
}

TEST_F(VectorSourceTest, ReadsJsonLinesWithIdAndPayload) {
  auto source = OpenVectorSource(
      Write("a.jsonl",
            "{\"id\": \"x\", \"vector\": [1, 2], \"tag\": \"t\"}\n\n{\"vector\": [3, 4]}\n{\"vector\": 3}\n"),
      "vectors", "id");
  ASSERT_TRUE(source.ok());
  SourceVector vector;
  ASSERT_TRUE(*(*source)->Next(&vector));
  EXPECT_EQ(vector.id, "x");
  EXPECT_EQ(vector.payload.fields().at("tag").string_value(), "t");
  EXPECT_EQ(vector.payload.fields().size(), 1u);
  ASSERT_TRUE(*(*source)->Next(&vector));
  EXPECT_EQ(vector.id, "1");
  EXPECT_THAT(vector.values, ElementsAre(3, 4));
  EXPECT_THAT(std::string((*source)->Next(&vector).status().message()), HasSubstr("a.jsonl:4"));
}

}  // namespace
}  // namespace alcove::ctl
