#include "services/gateway/policy/balancer.h"

#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace alcove::gateway {
namespace {

std::vector<EndpointView> Endpoints(size_t n) { return std::vector<EndpointView>(n); }

std::map<size_t, int> Count(Balancer& balancer, const std::vector<EndpointView>& endpoints, int picks) {
  std::mt19937_64 rng(1);
  std::map<size_t, int> counts;
  for (int i = 0; i < picks; ++i) {
    const auto chosen = balancer.Pick(endpoints, {.random = rng()});
    if (chosen) ++counts[*chosen];
  }
  return counts;
}

TEST(Balancer, UsesEveryNodeUnderEveryPolicy) {  // LB1
  for (BalancerKind kind : {BalancerKind::kRoundRobin, BalancerKind::kWeightedRoundRobin, BalancerKind::kLeastRequests,
                            BalancerKind::kPowerOfTwo}) {
    auto balancer = MakeBalancer(kind);
    const auto counts = Count(*balancer, Endpoints(3), 300);
    ASSERT_EQ(counts.size(), 3u) << "policy " << static_cast<int>(kind);
    for (const auto& [endpoint, count] : counts) EXPECT_GT(count, 50) << endpoint;
  }
}

TEST(Balancer, LeastRequestsPrefersTheIdlest) {  // LB2
  auto balancer = MakeBalancer(BalancerKind::kLeastRequests);
  auto endpoints = Endpoints(3);
  endpoints[0].in_flight = 7;
  endpoints[1].in_flight = 2;
  endpoints[2].in_flight = 5;
  EXPECT_EQ(balancer->Pick(endpoints, {}), 1u);
  endpoints[1].weight = 0.1;  // a tenth of the capacity: two in flight weigh as twenty
  EXPECT_EQ(balancer->Pick(endpoints, {}), 2u);
}

TEST(Balancer, RoundRobinKeepsTheOrderAndSkipsWhatIsDown) {  // LB3
  auto balancer = MakeBalancer(BalancerKind::kRoundRobin);
  auto endpoints = Endpoints(4);
  std::vector<size_t> order;
  for (int i = 0; i < 8; ++i) order.push_back(*balancer->Pick(endpoints, {}));
  EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 3, 0, 1, 2, 3}));
  endpoints[1].available = false;
  order.clear();
  for (int i = 0; i < 6; ++i) order.push_back(*balancer->Pick(endpoints, {}));
  EXPECT_EQ(order, (std::vector<size_t>{0, 2, 3, 0, 2, 3}));
}

TEST(Balancer, WeightsFortyEightToSixteenGiveThreeToOne) {  // LB4
  auto balancer = MakeBalancer(BalancerKind::kWeightedRoundRobin);
  auto endpoints = Endpoints(2);
  endpoints[0].weight = 48;
  endpoints[1].weight = 16;
  auto counts = Count(*balancer, endpoints, 400);
  EXPECT_EQ(counts[0], 300);
  EXPECT_EQ(counts[1], 100);
}

TEST(Balancer, PowerOfTwoSendsAnIdleNodeMostRequests) {  // LB9
  auto balancer = MakeBalancer(BalancerKind::kPowerOfTwo);
  auto endpoints = Endpoints(2);
  endpoints[0].in_flight = 20;
  endpoints[0].latency_ewma_ns = endpoints[1].latency_ewma_ns = 1e6;
  auto counts = Count(*balancer, endpoints, 10);
  EXPECT_GE(counts[1], 8);
}

TEST(Balancer, PowerOfTwoAvoidsASlowNode) {
  auto balancer = MakeBalancer(BalancerKind::kPowerOfTwo);
  auto endpoints = Endpoints(3);
  for (auto& e : endpoints) e.latency_ewma_ns = 1e6;
  endpoints[2].latency_ewma_ns = 5e7;
  auto counts = Count(*balancer, endpoints, 300);
  EXPECT_EQ(counts[2], 0);
  EXPECT_GT(counts[0], 100);
  EXPECT_GT(counts[1], 100);
}

TEST(Balancer, NobodyAvailableMeansNoChoice) {  // LB11
  for (BalancerKind kind : {BalancerKind::kRoundRobin, BalancerKind::kWeightedRoundRobin, BalancerKind::kLeastRequests,
                            BalancerKind::kPowerOfTwo}) {
    auto balancer = MakeBalancer(kind);
    auto endpoints = Endpoints(3);
    for (auto& e : endpoints) e.available = false;
    EXPECT_EQ(balancer->Pick(endpoints, {}), std::nullopt);
    EXPECT_EQ(balancer->Pick({}, {}), std::nullopt);
  }
}

TEST(Balancer, TheExcludedEndpointIsTheLastResort) {
  for (BalancerKind kind : {BalancerKind::kRoundRobin, BalancerKind::kWeightedRoundRobin, BalancerKind::kLeastRequests,
                            BalancerKind::kPowerOfTwo}) {
    auto balancer = MakeBalancer(kind);
    auto endpoints = Endpoints(2);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(balancer->Pick(endpoints, {.random = 77u * i, .exclude = 0}), 1u);
    endpoints[1].available = false;
    EXPECT_EQ(balancer->Pick(endpoints, {.exclude = 0}), 0u);
  }
}

TEST(Balancer, KnowsItsNames) {
  EXPECT_EQ(ParseBalancerKind("p2c"), BalancerKind::kPowerOfTwo);
  EXPECT_EQ(ParseBalancerKind("round_robin"), BalancerKind::kRoundRobin);
  EXPECT_EQ(ParseBalancerKind("random"), std::nullopt);
}

TEST(PeakEwma, RisesAtOnceAndForgetsSlowly) {
  PeakEwma ewma(1'000'000'000);
  ewma.Record(1'000'000, 0);
  ewma.Record(9'000'000, 1'000'000);
  EXPECT_EQ(ewma.value_ns(), 9e6);
  ewma.Record(1'000'000, 2'000'000);
  EXPECT_GT(ewma.value_ns(), 8.9e6);
  ewma.Record(1'000'000, 10'000'000'000);
  EXPECT_LT(ewma.value_ns(), 1.1e6);
}

}  // namespace
}  // namespace alcove::gateway
