// all-MiniLM-L6-v2 against vectors made by sentence-transformers (testdata/make_golden.py).
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "services/inference/engine/embedding_model.h"
#include "services/inference/testing/test_data.h"

namespace alcove::inference {
namespace {

// Every backend this machine can run.
std::vector<std::unique_ptr<const EncoderOps>> Backends() {
  std::vector<std::unique_ptr<const EncoderOps>> backends;
  const CpuKernels& f32 = *SupportedKernels().entries[0];
  backends.push_back(MakeCpuOps(f32));
  const Bf16KernelList bf16 = SupportedBf16Kernels();
  for (size_t i = 0; i < bf16.count; ++i) backends.push_back(MakeCpuBf16Ops(*bf16.entries[i], f32));
  return backends;
}

class RealModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto folder = testing::RealModelFolder();
    ASSERT_TRUE(folder.ok()) << folder.status().message();
    folder_ = *folder;
    texts_ = testing::ReadStrings(testing::TestDataPath("embeddings_texts.json"));
    UseBackend(*backends_[0]);
    for (const std::string& text : texts_) encodings_.push_back(model_->Tokenize(text, InputKind::kUnspecified));
    for (const Encoding& encoding : encodings_) sequences_.push_back(encoding.ids);
  }

  void UseBackend(const EncoderOps& ops) {
    auto model = EmbeddingModel::Load(folder_, ops);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  const std::vector<std::unique_ptr<const EncoderOps>> backends_ = Backends();
  std::string folder_;
  std::unique_ptr<const EmbeddingModel> model_;
  std::vector<std::string> texts_;
  std::vector<Encoding> encodings_;
  std::vector<absl::Span<const int32_t>> sequences_;
  Workspace workspace_;
};

TEST_F(RealModelTest, EmbeddingsEqualSentenceTransformers) {
  const std::vector<float> want =
      testing::GoldenTensors(testing::TestDataPath("embeddings.safetensors")).Floats("embeddings");
  for (const auto& ops : backends_) {
    SCOPED_TRACE(ops->name());
    UseBackend(*ops);
    const size_t dimension = model_->dimension();
    ASSERT_EQ(dimension, 384u);
    std::vector<float> got(texts_.size() * dimension);
    model_->Embed(sequences_, workspace_, got.data());
    ASSERT_EQ(got.size(), want.size());
    const bool exact = ops->precision() == "f32";
    double lowest = 1;
    for (size_t t = 0; t < texts_.size(); ++t) {
      double dot = 0, length_got = 0, length_want = 0, largest = 0;
      for (size_t i = t * dimension; i < (t + 1) * dimension; ++i) {
        dot += static_cast<double>(got[i]) * want[i];
        length_got += static_cast<double>(got[i]) * got[i];
        length_want += static_cast<double>(want[i]) * want[i];
        largest = std::max(largest, std::fabs(static_cast<double>(got[i]) - want[i]));
      }
      const double cosine = dot / std::sqrt(length_got * length_want);
      lowest = std::min(lowest, cosine);
      EXPECT_GE(cosine, exact ? 0.999999 : 0.9999) << texts_[t];
      EXPECT_LE(largest, exact ? 2e-6 : 4e-3) << texts_[t];
    }
    RecordProperty("lowest_cosine_" + std::string(ops->precision()), std::to_string(lowest));
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
  for (const auto& ops : backends_) {
    SCOPED_TRACE(ops->name());
    UseBackend(*ops);
    const size_t dimension = model_->dimension();
    std::vector<float> together(texts_.size() * dimension), alone(dimension);
    model_->Embed(sequences_, workspace_, together.data());
    for (size_t t = 0; t < texts_.size(); t += 3) {
      model_->Embed(absl::MakeConstSpan(&sequences_[t], 1), workspace_, alone.data());
      EXPECT_EQ(std::memcmp(alone.data(), together.data() + t * dimension, dimension * sizeof(float)), 0) << texts_[t];
    }
  }
}

}  // namespace
}  // namespace alcove::inference
