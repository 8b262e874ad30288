// all-MiniLM-L6-v2 against vectors made by sentence-transformers (testdata/make_golden.py).
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "services/inference/engine/embedding_model.h"
#include "services/inference/testing/test_data.h"

namespace alcove::inference {
namespace {

class RealModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto folder = testing::RealModelFolder();
    ASSERT_TRUE(folder.ok()) << folder.status().message();
    ops_ = MakeCpuOps(*SupportedKernels().entries[0]);
    auto model = EmbeddingModel::Load(*folder, *ops_);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    texts_ = testing::ReadStrings(testing::TestDataPath("embeddings_texts.json"));
    for (const std::string& text : texts_) encodings_.push_back(model_->Tokenize(text, InputKind::kUnspecified));
    for (const Encoding& encoding : encodings_) sequences_.push_back(encoding.ids);
  }

  std::unique_ptr<const EncoderOps> ops_;
  std::unique_ptr<const EmbeddingModel> model_;
  std::vector<std::string> texts_;
  std::vector<Encoding> encodings_;
  std::vector<absl::Span<const int32_t>> sequences_;
  Workspace workspace_;
};

TEST_F(RealModelTest, EmbeddingsEqualSentenceTransformers) {
  const size_t dimension = model_->dimension();
  ASSERT_EQ(dimension, 384u);
  std::vector<float> got(texts_.size() * dimension);
  model_->Embed(sequences_, workspace_, got.data());
  const std::vector<float> want =
      testing::GoldenTensors(testing::TestDataPath("embeddings.safetensors")).Floats("embeddings");
  ASSERT_EQ(got.size(), want.size());
  for (size_t t = 0; t < texts_.size(); ++t) {
    double dot = 0, length_got = 0, length_want = 0, largest = 0;
    for (size_t i = t * dimension; i < (t + 1) * dimension; ++i) {
      dot += static_cast<double>(got[i]) * want[i];
      length_got += static_cast<double>(got[i]) * got[i];
      length_want += static_cast<double>(want[i]) * want[i];
      largest = std::max(largest, std::fabs(static_cast<double>(got[i]) - want[i]));
    }
    EXPECT_GE(dot / std::sqrt(length_got * length_want), 0.999999) << texts_[t];
    EXPECT_LE(largest, 2e-6) << texts_[t];
  }
}

TEST_F(RealModelTest, LongTextsAreCutToTheModelsLimit) {
  EXPECT_EQ(model_->max_tokens(), 256u);
  size_t cut = 0;
  for (const Encoding& encoding : encodings_) {
    EXPECT_LE(encoding.ids.size(), 256u);
    cut += encoding.truncated;
  }
  EXPECT_EQ(cut, 3u);
}

TEST_F(RealModelTest, AVectorIsBitIdenticalInEveryBatch) {
  const size_t dimension = model_->dimension();
  std::vector<float> together(texts_.size() * dimension), alone(dimension);
  model_->Embed(sequences_, workspace_, together.data());
  for (size_t t = 0; t < texts_.size(); t += 3) {
    model_->Embed(absl::MakeConstSpan(&sequences_[t], 1), workspace_, alone.data());
    EXPECT_EQ(std::memcmp(alone.data(), together.data() + t * dimension, dimension * sizeof(float)), 0) << texts_[t];
  }
}

}  // namespace
}  // namespace alcove::inference
