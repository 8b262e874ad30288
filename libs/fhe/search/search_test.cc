#include <random>

#include <gtest/gtest.h>

#include "libs/fhe/client/client.h"
#include "libs/fhe/client/query.h"
#include "libs/fhe/poly/isa.h"
#include "libs/fhe/search/expand.h"
#include "libs/fhe/search/noise.h"
#include "libs/fhe/search/score.h"

namespace alcove::fhe {
namespace {

const Context& S50() {
  static const auto context = *Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, {50, 59}), 417793});
  return *context;
}

std::vector<uint32_t> Elements(int levels) {
  std::vector<uint32_t> out;
  for (int j = 0; j < levels; ++j) out.push_back(ExpansionElement(4096, j));
  return out;
}

TEST(ExpandTest, EachCiphertextHoldsOneCoefficientAsAConstant) {
  const SecretKey secret = SecretKey::Generate(S50());
  const std::vector<int32_t> query = {7, -3, 0, 1000, -1000, 5};
  const int levels = ExpansionLevels(query.size());
  EXPECT_EQ(levels, 3);
  const GaloisKeys keys = MakeGaloisKeys(S50(), secret, Elements(levels));
  const auto prepared = ExpansionKeys::Prepare(S50(), keys, levels);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const Ciphertext encrypted = EncryptSymmetric(S50(), secret, *EncodeQuery(S50(), query));
  const auto expanded = Expand(S50(), *FromWire(S50(), encrypted), *prepared, query.size());
  ASSERT_EQ(expanded.size(), query.size());
  for (size_t d = 0; d < query.size(); ++d) {
    const auto plain = Decrypt(S50(), secret, ToWire(S50(), ToCoeff(S50(), expanded[d])));
    std::vector<int64_t> want(4096);
    want[0] = query[d];
    EXPECT_EQ(DecodeScores(S50(), plain->coefficients, 4096), want) << d;
  }
}

TEST(ExpandTest, AMissingKeyIsNamed) {
  const SecretKey secret = SecretKey::Generate(S50());
  const GaloisKeys keys = MakeGaloisKeys(S50(), secret, Elements(2));
  EXPECT_FALSE(ExpansionKeys::Prepare(S50(), keys, 3).ok());
}

TEST(ExpansionLevelsTest, IsTheCeilingOfTheLogarithm) {
  EXPECT_EQ(ExpansionLevels(1), 0);
  EXPECT_EQ(ExpansionLevels(2), 1);
  EXPECT_EQ(ExpansionLevels(3), 2);
  EXPECT_EQ(ExpansionLevels(384), 9);
  EXPECT_EQ(ExpansionLevels(512), 9);
  EXPECT_EQ(ExpansionElement(4096, 8), 17u);
}

TEST(MacTest, EveryKernelEqualsTheScalarOneAtTheExtremes) {
  std::vector<std::pair<const char*, MacFn>> kernels = {{"emulated ifma", MacEmulatedIfma}};
  if (BestIsa() >= Isa::kAvx2) kernels.emplace_back("avx2", MacAvx2);
  if (BestIsa() >= Isa::kAvx512) kernels.emplace_back("avx512", MacAvx512);
  if (BestIsa() >= Isa::kAvx512Ifma) kernels.emplace_back("ifma", MacAvx512Ifma);
  const uint64_t top = (uint64_t{1} << 50) - 1;
  for (size_t dimensions : {size_t{1}, size_t{7}, kMaxMacDimensions}) {
    for (int extreme = 0; extreme < 2; ++extreme) {
      std::mt19937_64 rng(dimensions);
      Words database(dimensions * kTile), query(2 * dimensions * kTile);
      for (uint64_t& w : database) w = extreme ? top : rng() & top;
      for (uint64_t& w : query) w = extreme ? top : rng() & top;
      alignas(64) uint64_t want[4 * kTile], got[4 * kTile];
      MacScalar(database.data(), query.data(), dimensions, want, want + 2 * kTile);
      for (const auto& [name, mac] : kernels) {
        mac(database.data(), query.data(), dimensions, got, got + 2 * kTile);
        for (size_t i = 0; i < 4 * kTile; ++i) ASSERT_EQ(got[i], want[i]) << name << " " << i;
      }
    }
  }
}

// The whole path at full width, with the largest numbers the quantisation can give.
struct Set {
  std::vector<int> bits;
  uint64_t plain_modulus;
  int scale;
};

class SearchTest : public ::testing::TestWithParam<Set> {};

TEST_P(SearchTest, DecryptedScoresAreExactInnerProducts) {
  const int scale = GetParam().scale;
  const auto owned =
      *Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, GetParam().bits), GetParam().plain_modulus});
  const Context& context = *owned;
  constexpr size_t kDimensions = 384;
  constexpr size_t kRows[] = {4096, 100};
  std::mt19937_64 rng(5);
  const auto unit = [&] {
    std::normal_distribution<float> normal;
    std::vector<float> v(kDimensions);
    double norm = 0;
    for (float& x : v) {
      x = normal(rng);
      norm += x * x;
    }
    for (float& x : v) x /= static_cast<float>(std::sqrt(norm));
    return v;
  };
  const std::vector<int32_t> query = *Quantise(unit(), scale, scale);
  std::vector<Block> blocks;
  std::vector<std::vector<int64_t>> want;
  for (size_t rows : kRows) {
    std::vector<int8_t> values;
    std::vector<int64_t> scores;
    for (size_t r = 0; r < rows; ++r) {
      const auto row = *Quantise(unit(), scale, 127);
      int64_t score = 0;
      for (size_t d = 0; d < kDimensions; ++d) score += int64_t{row[d]} * query[d];
      scores.push_back(score);
      values.insert(values.end(), row.begin(), row.end());
    }
    want.push_back(scores);
    auto block = Block::Encode(context, values, rows, kDimensions);
    ASSERT_TRUE(block.ok()) << block.status();
    blocks.push_back(*std::move(block));
  }
  const SecretKey secret = SecretKey::Generate(context);
  const auto keys = ExpansionKeys::Prepare(context, MakeGaloisKeys(context, secret, Elements(9)), 9);
  const Ciphertext encrypted = EncryptSymmetric(context, secret, *EncodeQuery(context, query));
  const ScoringQuery expanded(context, Expand(context, *FromWire(context, encrypted), *keys, kDimensions));
  const auto replies = Score(context, expanded, {&blocks[0], &blocks[1]});
  const auto scalar = Score(context, expanded, {&blocks[0], &blocks[1]}, MacScalar);
  EXPECT_EQ(replies, scalar);
  const ScoringQuery other(
      context, Expand(context, *FromWire(context, EncryptSymmetric(context, secret, {1})), *keys, kDimensions));
  const auto batch = ScoreBatch(context, {&other, &expanded}, {&blocks[0], &blocks[1]});
  EXPECT_EQ(batch[1], replies);
  EXPECT_EQ(batch[0], Score(context, other, {&blocks[0], &blocks[1]}));
  for (size_t b = 0; b < 2; ++b) {
    const auto plain = Decrypt(context, secret, ToWire(context, replies[b]));
    EXPECT_EQ(DecodeScores(context, plain->coefficients, kRows[b]), want[b]);
    if (b == 0) {
      // The largest of 4,096 Gaussian samples lies between three and six deviations.
      const SearchNoise noise = BoundSearchNoise(context.parameters(), kDimensions, double(scale) * scale);
      const double largest_bits = noise.limit_bits - plain->noise_budget_bits;
      EXPECT_NEAR(largest_bits, noise.sigma_bits + 2, 0.7);
      EXPECT_GT(plain->noise_budget_bits, 4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, SearchTest, ::testing::Values(Set{{50, 59}, 417793, 450}, Set{{50, 50}, 65537, 180}));

TEST(NoiseTest, NoReplyFailsWithProbabilityAbove2ToTheMinus64WhateverTheRowsHold) {
  for (size_t dimensions : {1, 128, 384, 512}) {
    const double worst = 127.0 * 127.0 * static_cast<double>(dimensions);
    EXPECT_LT(BoundSearchNoise(S50().parameters(), dimensions, worst).failure_log2, -64) << dimensions;
  }
  // The bound is not vacuous: a plain modulus eight bits larger would not do.
  EncryptionParameters too_large = S50().parameters();
  too_large.plain_modulus <<= 8;
  EXPECT_GT(BoundSearchNoise(too_large, 512, 127.0 * 127.0 * 512).failure_log2, -64);
}

}  // namespace
}  // namespace alcove::fhe
