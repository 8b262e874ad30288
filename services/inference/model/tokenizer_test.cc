#include "services/inference/model/tokenizer.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include "libs/testing/paths.h"
#include "services/inference/model/json.h"
#include "services/inference/testing/test_data.h"

namespace alcove::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string DataPath(absl::string_view name) {
  return absl::StrCat(alcove::testing::SourceDir(), "/services/inference/model/testdata/", name);
}

JsonDocument ReadJson(const std::string& path) {
  auto document = JsonDocument::ReadFile(path);
  EXPECT_TRUE(document.ok()) << document.status();
  return *std::move(document);
}

std::string Text(const simdjson::dom::element& element) { return std::string(element.get_string().value()); }

simdjson::dom::array Rows(const JsonDocument& document, const char* key) {
  return document.root()[key].get_array().value();
}

std::vector<int32_t> Ids(const simdjson::dom::element& element) {
  std::vector<int32_t> ids;
  const simdjson::dom::array array = element.get_array().value();
  for (const simdjson::dom::element& id : array) ids.push_back(id.get_int64().value());
  return ids;
}

class RealTokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto folder = testing::RealModelFolder();
    ASSERT_TRUE(folder.ok()) << folder.status().message();
    folder_ = *folder;
    auto tokenizer = Tokenizer::FromFolder(folder_);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }

  std::string folder_;
  std::unique_ptr<const Tokenizer> tokenizer_;
};

TEST_F(RealTokenizerTest, IdsEqualHuggingFaceTokenizersOnAMultilingualCorpus) {
  const JsonDocument golden = ReadJson(DataPath("tokenizer_golden.json"));
  size_t texts = 0;
  const simdjson::dom::array rows = Rows(golden, "texts");
  for (const simdjson::dom::element& row : rows) {
    const std::string text = Text(row.at(0));
    EXPECT_EQ(tokenizer_->Encode(text, 0).ids, Ids(row.at(1))) << "text: " << text;
    ++texts;
  }
  EXPECT_GT(texts, 500u);
}

TEST_F(RealTokenizerTest, TruncationEqualsHuggingFaceTokenizers) {
  const JsonDocument golden = ReadJson(DataPath("tokenizer_golden.json"));
  const simdjson::dom::array rows = Rows(golden, "truncated");
  for (const simdjson::dom::element& row : rows) {
    const auto limit = static_cast<size_t>(row.at(1).get_int64().value());
    const Encoding encoding = tokenizer_->Encode(Text(row.at(0)), limit);
    EXPECT_EQ(encoding.ids, Ids(row.at(2))) << Text(row.at(0)) << " at " << limit;
    EXPECT_EQ(encoding.truncated, tokenizer_->Encode(Text(row.at(0)), 0).ids.size() > limit);
  }
}

TEST_F(RealTokenizerTest, PairsEqualHuggingFaceTokenizers) {
  const JsonDocument golden = ReadJson(DataPath("tokenizer_golden.json"));
  const simdjson::dom::array rows = Rows(golden, "pairs");
  for (const simdjson::dom::element& row : rows) {
    const Encoding encoding = tokenizer_->EncodePair(Text(row.at(0)), Text(row.at(1)), row.at(2).get_int64().value());
    EXPECT_EQ(encoding.ids, Ids(row.at(3))) << Text(row.at(0)) << " | " << Text(row.at(1));
    EXPECT_EQ(encoding.type_ids, Ids(row.at(4)));
  }
}

TEST_F(RealTokenizerTest, TheVocabularyFileAloneGivesTheSameIds) {
  const std::string copy = testing::MakeTempFolder("vocab");
  std::filesystem::copy_file(folder_ + "/vocab.txt", copy + "/vocab.txt");
  std::filesystem::copy_file(folder_ + "/tokenizer_config.json", copy + "/tokenizer_config.json");
  const auto from_vocabulary = Tokenizer::FromFolder(copy);
  ASSERT_TRUE(from_vocabulary.ok()) << from_vocabulary.status();
  const JsonDocument golden = ReadJson(DataPath("tokenizer_golden.json"));
  const simdjson::dom::array rows = Rows(golden, "texts");
  for (const simdjson::dom::element& row : rows) {
    EXPECT_EQ((*from_vocabulary)->Encode(Text(row.at(0)), 0).ids, Ids(row.at(1)));
  }
  std::filesystem::remove_all(copy);
}

TEST_F(RealTokenizerTest, TokensHaveTexts) {
  EXPECT_EQ(tokenizer_->vocabulary_size(), 30522u);
  EXPECT_EQ(tokenizer_->TokenText(101), "[CLS]");
  EXPECT_EQ(tokenizer_->TokenText(7592), "hello");
  EXPECT_EQ(tokenizer_->TokenText(-1), "");
  EXPECT_EQ(tokenizer_->TokenText(1 << 30), "");
}

TEST_F(RealTokenizerTest, WorksThroughAMillionTokensInWellUnderASecond) {
  // The bar is a million tokens per second and core; a tenth of it is asked here because a test machine is shared.
  const std::string text =
      "Homomorphic encryption lets a server compute on data it cannot read, e.g. scores of a private search. ";
  std::string page;
  while (page.size() < 100'000) page += text;
  const auto begin = std::chrono::steady_clock::now();
  const size_t tokens = tokenizer_->EncodeWithoutSpecialTokens(page).size();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  EXPECT_GT(tokens, 20'000u);
  EXPECT_GT(static_cast<double>(tokens) / elapsed.count(), 1e5);
}

class TinyTokenizerTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TinyTokenizerTest, IdsEqualHuggingFaceTokenizers) {
  const JsonDocument golden = ReadJson(DataPath(absl::StrCat("tiny_", GetParam(), ".json")));
  std::ostringstream json;
  json << golden.root()["tokenizer"].value();
  const auto tokenizer = Tokenizer::FromJson(json.str(), GetParam());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const simdjson::dom::array rows = Rows(golden, "texts");
  for (const simdjson::dom::element& row : rows) {
    EXPECT_EQ((*tokenizer)->Encode(Text(row.at(0)), 0).ids, Ids(row.at(1))) << "text: " << Text(row.at(0));
  }
}

std::string CaseName(const ::testing::TestParamInfo<const char*>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(Options, TinyTokenizerTest,
                         ::testing::Values("uncased", "cased", "keep_accents", "strip_only", "raw", "dirty", "added"),
                         CaseName);

constexpr char kMinimal[] =
    R"({"model":{"type":"WordPiece","unk_token":"[UNK]","vocab":{"[UNK]":0,"a":1,"##b":2}},"pre_tokenizer":{"type":"BertPreTokenizer"}})";

std::string Replaced(std::string text, absl::string_view from, absl::string_view to) {
  const size_t at = text.find(std::string(from));
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), std::string(to));
}

TEST(TokenizerFile, AMinimalFileIsEnough) {
  const auto tokenizer = Tokenizer::FromJson(kMinimal, "t");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->Encode("ab a z", 0).ids, ElementsAre(1, 2, 1, 0));
}

TEST(TokenizerFile, WhatIsNotBuiltIsRefusedByName) {
  const auto error = [](absl::string_view from, absl::string_view to) {
    const auto tokenizer = Tokenizer::FromJson(Replaced(kMinimal, from, to), "t.json");
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(tokenizer.status().message());
  };
  EXPECT_THAT(error("WordPiece", "BPE"), HasSubstr("tokenizer model \"BPE\" is not supported"));
  EXPECT_THAT(error("BertPreTokenizer", "ByteLevel"), HasSubstr("pre_tokenizer \"ByteLevel\""));
  EXPECT_THAT(error(R"("pre_tokenizer")", R"("normalizer":{"type":"NFKC"},"pre_tokenizer")"), HasSubstr("\"NFKC\""));
  EXPECT_THAT(error(R"("pre_tokenizer")", R"("post_processor":{"type":"Odd"},"pre_tokenizer")"), HasSubstr("\"Odd\""));
  EXPECT_THAT(error(R"("[UNK]":0)", R"("[NON]":0)"), HasSubstr("unknown token \"[UNK]\""));
  EXPECT_THAT(error(R"("a":1)", R"("a":-1)"), HasSubstr("token \"a\""));
  EXPECT_THAT(error(R"("vocab")", R"("words")"), HasSubstr("model.vocab"));
  EXPECT_THAT(error("{\"model\"", "[\"model\""), HasSubstr("t.json"));
}

TEST(TokenizerFile, BytesThatAreNotUtf8AreTokenizedAsReplacementCharacters) {
  const auto tokenizer = Tokenizer::FromJson(kMinimal, "t");
  ASSERT_TRUE(tokenizer.ok());
  for (const char* text : {"\xff", "a\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe4\xb8", "a \xc3"}) {
    EXPECT_FALSE((*tokenizer)->Encode(text, 0).ids.empty()) << text;
  }
}

}  // namespace
}  // namespace alcove::inference
