#include <algorithm>
#include <cmath>
#include <random>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/text.h"
#include "libs/testing/status_matchers.h"
#include "services/vector-search/query/diversity.h"
#include "services/vector-search/query/fusion.h"
#include "services/vector-search/query/highlight.h"
#include "services/vector-search/query/recommend.h"
#include "services/vector-search/query/similarity.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::StatusIs;
using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Ids(const Ranking& ranking) {
  std::vector<std::string> out;
  for (const Ranked& r : ranking) out.push_back(r.id);
  return out;
}

TEST(Fusion, ReciprocalRanksAddUp) {
  const Leg dense{{{"a", 0.9}, {"b", 0.8}, {"c", 0.1}}};
  const Leg words{{{"c", 12}, {"b", 11}, {"d", 3}}};
  const Ranking fused = Fuse({dense, words}, FusionMethod::kRrf);
  EXPECT_THAT(Ids(fused), ElementsAre("c", "b", "a", "d"));
  EXPECT_THAT(fused[0].score, DoubleEq(1.0 / 63 + 1.0 / 61));
  EXPECT_THAT(fused[1].score, DoubleEq(2.0 / 62));
  EXPECT_THAT(fused[2].score, DoubleEq(1.0 / 61));
  EXPECT_THAT(Ids(Fuse({{dense.ranking, 10}, {words.ranking, 1}}, FusionMethod::kRrf, 1)),
              ElementsAre("a", "b", "c", "d"));
}

TEST(Fusion, WeightedScoresAreScaledFirst) {
  const Leg dense{{{"a", 0.9}, {"b", 0.8}, {"c", 0.7}}, 0.5};
  const Leg words{{{"c", 30}, {"b", 15}, {"d", 0}}, 2};
  const Ranking fused = Fuse({dense, words}, FusionMethod::kWeighted);
  EXPECT_THAT(Ids(fused), ElementsAre("c", "b", "a", "d"));
  EXPECT_NEAR(fused[0].score, 2, 1e-9);
  EXPECT_NEAR(fused[1].score, 0.5 * 0.5 + 2 * 0.5, 1e-9);
  EXPECT_NEAR(fused[2].score, 0.5, 1e-9);
  EXPECT_NEAR(fused[3].score, 0, 1e-9);
  EXPECT_THAT(Fuse({{{{"x", 5}, {"y", 5}}}}, FusionMethod::kWeighted), ElementsAre(Ranked{"x", 1}, Ranked{"y", 1}));
}

TEST(Fusion, TakesTheLargestScore) {
  EXPECT_THAT(Fuse({{{{"a", 2}, {"b", 1}}}, {{{"b", 3}}}, {{}}}, FusionMethod::kMax),
              ElementsAre(Ranked{"b", 3}, Ranked{"a", 2}));
  EXPECT_THAT(Fuse({}, FusionMethod::kRrf), IsEmpty());
}

class RandomCandidates {
 public:
  explicit RandomCandidates(uint32_t seed, size_t n, size_t dimension) : rng_(seed) {
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < n; ++i) {
      vectors_.emplace_back(dimension);
      for (float& x : vectors_.back()) x = normal(rng_);
    }
    for (size_t i = 0; i < n; ++i)
      candidates_.push_back({std::uniform_real_distribution<double>(0, 9)(rng_), vectors_[i]});
  }
  const std::vector<Candidate>& all() const { return candidates_; }
  double Cosine(size_t i, size_t j) const { return Nearness(Metric::kCosine, vectors_[i], vectors_[j]); }
  std::vector<double> Relevance() const {
    double low = 1e9, high = -1e9;
    for (const Candidate& c : candidates_) low = std::min(low, c.score), high = std::max(high, c.score);
    std::vector<double> out;
    for (const Candidate& c : candidates_) out.push_back((c.score - low) / (high - low));
    return out;
  }

 private:
  std::mt19937 rng_;
  std::vector<std::vector<float>> vectors_;
  std::vector<Candidate> candidates_;
};

TEST(Diversity, MmrFollowsItsDefinition) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const RandomCandidates random(seed, 40, 6);
    const auto relevance = random.Relevance();
    for (const double lambda : {0.0, 0.3, 0.7}) {
      std::vector<size_t> expected;
      while (expected.size() < 12) {
        size_t best = 0;
        double best_value = -1e9;
        for (size_t i = 0; i < 40; ++i) {
          if (std::find(expected.begin(), expected.end(), i) != expected.end()) continue;
          double nearest = expected.empty() ? 0 : -1e9;
          for (const size_t j : expected) nearest = std::max(nearest, random.Cosine(i, j));
          const double value = lambda * relevance[i] - (1 - lambda) * nearest;
          if (value > best_value + 1e-12) best = i, best_value = value;
        }
        expected.push_back(best);
      }
      ASSERT_EQ(Diversify(DiversityMethod::kMmr, random.all(), lambda, 12), expected) << seed << " " << lambda;
    }
  }
}

double Determinant(std::vector<std::vector<double>> m) {
  double det = 1;
  for (size_t i = 0; i < m.size(); ++i) {
    size_t pivot = i;
    for (size_t r = i + 1; r < m.size(); ++r) {
      if (std::fabs(m[r][i]) > std::fabs(m[pivot][i])) pivot = r;
    }
    if (pivot != i) std::swap(m[i], m[pivot]), det = -det;
    det *= m[i][i];
    for (size_t r = i + 1; r < m.size(); ++r) {
      const double f = m[r][i] / m[i][i];
      for (size_t c = i; c < m.size(); ++c) m[r][c] -= f * m[i][c];
    }
  }
  return det;
}

// Each step takes the candidate that makes the kernel's determinant largest, computed here from the whole matrix.
TEST(Diversity, DppChoosesTheLargestDeterminantAtEachStep) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    const RandomCandidates random(seed + 100, 25, 30);
    const auto relevance = random.Relevance();
    for (const double lambda : {0.0, 0.4, 0.8}) {
      const double alpha = lambda / (2 * (1 - lambda));
      const auto kernel = [&](size_t i, size_t j) {
        return std::exp(alpha * relevance[i]) * std::exp(alpha * relevance[j]) *
               (1 + (i == j ? 1 : random.Cosine(i, j))) / 2;
      };
      const auto chosen = Diversify(DiversityMethod::kDpp, random.all(), lambda, 8);
      ASSERT_EQ(chosen.size(), 8u);
      std::vector<size_t> so_far;
      for (const size_t next : chosen) {
        const auto with = [&](size_t i) {
          std::vector<size_t> set = so_far;
          set.push_back(i);
          std::vector<std::vector<double>> m(set.size(), std::vector<double>(set.size()));
          for (size_t r = 0; r < set.size(); ++r) {
            for (size_t c = 0; c < set.size(); ++c) m[r][c] = kernel(set[r], set[c]);
          }
          return Determinant(m);
        };
        const double taken = with(next);
        for (size_t i = 0; i < 25; ++i) {
          if (i == next || std::find(so_far.begin(), so_far.end(), i) != so_far.end()) continue;
          ASSERT_LE(with(i), taken * (1 + 1e-9)) << seed << " " << lambda;
        }
        so_far.push_back(next);
      }
    }
  }
}

TEST(Diversity, LambdaOneKeepsTheOrderAndDuplicatesComeLast) {
  const std::vector<float> a = {1, 0}, b = {0, 1};
  const std::vector<Candidate> candidates = {{3, a}, {2.9, a}, {2.8, a}, {1, b}, {0, {}}};
  for (const auto method : {DiversityMethod::kMmr, DiversityMethod::kDpp}) {
    EXPECT_THAT(Diversify(method, candidates, 1, 10), ElementsAre(0, 1, 2, 3, 4));
    const auto spread = Diversify(method, candidates, 0.3, 3);
    EXPECT_EQ(spread[0], 0u);
    EXPECT_THAT((std::vector<size_t>{spread[1], spread[2]}), ::testing::UnorderedElementsAre(3, 4));
    EXPECT_EQ(Diversify(method, candidates, 0.5, 99).size(), 5u);
    EXPECT_THAT(Diversify(method, {}, 0.5, 3), IsEmpty());
  }
}

TEST(Recommend, AveragesByDirectionUnderCosine) {
  EXPECT_THAT(AverageOf(Metric::kL2, {{1, 1}, {3, 5}}, {}).value(), ElementsAre(2, 3));
  EXPECT_THAT(AverageOf(Metric::kDot, {{1, 1}, {3, 5}}, {{0, 1}}).value(), ElementsAre(4, 5));
  const auto cosine = AverageOf(Metric::kCosine, {{10, 0}, {0, 1}}, {}).value();
  EXPECT_FLOAT_EQ(cosine[0], cosine[1]);
  EXPECT_THAT(AverageOf(Metric::kCosine, {{1, 0}, {-3, 0}}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cancel out")));
  EXPECT_THAT(AverageOf(Metric::kDot, {{3e38f, 0}}, {{-3e38f, 0}}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Recommend, BestScoreLeavesOutWhatIsNearerToANegativeExample) {
  const Examples good = {{0, 0}, {10, 0}}, bad = {{4, 0}};
  EXPECT_EQ(BestScore(Metric::kL2, good, bad, {9.f, 0.f}), -1);
  EXPECT_EQ(BestScore(Metric::kL2, good, bad, {1.f, 0.f}), -1);
  EXPECT_EQ(BestScore(Metric::kL2, good, bad, {5.f, 0.f}), std::nullopt);
  EXPECT_EQ(BestScore(Metric::kL2, good, bad, {2.f, 0.f}), -4);  // as near to both
  EXPECT_EQ(BestScore(Metric::kL2, good, {}, {5.f, 0.f}), -25);
}

std::vector<std::string> Marked(absl::string_view text, const HighlightOptions& options = {}) {
  return Highlight(Tokenizer::Plain(), {"fox", "dog"}, text, options);
}

TEST(Highlight, MarksWordsAndCutsBetweenThem) {
  EXPECT_THAT(Marked("The quick brown FOX."), ElementsAre("The quick brown <em>FOX</em>."));
  EXPECT_THAT(Marked("nothing here"), IsEmpty());
  std::string text;
  for (int i = 0; i < 50; ++i) absl::StrAppend(&text, "word", i, " ");
  const std::string longer = absl::StrCat(text, "a dog ", text, "the fox met the dog ", text);
  const auto best = Marked(longer, {.fragments = 1, .fragment_bytes = 60, .pre = "[", .post = "]"});
  ASSERT_EQ(best.size(), 1u);
  EXPECT_THAT(best[0], HasSubstr("the [fox] met the [dog] word0"));
  EXPECT_LE(best[0].size(), 64u);
  EXPECT_THAT(best[0], ::testing::StartsWith("word4"));
  EXPECT_EQ(Marked(longer, {.fragments = 2, .fragment_bytes = 60}).size(), 2u);
}

TEST(Highlight, NeverCutsACharacterWhateverTheText) {
  std::mt19937 rng(2);
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (size_t n = rng() % 60; n > 0; --n) {
      const char* const pieces[] = {"fox", "dog", " ", "ü", "狐", "fox ", " dog, ", "x", "\n"};
      text += pieces[rng() % 9];
    }
    for (const std::string& fragment : Marked(text, {.fragments = static_cast<uint32_t>(1 + rng() % 4),
                                                    .fragment_bytes = static_cast<uint32_t>(20 + rng() % 60)})) {
      ASSERT_TRUE(IsValidUtf8(fragment)) << text;
      ASSERT_THAT(fragment, HasSubstr("<em>"));
    }
  }
}

}  // namespace
}  // namespace alcove::vector_search
