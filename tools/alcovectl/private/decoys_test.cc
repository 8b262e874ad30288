#include "tools/alcovectl/private/decoys.h"

#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::ctl {
namespace {

// `clusters` clusters along the axes of as many dimensions, two blocks each; the neighbour of one is the next.
private_search::v1::GetCollectionParametersResponse Parameters(uint32_t clusters) {
  private_search::v1::GetCollectionParametersResponse out;
  out.mutable_layout()->set_dimension(clusters);
  out.mutable_layout()->set_blocks(2 * clusters);
  out.mutable_quantisation()->set_normalise(true);
  out.mutable_quantisation()->set_row_scale(100);
  for (uint32_t c = 0; c < clusters; ++c) {
    auto& cluster = *out.add_clusters();
    cluster.set_centroid(std::string(clusters, '\0'));
    (*cluster.mutable_centroid())[c] = 90;
    cluster.add_blocks(c);
    cluster.add_blocks(clusters + c);
    cluster.add_neighbours(c);
    cluster.add_neighbours((c + 1) % clusters);
  }
  return out;
}

std::vector<float> Axis(uint32_t clusters, uint32_t c) {
  std::vector<float> out(clusters, 0.1f);
  out[c] = 0.9f;
  return out;
}

constexpr GroupSecret kSecret = {1, 2, 3};

TEST(DecoysTest, TheQuerysClusterIsAmongTheNamedAndAllOfAGroupNameTheSame) {
  const auto parameters = Parameters(23);
  std::map<std::vector<uint32_t>, std::set<uint32_t>> groups;
  for (uint32_t c = 0; c < 23; ++c) {
    const auto blocks = ChooseBlocks(parameters, Axis(23, c), {.group = 4, .neighbours = 2}, kSecret);
    ASSERT_TRUE(blocks.ok()) << blocks.status();
    EXPECT_THAT(*blocks, ::testing::IsSupersetOf({c, 23 + c, (c + 1) % 23, 23 + (c + 1) % 23}));
    EXPECT_TRUE(std::is_sorted(blocks->begin(), blocks->end()));
    EXPECT_EQ(*blocks, ChooseBlocks(parameters, Axis(23, c), {.group = 4, .neighbours = 2}, kSecret).value());
    groups[*blocks].insert(c);
  }
  EXPECT_EQ(groups.size(), 5u);
  for (const auto& [blocks, members] : groups) {
    EXPECT_GE(members.size(), 4u) << "a choice of at least four";
    EXPECT_LE(blocks.size(), 2 * 2 * members.size());
  }
}

TEST(DecoysTest, AnotherSecretMakesOtherGroups) {
  const auto parameters = Parameters(64);
  constexpr GroupSecret other = {1, 2, 4};
  int differ = 0;
  for (uint32_t c = 0; c < 64; ++c) {
    differ += ChooseBlocks(parameters, Axis(64, c), {}, kSecret).value() !=
              ChooseBlocks(parameters, Axis(64, c), {}, other).value();
  }
  EXPECT_GT(differ, 60);
}

TEST(DecoysTest, TooFewClustersMeanEverything) {
  EXPECT_TRUE(ChooseBlocks(Parameters(7), Axis(7, 1), {.group = 4}, kSecret).value().empty());
  auto none = Parameters(7);
  none.clear_clusters();
  EXPECT_TRUE(ChooseBlocks(none, Axis(7, 1), {.group = 1}, kSecret).value().empty());
}

TEST(DecoysTest, ADescriptionThatDoesNotAddUpIsRefused) {
  const auto refused = [](auto change) {
    auto parameters = Parameters(16);
    change(*parameters.mutable_clusters(3));
    return ChooseBlocks(parameters, Axis(16, 1), {}, kSecret).status().code() == absl::StatusCode::kDataLoss;
  };
  EXPECT_TRUE(refused([](auto& cluster) { cluster.mutable_centroid()->pop_back(); }));
  EXPECT_TRUE(refused([](auto& cluster) { cluster.add_blocks(32); }));
  EXPECT_TRUE(refused([](auto& cluster) { cluster.add_neighbours(16); }));
  EXPECT_TRUE(refused([](auto& cluster) { cluster.clear_neighbours(); }));
}

}  // namespace
}  // namespace alcove::ctl
