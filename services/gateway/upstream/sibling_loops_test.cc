#include "services/gateway/upstream/sibling_loops.h"

#include <gtest/gtest.h>

#include "services/gateway/upstream/test_backend.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {
namespace {

// Two loops on this thread, each with its own view of one backend. The second would pause for long after a failure.
class SiblingLoopsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // A port that was free a moment ago.
    port_ = StartBackend(log_)->port();
    fast_ = Add(first_, absl::Milliseconds(5));
    slow_ = Add(second_, absl::Hours(1));
  }
  void TearDown() override {
    first_.Stop();
    second_.Stop();
    for (int i = 0; i < 10; ++i) Turn();
  }
  UpstreamPool* Add(UpstreamSet& set, absl::Duration backoff) {
    UpstreamOptions options;
    options.name = "backend";
    options.endpoints = {absl::StrCat("127.0.0.1:", port_)};
    options.backoff_base = options.backoff_max = backoff;
    options.health.interval = absl::Milliseconds(5);
    UpstreamPool* pool = &set.Add(options);
    set.Start();
    return pool;
  }
  void Turn() {
    one_.RunReady();
    two_.RunReady();
  }
  bool Eventually(const std::function<bool()>& holds) {
    const int64_t give_up = net::Loop::NowNs() + 10'000'000'000;
    while (!holds()) {
      if (net::Loop::NowNs() > give_up) return false;
      Turn();
    }
    return true;
  }
  static bool Down(const UpstreamPool& pool) {
    return !pool.Status()[0].healthy && pool.Status()[0].last_error.find("refused") != std::string::npos;
  }

  BackendLog log_;
  int port_ = 0;
  SiblingLoops siblings_;
  net::Loop one_{0}, two_{1};
  UpstreamSet first_{one_, &siblings_}, second_{two_, &siblings_};
  UpstreamPool* fast_ = nullptr;
  UpstreamPool* slow_ = nullptr;
};

TEST_F(SiblingLoopsTest, ABackendThatOneLoopFindsBackIsUsedByAllAtOnce) {
  ASSERT_TRUE(Eventually([&] { return Down(*fast_) && Down(*slow_); }));
  EXPECT_FALSE(slow_->Pick().ok());
  const auto backend = StartBackend(log_, port_);
  ASSERT_TRUE(Eventually([&] { return fast_->Ready(); }));
  EXPECT_TRUE(Eventually([&] { return slow_->Ready(); })) << slow_->Pick().status();
}

TEST_F(SiblingLoopsTest, ASetThatIsGoneIsNotTold) {
  ASSERT_TRUE(Eventually([&] { return Down(*fast_) && Down(*slow_); }));
  auto third = std::make_unique<UpstreamSet>(two_, &siblings_);
  third->Add({.name = "backend", .endpoints = {absl::StrCat("127.0.0.1:", port_)}});
  siblings_.Tell(&first_, "backend", absl::StrCat("127.0.0.1:", port_), true);
  third.reset();  // after the news was sent, before it arrives
  for (int i = 0; i < 10; ++i) Turn();
  EXPECT_FALSE(slow_->Ready());
}

}  // namespace
}  // namespace alcove::gateway
