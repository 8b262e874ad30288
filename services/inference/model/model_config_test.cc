#include "services/inference/model/model_config.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/inference/testing/test_data.h"

namespace alcove::inference {
namespace {

using ::testing::HasSubstr;

constexpr char kConfig[] = R"({"model_type":"bert","vocab_size":100,"hidden_size":8,"num_hidden_layers":1,
  "num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":64,"hidden_act":"gelu"})";

class ModelConfigTest : public ::testing::Test {
 protected:
  ModelConfigTest() : folder_(testing::MakeTempFolder("config")) { Write("config.json", kConfig); }
  ~ModelConfigTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, absl::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(folder_ + "/" + name).parent_path());
    testing::WriteFile(folder_ + "/" + name, text);
  }
  std::string EncoderError(const std::string& from, const std::string& to) {
    std::string text = kConfig;
    text.replace(text.find(from), from.size(), to);
    Write("config.json", text);
    const auto config = ReadEncoderConfig(folder_);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << from << " -> " << to;
    return std::string(config.status().message());
  }
  absl::StatusOr<EmbeddingConfig> Embedding() { return ReadEmbeddingConfig(folder_, *ReadEncoderConfig(folder_)); }

  std::string folder_;
};

TEST_F(ModelConfigTest, ReadsABertConfiguration) {
  const auto config = ReadEncoderConfig(folder_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->hidden_size, 8u);
  EXPECT_EQ(config->token_types, 2u);
  EXPECT_EQ(config->activation, Activation::kGelu);
  EXPECT_EQ(config->layer_norm_eps, 1e-12f);
  EXPECT_EQ(config->architecture, "BertModel");
}

TEST_F(ModelConfigTest, NamesTheFieldThatIsWrong) {
  EXPECT_THAT(EncoderError("\"bert\"", "\"llama\""), HasSubstr("model_type \"llama\""));
  EXPECT_THAT(EncoderError("\"hidden_size\":8", "\"hidden_size\":9"), HasSubstr("not a multiple"));
  EXPECT_THAT(EncoderError("\"vocab_size\":100", "\"vocab_size\":0"), HasSubstr("vocab_size"));
  EXPECT_THAT(EncoderError("\"vocab_size\":100,", ""), HasSubstr("\"vocab_size\" is missing"));
  EXPECT_THAT(EncoderError("\"num_hidden_layers\":1", "\"num_hidden_layers\":\"x\""), HasSubstr("not an integer"));
  EXPECT_THAT(EncoderError("\"gelu\"", "\"silu\""), HasSubstr("hidden_act \"silu\""));
  EXPECT_THAT(EncoderError("{", "{\"position_embedding_type\":\"relative_key\","), HasSubstr("relative_key"));
  EXPECT_THAT(EncoderError("{", "{\"layer_norm_eps\":0,"), HasSubstr("layer_norm_eps"));
  EXPECT_THAT(EncoderError("{", "{{"), HasSubstr("not valid JSON"));
}

TEST_F(ModelConfigTest, WithoutModulesPoolsByMeanAndDoesNotNormalise) {
  const auto config = Embedding();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->pooling, Pooling::kMean);
  EXPECT_FALSE(config->normalize);
  EXPECT_EQ(config->max_tokens, 64u);
}

TEST_F(ModelConfigTest, FollowsModulesPoolingAndLimits) {
  Write("modules.json", R"([{"type":"sentence_transformers.models.Transformer","path":""},
      {"type":"sentence_transformers.models.Pooling","path":"1_Pooling"},
      {"type":"sentence_transformers.models.Normalize","path":"2_Normalize"}])");
  Write("1_Pooling/config.json", R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false})");
  Write("sentence_bert_config.json", R"({"max_seq_length":20})");
  Write("tokenizer_config.json", R"({"model_max_length":30})");
  const auto config = Embedding();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->pooling, Pooling::kCls);
  EXPECT_TRUE(config->normalize);
  EXPECT_EQ(config->max_tokens, 20u);
}

TEST_F(ModelConfigTest, AnUnlimitedTokenizerIsLimitedByThePositions) {
  Write("sentence_bert_config.json", R"({"max_seq_length":null})");
  Write("tokenizer_config.json", R"({"model_max_length":1000000000000000019884624838656})");
  ASSERT_TRUE(Embedding().ok()) << Embedding().status();
  EXPECT_EQ(Embedding()->max_tokens, 64u);
}

TEST_F(ModelConfigTest, ReadsPrompts) {
  Write("config_sentence_transformers.json",
        R"({"prompts":{"query":"query: ","passage":"passage: ","plain":"p "},"default_prompt_name":"plain"})");
  const auto config = Embedding();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->query_prompt, "query: ");
  EXPECT_EQ(config->document_prompt, "passage: ");
  EXPECT_EQ(config->default_prompt, "p ");
}

TEST_F(ModelConfigTest, RefusesWhatIsNotBuilt) {
  Write("modules.json", R"([{"type":"sentence_transformers.models.Dense","path":"2_Dense"}])");
  EXPECT_THAT(Embedding().status().message(), HasSubstr("models.Dense"));
  Write("modules.json", R"([{"type":"sentence_transformers.models.Pooling","path":"1_Pooling"}])");
  EXPECT_THAT(Embedding().status().message(), HasSubstr("1_Pooling/config.json"));
  Write("1_Pooling/config.json", R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true})");
  EXPECT_THAT(Embedding().status().message(), HasSubstr("is not supported"));
  Write("1_Pooling/config.json", R"({"pooling_mode_lasttoken":true})");
  EXPECT_THAT(Embedding().status().message(), HasSubstr("lasttoken"));
  Write("modules.json", R"([{"type":"sentence_transformers.models.Pooling","path":"../1_Pooling"}])");
  EXPECT_THAT(Embedding().status().message(), HasSubstr("leaves the folder"));
}

}  // namespace
}  // namespace alcove::inference
