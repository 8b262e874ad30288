#include "libs/store/audit_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"

namespace alcove::store {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::IsOkAndHolds;
using ::alcove::testing::StatusIs;
using ::testing::SizeIs;

class AuditStoreTest : public StoreTest {
 protected:
  AuditStore& audit() { return store().audit(); }
  static AuditEvent Event(std::string tenant, std::string action) {
    AuditEvent e;
    e.tenant = std::move(tenant);
    e.actor = "key-1";
    e.action = std::move(action);
    e.resource = "collection docs";
    e.outcome = "ok";
    e.request_id = "r-1";
    e.detail = "{\"points\": 3}";
    return e;
  }
};

TEST_P(AuditStoreTest, ListsTheNewestFirstOfOneTenantOrAll) {
  ASSERT_THAT(audit().Append({Event("acme", "first"), Event("other", "second")}), IsOk());
  clock_.Advance(absl::Seconds(1));
  ASSERT_THAT(audit().Append(Event("acme", "third")), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const AuditPage mine, audit().List("acme"));
  ASSERT_THAT(mine.events, SizeIs(2));
  EXPECT_EQ(mine.events[0].action, "third");
  EXPECT_EQ(mine.events[0].time, clock_.Now());
  EXPECT_EQ(mine.events[1].action, "first");
  EXPECT_EQ(mine.events[1].detail, "{\"points\": 3}");
  ALCOVE_ASSERT_OK_AND_ASSIGN(const AuditPage first, audit().List(std::nullopt, {2, ""}));
  ASSERT_THAT(first.events, SizeIs(2));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const AuditPage rest, audit().List(std::nullopt, {2, first.next_page_token}));
  ASSERT_THAT(rest.events, SizeIs(1));
  EXPECT_EQ(rest.events[0].action, "first");
}

TEST_P(AuditStoreTest, StoresAllEventsOfACallOrNone) {
  AuditEvent bad = Event("acme", "");
  EXPECT_THAT(audit().Append({Event("acme", "fine"), bad}), StatusIs(absl::StatusCode::kInvalidArgument));
  bad = Event("acme", "large");
  bad.detail.assign(70'000, 'x');
  EXPECT_THAT(audit().Append({Event("acme", "fine"), bad}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(audit().List("acme")->events, SizeIs(0));
}

TEST_P(AuditStoreTest, ExpiresWhatIsOlder) {
  ASSERT_THAT(audit().Append({Event("acme", "old"), Event("acme", "old")}), IsOk());
  clock_.Advance(absl::Hours(1));
  ASSERT_THAT(audit().Append(Event("acme", "new")), IsOk());
  EXPECT_THAT(audit().Expire(clock_.Now()), IsOkAndHolds(2));
  EXPECT_THAT(audit().Expire(clock_.Now()), IsOkAndHolds(0));
  EXPECT_THAT(audit().List("acme")->events, SizeIs(1));
}

ALCOVE_ON_BOTH_ENGINES(AuditStoreTest);

}  // namespace
}  // namespace alcove::store
