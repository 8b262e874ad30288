#pragma once

// The fixture that runs one suite on both engines, each test on an empty database.

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "absl/strings/string_view.h"
#include "libs/store/store.h"
#include "libs/testing/fake_clock.h"
#include "libs/testing/postgres_fixture.h"
#include "libs/testing/temp_dir.h"

namespace alcove::store {

// The PostgreSQL server of this test process; null, with a failed expectation, where it can not be started.
testing::PostgresFixture* SharedPostgres();

class StoreTest : public ::testing::TestWithParam<Engine> {
 protected:
  void SetUp() override;
  // Opens the same database once more, as another process would. The clock is the test's unless options name one.
  std::unique_ptr<Store> OpenAgain(StoreOptions options = {});
  Store& store() { return *store_; }
  const std::string& url() const { return url_; }
  // A collection of that many shards; returns its id.
  int64_t MakeCollection(absl::string_view name, int32_t shards);

  testing::FakeClock clock_;
  testing::TempDir folder_;
  std::string url_;
  std::unique_ptr<Store> store_;
};

// A readable name for each engine, for INSTANTIATE_TEST_SUITE_P.
std::string EngineName(const ::testing::TestParamInfo<Engine>& info);

#define ALCOVE_ON_BOTH_ENGINES(suite)                                                                               \
  INSTANTIATE_TEST_SUITE_P(Engines, suite,                                                                          \
                           ::testing::Values(::alcove::store::Engine::kSqlite, ::alcove::store::Engine::kPostgres), \
                           ::alcove::store::EngineName)

}  // namespace alcove::store
