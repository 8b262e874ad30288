#include "services/fhe-proxy/budget/privacy_budget.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "libs/common/status.h"
#include "libs/testing/fake_clock.h"
#include "libs/testing/temp_dir.h"

namespace alcove::fhe_proxy {
namespace {

class PrivacyBudgetTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }
  void Start() {
    budget_.reset();
    budget_ = PrivacyBudget::Open({folder_.File("budget"), 100, 150, absl::Hours(10), 4}, &clock_).value();
  }
  testing::TempDir folder_;
  testing::FakeClock clock_;
  std::unique_ptr<PrivacyBudget> budget_;
};

TEST_F(PrivacyBudgetTest, IsSpentAndRefillsEvenly) {
  EXPECT_EQ(budget_->Left("acme", "k"), 100);
  ASSERT_TRUE(budget_->Spend("acme", "k", 90).ok());
  EXPECT_EQ(budget_->Left("acme", "k"), 10);
  const absl::Status spent = budget_->Spend("acme", "k", 20);
  EXPECT_EQ(spent.code(), absl::StatusCode::kResourceExhausted);
  const ErrorDetails details = GetErrorDetails(spent);
  EXPECT_EQ(details.reason, "PRIVACY_BUDGET_SPENT");
  ASSERT_TRUE(details.retry_after.has_value());
  EXPECT_EQ(*details.retry_after, absl::Hours(1));
  EXPECT_EQ(budget_->Left("acme", "k"), 10) << "a refused request takes nothing";
  clock_.Advance(absl::Hours(1));
  EXPECT_TRUE(budget_->Spend("acme", "k", 20).ok());
  clock_.Advance(absl::Hours(100));
  EXPECT_EQ(budget_->Left("acme", "k"), 100) << "no more than a whole bucket";
}

TEST_F(PrivacyBudgetTest, NewKeysDoNotGetAroundTheTenantsBound) {
  ASSERT_TRUE(budget_->Spend("acme", "one", 100).ok());
  EXPECT_FALSE(budget_->Spend("acme", "two", 60).ok());
  EXPECT_EQ(budget_->Left("acme", "two"), 100) << "neither bucket was touched";
  EXPECT_TRUE(budget_->Spend("acme", "two", 50).ok());
  EXPECT_TRUE(budget_->Spend("rival", "one", 100).ok());
}

TEST_F(PrivacyBudgetTest, ARestartGivesNothingBack) {
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(budget_->Spend("acme", "k", 1).ok());
  Start();
  EXPECT_LE(budget_->Left("acme", "k"), 50);
  EXPECT_GE(budget_->Left("acme", "k"), 50 - 5);
}

TEST_F(PrivacyBudgetTest, ADamagedFileCountsAsSpent) {
  ASSERT_TRUE(budget_->Spend("acme", "k", 1).ok());
  for (const auto& file : std::filesystem::directory_iterator(folder_.File("budget"))) {
    std::ofstream(file.path()) << "nonsense";
  }
  Start();
  EXPECT_EQ(budget_->Left("acme", "k"), 0);
}

TEST_F(PrivacyBudgetTest, WithoutABoundNothingIsCountedOrWritten) {
  const auto open = PrivacyBudget::Open({folder_.File("none")}, &clock_).value();
  EXPECT_TRUE(open->Spend("acme", "k", 1'000'000).ok());
  EXPECT_EQ(open->Left("acme", "k"), -1);
  EXPECT_FALSE(std::filesystem::exists(folder_.File("none")));
}

}  // namespace
}  // namespace alcove::fhe_proxy
