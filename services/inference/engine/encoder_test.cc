#include "services/inference/engine/encoder.h"

#include <cmath>
#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/inference/engine/embedding_model.h"
#include "services/inference/testing/test_data.h"

namespace alcove::inference {
namespace {

using ::testing::HasSubstr;

// A random BERT with awkward sizes; its hidden states were computed by Hugging Face transformers.
class TinyBertTest : public ::testing::Test {
 protected:
  TinyBertTest()
      : folder_(testing::TestDataPath("tiny_bert")),
        golden_(folder_ + "/golden.safetensors"),
        ids_(golden_.Ints("ids")),
        offsets_({0}) {
    for (int32_t length : golden_.Ints("lengths")) offsets_.push_back(offsets_.back() + length);
  }

  std::vector<float> Run(const EncoderOps& ops, Activation activation) {
    auto weights = Weights::Open(folder_);
    EXPECT_TRUE(weights.ok()) << weights.status();
    auto config = ReadEncoderConfig(folder_);
    EXPECT_TRUE(config.ok()) << config.status();
    config->activation = activation;
    const auto encoder = Encoder::Load(*weights, *config, ops);
    EXPECT_TRUE(encoder.ok()) << encoder.status();
    std::vector<float> out(ids_.size() * config->hidden_size);
    Workspace workspace;
    (*encoder)->Forward({ids_, {}, offsets_}, workspace, out.data());
    return out;
  }

  std::string folder_;
  testing::GoldenTensors golden_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> offsets_;
};

void ExpectClose(const std::vector<float>& got, const std::vector<float>& want, float tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << "at " << i;
}

TEST_F(TinyBertTest, TheReferenceEqualsTransformers) {
  const auto ops = MakeReferenceOps();
  ExpectClose(Run(*ops, Activation::kGelu), golden_.Floats("gelu"), 2e-5f);
  ExpectClose(Run(*ops, Activation::kGeluTanh), golden_.Floats("gelu_new"), 2e-5f);
  ExpectClose(Run(*ops, Activation::kRelu), golden_.Floats("relu"), 2e-5f);
}

TEST_F(TinyBertTest, EveryInstructionSetEqualsTransformers) {
  const KernelList list = SupportedKernels();
  for (size_t i = 0; i < list.count; ++i) {
    SCOPED_TRACE(list.entries[i]->name);
    const auto ops = MakeCpuOps(*list.entries[i]);
    ExpectClose(Run(*ops, Activation::kGelu), golden_.Floats("gelu"), 2e-5f);
    ExpectClose(Run(*ops, Activation::kGeluTanh), golden_.Floats("gelu_new"), 2e-5f);
    ExpectClose(Run(*ops, Activation::kRelu), golden_.Floats("relu"), 2e-5f);
  }
}

TEST_F(TinyBertTest, Bf16StaysCloseToTransformersThoughTheseHeadsFillNoTile) {
  std::vector<const Bf16Kernels*> sets = {&PortableBf16Kernels()};
  const Bf16KernelList list = SupportedBf16Kernels();
  sets.insert(sets.end(), list.entries, list.entries + list.count);
  for (const Bf16Kernels* kernels : sets) {
    SCOPED_TRACE(kernels->name);
    const auto ops = MakeCpuBf16Ops(*kernels, *SupportedKernels().entries[0]);
    ExpectClose(Run(*ops, Activation::kGelu), golden_.Floats("gelu"), 5e-2f);
    ExpectClose(Run(*ops, Activation::kGeluTanh), golden_.Floats("gelu_new"), 5e-2f);
    ExpectClose(Run(*ops, Activation::kRelu), golden_.Floats("relu"), 5e-2f);
  }
}

TEST_F(TinyBertTest, AVectorIsBitIdenticalInEveryBatch) {
  const auto ops = MakeCpuOps(*SupportedKernels().entries[0]);
  const auto model = EmbeddingModel::Load(folder_, *ops);
  ASSERT_TRUE(model.ok()) << model.status();
  std::vector<absl::Span<const int32_t>> sequences;
  for (size_t s = 0; s + 1 < offsets_.size(); ++s) {
    const absl::Span<const int32_t> sequence =
        absl::MakeConstSpan(ids_).subspan(offsets_[s], offsets_[s + 1] - offsets_[s]);
    if ((*model)->CheckIds(sequence).ok()) sequences.push_back(sequence);
  }
  // Enough copies to make several groups of different sizes.
  for (int copies = 0; copies < 5; ++copies)
    sequences.insert(sequences.end(), sequences.begin(), sequences.begin() + 5);
  const size_t dimension = (*model)->dimension();
  Workspace workspace;
  std::vector<float> together(sequences.size() * dimension);
  (*model)->Embed(sequences, workspace, together.data());
  for (size_t s = 0; s < sequences.size(); ++s) {
    std::vector<float> alone(dimension);
    (*model)->Embed(absl::MakeConstSpan(&sequences[s], 1), workspace, alone.data());
    EXPECT_EQ(std::memcmp(alone.data(), together.data() + s * dimension, dimension * sizeof(float)), 0)
        << "sequence " << s;
  }
}

TEST_F(TinyBertTest, MeanPoolingEqualsTransformers) {
  const auto ops = MakeCpuOps(*SupportedKernels().entries[0]);
  const auto model = EmbeddingModel::Load(folder_, *ops);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->max_tokens(), 32u);
  EXPECT_EQ((*model)->embedding_config().pooling, Pooling::kMean);
  const std::vector<float> want = golden_.Floats("gelu.mean");
  for (size_t s = 0; s + 1 < offsets_.size(); ++s) {
    const absl::Span<const int32_t> sequence =
        absl::MakeConstSpan(ids_).subspan(offsets_[s], offsets_[s + 1] - offsets_[s]);
    if (sequence.size() > 32) {
      EXPECT_THAT((*model)->CheckIds(sequence).message(), HasSubstr("at most 32"));
      continue;
    }
    std::vector<float> got((*model)->dimension());
    Workspace workspace;
    (*model)->Embed(absl::MakeConstSpan(&sequence, 1), workspace, got.data());
    ExpectClose(got, std::vector<float>(want.begin() + s * got.size(), want.begin() + (s + 1) * got.size()), 2e-5f);
  }
}

TEST_F(TinyBertTest, RejectsIdsOutsideTheVocabulary) {
  const auto ops = MakeCpuOps(*SupportedKernels().entries[0]);
  const auto model = EmbeddingModel::Load(folder_, *ops);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->CheckIds({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT((*model)->CheckIds({1, 64}).message(), HasSubstr("token id 64"));
  EXPECT_THAT((*model)->CheckIds({1, -1}).message(), HasSubstr("token id -1"));
  EXPECT_TRUE((*model)->CheckIds({0, 63}).ok());
}

TEST_F(TinyBertTest, ReportsTheMemoryItHolds) {
  const auto ops = MakeCpuOps(*SupportedKernels().entries[0]);
  const auto model = EmbeddingModel::Load(folder_, *ops);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_GE((*model)->memory_bytes(), static_cast<size_t>((*model)->parameters()) * sizeof(float));
  EXPECT_LE((*model)->memory_bytes(), static_cast<size_t>((*model)->parameters()) * sizeof(float) * 2);
}

class BrokenFolderTest : public ::testing::Test {
 protected:
  BrokenFolderTest() : folder_(testing::MakeTempFolder("model")) {
    for (const char* name : {"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"}) {
      std::filesystem::copy_file(testing::TestDataPath(std::string("tiny_bert/") + name), folder_ + "/" + name);
    }
  }
  ~BrokenFolderTest() override { std::filesystem::remove_all(folder_); }

  absl::Status Load() { return EmbeddingModel::Load(folder_, *ops_).status(); }

  std::unique_ptr<const EncoderOps> ops_ = MakeReferenceOps();
  std::string folder_;
};

TEST_F(BrokenFolderTest, AWholeFolderLoads) { EXPECT_TRUE(Load().ok()) << Load(); }

TEST_F(BrokenFolderTest, EachMissingFileIsNamed) {
  for (const char* name : {"config.json", "model.safetensors", "vocab.txt"}) {
    std::filesystem::rename(folder_ + "/" + name, folder_ + "/gone");
    const absl::Status status = Load();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_THAT(status.message(), HasSubstr(name));
    std::filesystem::rename(folder_ + "/gone", folder_ + "/" + name);
  }
}

TEST_F(BrokenFolderTest, AMissingFolderIsNamed) {
  const absl::Status status = EmbeddingModel::Load(folder_ + "/nowhere", *ops_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("nowhere"));
}

TEST_F(BrokenFolderTest, AMissingTensorIsNamed) {
  testing::WriteFile(folder_ + "/config.json", R"({"model_type": "bert", "vocab_size": 64, "hidden_size": 36,
      "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 52, "max_position_embeddings": 40})");
  const absl::Status status = Load();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("encoder.layer.2.attention.self.query.weight"));
}

TEST_F(BrokenFolderTest, ATensorOfTheWrongShapeIsNamed) {
  testing::WriteFile(folder_ + "/config.json", R"({"model_type": "bert", "vocab_size": 64, "hidden_size": 36,
      "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 60, "max_position_embeddings": 40})");
  const absl::Status status = Load();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("encoder.layer.0.intermediate.dense.weight"));
  EXPECT_THAT(status.message(), HasSubstr("[52,36]"));
}

TEST_F(BrokenFolderTest, ATruncatedDownloadIsAnError) {
  std::filesystem::resize_file(folder_ + "/model.safetensors",
                               std::filesystem::file_size(folder_ + "/model.safetensors") - 10);
  const absl::Status status = Load();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("model.safetensors"));
}

}  // namespace
}  // namespace alcove::inference
