// The crash test at length: ALCOVE_CRASH_ROUNDS says how many rounds, on SQLite and on PostgreSQL.
#include <gtest/gtest.h>

#include "libs/testing/postgres_fixture.h"
#include "libs/testing/status_matchers.h"
#include "services/vector-search/crash_for_test.h"

namespace alcove::vector_search {
namespace {

TEST(TwoProcesses, KilledAtRandomManyTimesLoseNothingAcknowledged) {
  RunCrashRounds({.rounds = CrashRounds(1000), .seed = 2});
}

TEST(TwoProcesses, KilledTogetherWithPostgresManyTimesLoseNothingAcknowledged) {
  auto postgres = testing::PostgresFixture::Start();
  ASSERT_THAT(postgres, testing::IsOk());
  RunCrashRounds(
      {.rounds = CrashRounds(1000) / 10 + 1, .seed = 4, .store_url = *(*postgres)->NewDatabase(), .also = [&] {
         (*postgres)->Kill();
         EXPECT_THAT((*postgres)->Restart(), testing::IsOk());
       }});
}

}  // namespace
}  // namespace alcove::vector_search
