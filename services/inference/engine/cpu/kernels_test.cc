#include "services/inference/engine/cpu/kernels.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "services/inference/engine/ops.h"

namespace alcove::inference {
namespace {

std::vector<float> RandomFloats(size_t count, uint32_t seed, float low = -1.0f, float high = 1.0f) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

float MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const float difference = std::fabs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

bool SameBits(const float* a, const float* b, size_t count) { return std::memcmp(a, b, count * sizeof(float)) == 0; }

// Every kernel set this machine can run, compared with the reference operations.
class KernelsTest : public ::testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    const KernelList list = SupportedKernels();
    if (GetParam() >= list.count) GTEST_SKIP() << "this processor has fewer instruction sets";
    ops_ = MakeCpuOps(*list.entries[GetParam()]);
    reference_ = MakeReferenceOps();
  }

  std::vector<float> RunLinear(const EncoderOps& ops, const std::vector<float>& in, const std::vector<float>& weight,
                               const std::vector<float>& bias, size_t rows, Epilogue epilogue) {
    const size_t outputs = bias.size();
    WeightArena arena;
    const auto packed = ops.Pack(weight, bias, weight.size() / outputs, outputs, arena);
    std::vector<float> out(rows * outputs, NAN);
    ops.Linear(*packed, in.data(), rows, epilogue, workspace_, out.data());
    return out;
  }

  std::unique_ptr<const EncoderOps> ops_;
  std::unique_ptr<const EncoderOps> reference_;
  Workspace workspace_;
};

TEST_P(KernelsTest, LinearEqualsTheReferenceForAwkwardShapes) {
  struct Shape {
    size_t rows, inputs, outputs;
  };
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{3, 7, 5}, Shape{8, 36, 108}, Shape{9, 52, 36}, Shape{17, 384, 48},
                             Shape{5, 385, 97}, Shape{23, 1000, 64}, Shape{2, 1536, 33}}) {
    const auto in = RandomFloats(shape.rows * shape.inputs, 1);
    const auto weight = RandomFloats(shape.outputs * shape.inputs, 2, -0.1f, 0.1f);
    const auto bias = RandomFloats(shape.outputs, 3);
    for (Epilogue epilogue : {Epilogue::kNone, Epilogue::kGelu, Epilogue::kGeluTanh, Epilogue::kRelu}) {
      const auto got = RunLinear(*ops_, in, weight, bias, shape.rows, epilogue);
      const auto want = RunLinear(*reference_, in, weight, bias, shape.rows, epilogue);
      EXPECT_LE(MaxDifference(got, want), 1e-5f)
          << shape.rows << "x" << shape.inputs << "x" << shape.outputs << " epilogue " << static_cast<int>(epilogue);
    }
  }
}

TEST_P(KernelsTest, ActivationsStayCloseToTheReferenceFarFromZero) {
  std::vector<float> in;
  for (float x = -20.0f; x <= 20.0f; x += 0.0037f) in.push_back(x);
  in.insert(in.end(), {-1e30f, -1000.0f, 1000.0f, 1e30f, 0.0f, -0.0f, 1e-30f});
  const std::vector<float> weight = {1.0f};
  const std::vector<float> bias = {0.0f};
  for (Epilogue epilogue : {Epilogue::kGelu, Epilogue::kGeluTanh, Epilogue::kRelu}) {
    const auto got = RunLinear(*ops_, in, weight, bias, in.size(), epilogue);
    const auto want = RunLinear(*reference_, in, weight, bias, in.size(), epilogue);
    for (size_t i = 0; i < in.size(); ++i) {
      // A tail of 5e-11 instead of 0 is what the clamp leaves; relative to x it is nothing.
      ASSERT_NEAR(got[i], want[i], 2e-7f + 2e-7f * std::fabs(in[i])) << "at x = " << in[i];
    }
  }
}

TEST_P(KernelsTest, ARowOfALinearLayerIsBitIdenticalInEveryBatch) {
  const size_t inputs = 771, outputs = 115, rows = 29;
  const auto in = RandomFloats(rows * inputs, 4);
  const auto weight = RandomFloats(outputs * inputs, 5);
  const auto bias = RandomFloats(outputs, 6);
  const auto all = RunLinear(*ops_, in, weight, bias, rows, Epilogue::kGelu);
  for (size_t first = 0; first < rows; first += 3) {
    for (size_t count : {1u, 2u, 5u, 8u}) {
      if (first + count > rows) continue;
      const std::vector<float> part(in.begin() + first * inputs, in.begin() + (first + count) * inputs);
      const auto some = RunLinear(*ops_, part, weight, bias, count, Epilogue::kGelu);
      EXPECT_TRUE(SameBits(some.data(), all.data() + first * outputs, some.size())) << first << "+" << count;
    }
  }
}

TEST_P(KernelsTest, AttentionEqualsTheReference) {
  for (size_t head_dim : {1u, 12u, 16u, 32u, 40u, 64u, 80u}) {
    for (size_t tokens : {1u, 2u, 8u, 15u, 16u, 17u, 47u, 49u, 130u}) {
      const size_t heads = 3, hidden = heads * head_dim;
      const auto qkv = RandomFloats(tokens * 3 * hidden, 7, -2.0f, 2.0f);
      const std::vector<int32_t> offsets = {0, static_cast<int32_t>(tokens)};
      std::vector<float> got(tokens * hidden, NAN), want(tokens * hidden);
      ops_->Attention(qkv.data(), offsets, heads, head_dim, workspace_, got.data());
      reference_->Attention(qkv.data(), offsets, heads, head_dim, workspace_, want.data());
      EXPECT_LE(MaxDifference(got, want), 5e-6f) << head_dim << " dims, " << tokens << " tokens";
    }
  }
}

TEST_P(KernelsTest, AttentionSurvivesHugeScores) {
  const size_t tokens = 21, head_dim = 32;
  auto qkv = RandomFloats(tokens * 3 * head_dim, 8, -100.0f, 100.0f);
  const std::vector<int32_t> offsets = {0, tokens};
  std::vector<float> got(tokens * head_dim), want(tokens * head_dim);
  ops_->Attention(qkv.data(), offsets, 1, head_dim, workspace_, got.data());
  reference_->Attention(qkv.data(), offsets, 1, head_dim, workspace_, want.data());
  EXPECT_LE(MaxDifference(got, want), 1.0f);
  for (float value : got) EXPECT_TRUE(std::isfinite(value));
}

TEST_P(KernelsTest, ASequenceAttendsOnlyToItselfBitForBit) {
  const size_t heads = 2, head_dim = 20, hidden = heads * head_dim;
  const std::vector<int32_t> offsets = {0, 5, 6, 40, 57};
  const auto qkv = RandomFloats(offsets.back() * 3 * hidden, 9);
  std::vector<float> all(offsets.back() * hidden);
  ops_->Attention(qkv.data(), offsets, heads, head_dim, workspace_, all.data());
  for (size_t s = 0; s + 1 < offsets.size(); ++s) {
    const int32_t tokens = offsets[s + 1] - offsets[s];
    std::vector<float> alone(tokens * hidden);
    ops_->Attention(qkv.data() + offsets[s] * 3 * hidden, std::vector<int32_t>{0, tokens}, heads, head_dim, workspace_,
                    alone.data());
    EXPECT_TRUE(SameBits(alone.data(), all.data() + offsets[s] * hidden, alone.size())) << "sequence " << s;
  }
}

TEST_P(KernelsTest, LayerNormEqualsTheReferenceWithAndWithoutResidual) {
  for (size_t columns : {1u, 3u, 16u, 36u, 384u, 771u}) {
    const size_t rows = 5;
    const auto x = RandomFloats(rows * columns, 10, -3.0f, 5.0f);
    const auto residual = RandomFloats(rows * columns, 11);
    const auto gamma = RandomFloats(columns, 12);
    const auto beta = RandomFloats(columns, 13);
    for (const float* added : {static_cast<const float*>(nullptr), residual.data()}) {
      auto got = x, want = x;
      ops_->AddLayerNorm(got.data(), added, gamma, beta, 1e-5f, rows);
      reference_->AddLayerNorm(want.data(), added, gamma, beta, 1e-5f, rows);
      EXPECT_LE(MaxDifference(got, want), 5e-6f) << columns << " columns";
    }
  }
}

TEST_P(KernelsTest, EmbeddingSumsThreeTables) {
  const size_t hidden = 37;
  const auto words = RandomFloats(50 * hidden, 14), positions = RandomFloats(10 * hidden, 15),
             types = RandomFloats(2 * hidden, 16);
  const std::vector<int32_t> ids = {3, 49, 0, 7, 7, 7}, type_ids = {0, 1, 1, 0, 0, 1}, offsets = {0, 2, 6};
  const EmbeddingTables tables{words, positions, types, hidden};
  for (bool typed : {false, true}) {
    const PackedSequences batch{ids, typed ? absl::MakeConstSpan(type_ids) : absl::Span<const int32_t>(), offsets};
    std::vector<float> got(ids.size() * hidden), want(ids.size() * hidden);
    ops_->Embed(tables, batch, got.data());
    reference_->Embed(tables, batch, want.data());
    EXPECT_LE(MaxDifference(got, want), 1e-6f);
  }
}

TEST_P(KernelsTest, PoolingAndNormalisationEqualTheReference) {
  const size_t hidden = 45;
  const std::vector<int32_t> offsets = {0, 1, 4, 30};
  const auto x = RandomFloats(30 * hidden, 17);
  for (Pooling pooling : {Pooling::kMean, Pooling::kCls, Pooling::kMax}) {
    std::vector<float> got(3 * hidden), want(3 * hidden);
    ops_->Pool(x.data(), offsets, hidden, pooling, got.data());
    reference_->Pool(x.data(), offsets, hidden, pooling, want.data());
    EXPECT_LE(MaxDifference(got, want), 1e-6f);
    ops_->Normalize(got.data(), 3, hidden);
    reference_->Normalize(want.data(), 3, hidden);
    EXPECT_LE(MaxDifference(got, want), 1e-6f);
  }
}

TEST_P(KernelsTest, AZeroVectorStaysZeroWhenNormalised) {
  std::vector<float> zero(33, 0.0f);
  ops_->Normalize(zero.data(), 1, zero.size());
  for (float value : zero) EXPECT_EQ(value, 0.0f);
}

std::string RankName(const ::testing::TestParamInfo<size_t>& info) {
  static const char* const names[] = {"Fastest", "Second", "Third"};
  return names[info.param];
}
INSTANTIATE_TEST_SUITE_P(EachInstructionSet, KernelsTest, ::testing::Values(0, 1, 2), RankName);

}  // namespace
}  // namespace alcove::inference
