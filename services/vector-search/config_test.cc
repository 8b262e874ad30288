#include "services/vector-search/config.h"

#include "libs/common/config.h"
#include "libs/testing/status_matchers.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<ClusterPlan> Plan(const std::string& yaml) {
  auto config = DefaultConfig<config::v1::VectorSearchConfig>();
  EXPECT_THAT(MergeConfigYaml(yaml, "test", config), IsOk());
  EXPECT_THAT(CheckConfig(config), IsOk());
  return PlanCluster(config);
}

TEST(ClusterPlan, OneProcessAloneHoldsEveryShard) {
  const auto plan = Plan("");
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->own, ElementsAre(0, 1));
  EXPECT_THAT(plan->holders, ElementsAre(ElementsAre(""), ElementsAre("")));
  EXPECT_THAT(plan->peers, ElementsAre());
}

TEST(ClusterPlan, KnowsItselfByItsShardsOrByItsAddress) {
  const std::string nodes =
      "cluster: {shard_count: 2, self: 'b:2', nodes: [{address: 'a:1', shards: [0]}, "
      "{address: 'b:2', shards: [1]}]}";
  for (const std::string& yaml : {nodes, nodes + "\nnode: {shards: [1]}"}) {
    const auto plan = Plan(yaml);
    ASSERT_THAT(plan, IsOk());
    EXPECT_THAT(plan->own, ElementsAre(1));
    EXPECT_THAT(plan->holders, ElementsAre(ElementsAre("a:1"), ElementsAre("")));
    EXPECT_THAT(plan->peers, ElementsAre("a:1"));
  }
}

TEST(ClusterPlan, AShardMayBeHeldBySeveralNodes) {
  const std::string nodes =
      "cluster: {nodes: [{address: 'a:1', shards: [0, 1]}, {address: 'b:2', shards: [0, 1]}, {address: 'c:3', shards: "
      "[1]}]";
  const auto plan = Plan(nodes + ", self: 'b:2'}");
  ASSERT_THAT(plan, IsOk());
  EXPECT_THAT(plan->own, ElementsAre(0, 1));
  EXPECT_THAT(plan->holders, ElementsAre(ElementsAre("", "a:1"), ElementsAre("", "a:1", "c:3")));
  EXPECT_THAT(Plan(nodes + "}\nserver: {listen: 'a:1'}")->self, "a:1");
  // Known by being the only one with these shards.
  EXPECT_THAT(Plan(nodes + "}\nnode: {shards: [1]}")->self, "c:3");
  EXPECT_THAT(Plan(nodes + "}\nnode: {shards: [0, 1]}").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cluster.self")));
}

TEST(ClusterPlan, NamesWhatContradicts) {
  EXPECT_THAT(Plan("node: {shards: [0]}\ncluster: {shard_count: 2}").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no node holds shard 1")));
  EXPECT_THAT(Plan("cluster: {self: 'c:3', nodes: [{address: 'a:1', shards: [0, 1]}]}").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("c:3")));
  EXPECT_THAT(Plan("cluster: {nodes: [{address: 'a:1', shards: [0, 1]}]}").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cluster.self")));
  EXPECT_THAT(Plan("node: {shards: [9999]}").status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(VectorSearchConfig, CarriesItsSettingsToTheRooms) {
  auto config = DefaultConfig<config::v1::VectorSearchConfig>();
  ASSERT_THAT(MergeConfigYaml("snapshot: {interval: 90s, records: 5}\nsearch: {shard_timeout: 250ms}\n"
                              "store: {durability: normal}",
                              "test", config),
              IsOk());
  const HostOptions host = HostOptionsFrom(config, *PlanCluster(config));
  EXPECT_EQ(host.snapshot_interval, absl::Seconds(90));
  EXPECT_EQ(host.snapshot_records, 5);
  EXPECT_GE(host.index_threads, 1u);
  EXPECT_EQ(CoordinatorOptionsFrom(config).shard_timeout, absl::Milliseconds(250));
  EXPECT_EQ(StoreOptionsFrom(config.store()).durability, store::Durability::kNormal);
}

}  // namespace
}  // namespace alcove::vector_search
