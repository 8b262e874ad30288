#include "services/inference/convert.h"

#include <cmath>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/status.h"
#include "services/inference/testing/test_data.h"

namespace alcove::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

class ConvertTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto catalog = ModelCatalog::Load({{"tiny", testing::TestDataPath("tiny_bert")}}, *ops_);
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
    model_ = *catalog_->Find("");
  }

  // The message of the refusal of a request.
  std::string Refusal(const v1::EmbedRequest& request) {
    const auto input = ReadEmbedInput(request, *model_);
    EXPECT_EQ(input.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(input.status().message());
  }

  std::unique_ptr<const EncoderOps> ops_ = MakeReferenceOps();
  std::unique_ptr<const ModelCatalog> catalog_;
  const LoadedModel* model_ = nullptr;
};

TEST_F(ConvertTest, TextsBecomeSequencesAndAreCounted) {
  v1::EmbedRequest request;
  request.add_texts("hello");
  request.add_texts("hello, hello!");
  request.add_texts("");
  const auto input = ReadEmbedInput(request, *model_);
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_EQ(input->sequences.size(), 3u);
  EXPECT_EQ(input->sequences[0].size(), 3u);
  EXPECT_EQ(input->sequences[2].size(), 2u);
  EXPECT_EQ(input->tokens, 3 + 6 + 2);
  EXPECT_EQ(input->truncated, 0u);
}

TEST_F(ConvertTest, LongTextsAreCutOrRefusedAsAsked) {
  v1::EmbedRequest request;
  request.add_texts("hello");
  std::string text;
  for (int i = 0; i < 50; ++i) text += "hello ";
  request.add_texts(text);
  const auto input = ReadEmbedInput(request, *model_);
  ASSERT_TRUE(input.ok()) << input.status();
  EXPECT_EQ(input->sequences[1].size(), 32u);
  EXPECT_EQ(input->truncated, 1u);
  request.set_reject_long_texts(true);
  EXPECT_THAT(Refusal(request), HasSubstr("texts[1]: has 52 tokens; model \"tiny\" reads at most 32"));
}

TEST_F(ConvertTest, TokenIdsAreCheckedAndNamed) {
  v1::EmbedRequest request;
  for (uint32_t id : {2u, 9u, 3u}) request.add_tokens()->add_ids(id);
  EXPECT_TRUE(ReadEmbedInput(request, *model_).ok());
  request.mutable_tokens(2)->add_ids(64);
  EXPECT_THAT(Refusal(request), HasSubstr("tokens[2]: token id 64"));
  request.mutable_tokens(2)->set_ids(1, 0xffffffffu);
  EXPECT_THAT(Refusal(request), HasSubstr("tokens[2]"));
  request.mutable_tokens(2)->clear_ids();
  EXPECT_THAT(Refusal(request), HasSubstr("tokens[2]: a token list is empty"));
}

TEST_F(ConvertTest, WrongRequestsAreRefusedByField) {
  v1::EmbedRequest request;
  EXPECT_THAT(Refusal(request), HasSubstr("texts or tokens"));
  request.add_texts("a");
  request.add_tokens()->add_ids(5);
  EXPECT_THAT(Refusal(request), HasSubstr("not both"));
  request.clear_tokens();
  request.set_dimensions(37);
  EXPECT_THAT(Refusal(request), HasSubstr("dimensions: is 37"));
  request.set_dimensions(0);
  for (int i = 0; i < kMaxTexts; ++i) request.add_texts("a");
  EXPECT_THAT(Refusal(request), HasSubstr("at most 2048"));
}

TEST_F(ConvertTest, ShortenedVectorsHaveLengthOne) {
  EmbedResult result;
  result.dimension = 3;
  result.values = {3, 4, 12, 0, 0, 5};
  v1::EmbedResponse whole, cut;
  WriteEmbeddings(result, 0, whole);
  EXPECT_THAT(whole.embeddings(0).values(), ElementsAre(3, 4, 12));
  WriteEmbeddings(result, 2, cut);
  EXPECT_THAT(cut.embeddings(0).values(), ElementsAre(FloatNear(0.6f, 1e-6f), FloatNear(0.8f, 1e-6f)));
  EXPECT_THAT(cut.embeddings(1).values(), ElementsAre(0, 0));
}

TEST_F(ConvertTest, PriorityFallsBackToTheRequestsCriticality) {
  EXPECT_EQ(ToPriority(v1::PRIORITY_HIGH, Criticality::kLow), Priority::kHigh);
  EXPECT_EQ(ToPriority(v1::PRIORITY_UNSPECIFIED, Criticality::kLow), Priority::kLow);
  EXPECT_EQ(ToPriority(v1::PRIORITY_UNSPECIFIED, Criticality::kCritical), Priority::kCritical);
}

TEST_F(ConvertTest, AModelDescribesItself) {
  v1::Model out;
  ToProto(*model_, true, &out);
  EXPECT_EQ(out.name(), "tiny");
  EXPECT_EQ(out.dimension(), 36u);
  EXPECT_EQ(out.max_tokens(), 32u);
  EXPECT_EQ(out.precision(), "f32");
  EXPECT_GT(out.parameters(), 10000);
  EXPECT_GE(out.weight_bytes(), out.parameters() * 4);
  EXPECT_TRUE(out.is_default());
}

TEST(ModelSourceTest, NamesComeFromTheTextOrTheFolder) {
  EXPECT_EQ(ParseModelSource("mini=/models/x")->name, "mini");
  EXPECT_EQ(ParseModelSource("mini=/models/x")->folder, "/models/x");
  EXPECT_EQ(ParseModelSource("/models/all-MiniLM-L6-v2/")->name, "all-MiniLM-L6-v2");
  EXPECT_EQ(ParseModelSource("all-MiniLM-L6-v2")->name, "all-MiniLM-L6-v2");
  for (const char* wrong : {"", "=", "=x", "a=", "bad name=x", "/"}) {
    EXPECT_EQ(ParseModelSource(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(ModelCatalogTest, FindsModelsByNameAndTheFirstByDefault) {
  const auto ops = MakeReferenceOps();
  const std::string folder = testing::TestDataPath("tiny_bert");
  const auto catalog = ModelCatalog::Load({{"z", folder}, {"a", folder}}, *ops);
  ASSERT_TRUE(catalog.ok()) << catalog.status();
  EXPECT_EQ((*(*catalog)->Find(""))->name(), "z");
  EXPECT_EQ((*(*catalog)->Find("a"))->name(), "a");
  EXPECT_EQ((*catalog)->Find("b").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ((*catalog)->All()[0]->name(), "a");
  EXPECT_THAT(ModelCatalog::Load({{"a", folder}, {"a", folder}}, *ops).status().message(), HasSubstr("given twice"));
  EXPECT_THAT(ModelCatalog::Load({{"a", folder + "/none"}}, *ops).status().message(), HasSubstr("model \"a\""));
}

}  // namespace
}  // namespace alcove::inference
