#include "services/cache/tiers/tiered_cache.h"

#include <absl/strings/str_cat.h>
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/testing/fake_clock.h"
#include "libs/testing/redis_fixture.h"
#include "libs/testing/status_matchers.h"

namespace alcove::cache {
namespace {

using alcove::testing::FakeClock;
using alcove::testing::RedisFixture;
using alcove::testing::StatusIs;
using ::testing::HasSubstr;

RequestContext Tenant(const std::string& tenant) {
  RequestContext::Identity identity;
  identity.tenant = tenant;
  return RequestContext(identity);
}

class CacheUnderTest {
 public:
  CacheUnderTest(TieredCacheOptions options, Clock* clock) {
    auto created = TieredCache::Create(std::move(options), clock);
    EXPECT_TRUE(created.ok()) << created.status();
    cache_ = *std::move(created);
  }

  GetResult Get(const std::string& key, const GetOptions& options = {}, const std::string& tenant = "a") {
    absl::Notification done;
    GetResult out;
    cache_->Get(Tenant(tenant), {"ns", key}, options, [&](absl::StatusOr<GetResult> result) {
      EXPECT_TRUE(result.ok()) << result.status();
      if (result.ok()) out = *std::move(result);
      done.Notify();
    });
    EXPECT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
    return out;
  }

  PutResult Put(const std::string& key, const std::string& value, PutRequest request = {},
                const std::string& tenant = "a") {
    request.key = {"ns", key};
    request.value = value;
    auto result = cache_->Put(Tenant(tenant), std::move(request));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : PutResult{};
  }

  bool Invalidate(const std::string& tag) {
    absl::Notification done;
    bool shared = false;
    cache_->InvalidateTags(Tenant("a"), {tag}, [&](absl::StatusOr<bool> result) {
      shared = result.ok() && *result;
      done.Notify();
    });
    done.WaitForNotification();
    return shared;
  }

  TieredCache* operator->() { return cache_.get(); }

 private:
  std::unique_ptr<TieredCache> cache_;
};

class MemoryOnlyTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  CacheUnderTest cache_{TieredCacheOptions{}, &clock_};
};

TEST_F(MemoryOnlyTest, AnswersWhatWasPutUntilItExpires) {
  EXPECT_EQ(cache_.Get("k").outcome, Outcome::kMiss);
  PutRequest request;
  request.ttl = absl::Seconds(10);
  EXPECT_TRUE(cache_.Put("k", "v", request).stored);
  const GetResult hit = cache_.Get("k");
  EXPECT_EQ(hit.outcome, Outcome::kHit);
  EXPECT_EQ(*hit.value, "v");
  EXPECT_EQ(hit.ttl, absl::Seconds(10));
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(cache_.Get("k").outcome, Outcome::kMiss);
}

TEST_F(MemoryOnlyTest, TenantsAndNamespacesDoNotSeeEachOther) {
  cache_.Put("k", "v");
  EXPECT_EQ(cache_.Get("k", {}, "b").outcome, Outcome::kMiss);
}

TEST_F(MemoryOnlyTest, InvalidatingATagForgetsItsEntries) {
  PutRequest request;
  request.tags = {"docs"};
  cache_.Put("k", "v", request);
  cache_.Put("other", "v");
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(cache_.Invalidate("docs"));
  EXPECT_EQ(cache_.Get("k").outcome, Outcome::kMiss);
  EXPECT_EQ(cache_.Get("other").outcome, Outcome::kHit);
}

TEST_F(MemoryOnlyTest, AValueComputedBeforeAnInvalidationIsNotStored) {
  const GetResult leader = cache_.Get("k", {.single_flight = true});
  ASSERT_EQ(leader.outcome, Outcome::kMissLeader);
  clock_.Advance(absl::Milliseconds(1));
  cache_.Invalidate("docs");
  clock_.Advance(absl::Milliseconds(1));
  PutRequest request;
  request.tags = {"docs"};
  request.lease = leader.lease;
  const PutResult put = cache_.Put("k", "stale", request);
  EXPECT_FALSE(put.stored);
  EXPECT_THAT(put.reason, HasSubstr("invalidated"));
  EXPECT_EQ(cache_.Get("k").outcome, Outcome::kMiss);
}

TEST_F(MemoryOnlyTest, TenThousandCallersOfOneKeyHaveOneLeader) {
  const GetResult leader = cache_.Get("k", {.single_flight = true});
  ASSERT_EQ(leader.outcome, Outcome::kMissLeader);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) {
    cache_->Get(Tenant("a"), {"ns", "k"}, {.single_flight = true, .wait = absl::Seconds(5)},
                [&](absl::StatusOr<GetResult> result) { hits += result.ok() && result->outcome == Outcome::kHit; });
  }
  EXPECT_EQ(hits, 0);
  PutRequest request;
  request.lease = leader.lease;
  EXPECT_TRUE(cache_.Put("k", "v", request).stored);
  EXPECT_EQ(hits, 10'000);
}

TEST_F(MemoryOnlyTest, ACancelledCallerDoesNotKeepTheLead) {
  const GetResult leader = cache_.Get("k", {.single_flight = true});
  CancellationSource source;
  absl::Status status;
  cache_->Get(Tenant("a").WithCancellation(source.token()), {"ns", "k"},
              {.single_flight = true, .wait = absl::Seconds(5)},
              [&](absl::StatusOr<GetResult> result) { status = result.status(); });
  std::string lease;
  cache_->Get(Tenant("a"), {"ns", "k"}, {.single_flight = true, .wait = absl::Seconds(5)},
              [&](absl::StatusOr<GetResult> result) { lease = result->lease; });
  source.Cancel();
  EXPECT_THAT(cache_->Release(Tenant("a"), {"ns", "k"}, leader.lease), alcove::testing::IsOkAndHolds(true));
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_FALSE(lease.empty());
}

TEST_F(MemoryOnlyTest, SaysWhatIsWrongWithAKey) {
  absl::Status status;
  cache_->Get(Tenant("a"), {"", "k"}, {}, [&](absl::StatusOr<GetResult> result) { status = result.status(); });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("key.namespace")));
  cache_->Get(Tenant(""), {"ns", "k"}, {}, [&](absl::StatusOr<GetResult> result) { status = result.status(); });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tenant")));
  cache_->Get(Tenant("a"), {"ns", std::string(2000, 'x')}, {},
              [&](absl::StatusOr<GetResult> result) { status = result.status(); });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hash longer ones")));
}

TEST_F(MemoryOnlyTest, RefusesAValueBeyondTheLimitAndSaysSo) {
  const PutResult put = cache_.Put("k", std::string((1 << 20) + 1, 'x'));
  EXPECT_FALSE(put.stored);
  EXPECT_THAT(put.reason, HasSubstr("limit"));
}

class RedisTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto started = RedisFixture::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    redis_ = *std::move(started);
  }

  TieredCacheOptions Options() {
    TieredCacheOptions options;
    options.redis.emplace();
    options.redis->url = absl::StrCat("redis://", redis_->address());
    options.redis->min_backoff = absl::Milliseconds(10);
    options.redis->max_backoff = absl::Milliseconds(50);
    return options;
  }

  // Redis is written in the background; asking it directly says when that has happened.
  template <typename Predicate>
  static bool Eventually(Predicate predicate) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (absl::Now() < deadline) {
      if (predicate()) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }

  std::unique_ptr<RedisFixture> redis_;
};

TEST_F(RedisTest, AnotherProcessFindsWhatThisOneStored) {
  CacheUnderTest one(Options(), RealClock());
  CacheUnderTest two(Options(), RealClock());
  PutRequest request;
  request.tags = {"docs"};
  one.Put("k", "v", request);
  ASSERT_TRUE(Eventually([&] { return two.Get("k").outcome == Outcome::kHit; }));
  // The second time it comes from that process's own memory.
  EXPECT_EQ(two.Get("k").level, Level::kMemory);
}

TEST_F(RedisTest, AnInvalidationReachesTheOtherProcessesMemory) {
  CacheUnderTest one(Options(), RealClock());
  CacheUnderTest two(Options(), RealClock());
  ASSERT_TRUE(one->WaitUntilSubscribed(absl::Seconds(10)));
  ASSERT_TRUE(two->WaitUntilSubscribed(absl::Seconds(10)));
  PutRequest request;
  request.tags = {"docs"};
  one.Put("k", "v", request);
  ASSERT_TRUE(Eventually([&] { return two.Get("k").level == Level::kMemory; }));
  EXPECT_TRUE(one.Invalidate("docs"));
  EXPECT_TRUE(Eventually([&] { return two.Get("k").outcome == Outcome::kMiss; }));
}

TEST_F(RedisTest, AProcessStartedAfterAnInvalidationDoesNotServeOldEntries) {
  CacheUnderTest one(Options(), RealClock());
  PutRequest request;
  request.tags = {"docs"};
  one.Put("k", "v", request);
  ASSERT_TRUE(Eventually([&] { return CacheUnderTest(Options(), RealClock()).Get("k").outcome == Outcome::kHit; }));
  ASSERT_TRUE(one.Invalidate("docs"));
  CacheUnderTest late(Options(), RealClock());
  EXPECT_EQ(late.Get("k").outcome, Outcome::kMiss);
}

TEST_F(RedisTest, LosingRedisLosesNoRequest) {
  CacheUnderTest cache(Options(), RealClock());
  cache.Put("k", "v");
  ASSERT_TRUE(Eventually([&] { return cache->redis_available(); }));
  redis_->Kill();
  EXPECT_EQ(cache.Get("unknown").outcome, Outcome::kMiss);
  EXPECT_EQ(cache.Get("unknown", {.single_flight = true}).outcome, Outcome::kMissLeader);
  cache.Put("new", "w");
  EXPECT_EQ(*cache.Get("new").value, "w");
  EXPECT_FALSE(cache.Invalidate("docs"));
  ASSERT_TRUE(Eventually([&] { return !cache->redis_available(); }));

  ASSERT_TRUE(redis_->Restart().ok());
  ASSERT_TRUE(Eventually([&] { return cache->redis_available(); }));
  cache.Put("back", "x");
  EXPECT_TRUE(Eventually([&] { return CacheUnderTest(Options(), RealClock()).Get("back").outcome == Outcome::kHit; }));
}

TEST_F(RedisTest, AFrozenRedisDelaysARequestOnlyByTheCommandTimeout) {
  TieredCacheOptions options = Options();
  options.redis->command_timeout = absl::Milliseconds(50);
  CacheUnderTest cache(options, RealClock());
  ASSERT_TRUE(Eventually([&] { return cache->redis_available(); }));
  redis_->process().Signal(SIGSTOP);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(cache.Get(absl::StrCat("k", i)).outcome, Outcome::kMiss);
  redis_->process().Signal(SIGCONT);
  EXPECT_TRUE(Eventually([&] { return cache->redis_available(); }));
}

TEST_F(RedisTest, DamagedBytesInRedisAreAMiss) {
  CacheUnderTest cache(Options(), RealClock());
  cache.Put("k", "v");
  const std::string key = EntryKey("a", "ns", "k");
  auto client = RedisClient::Create(*Options().redis);
  ASSERT_TRUE(client.ok());
  ASSERT_TRUE(Eventually([&] {
    const auto reply = (*client)->Call({"GET", key});
    return reply.ok() && reply->text.has_value();
  }));
  ASSERT_TRUE((*client)->Call({"SETRANGE", key, "20", "damaged"}).ok());
  CacheUnderTest late(Options(), RealClock());
  ASSERT_TRUE(Eventually([&] { return late->redis_available(); }));
  EXPECT_EQ(late.Get("k").outcome, Outcome::kMiss);
}

TEST(RedisUrl, IsReadInAllItsForms) {
  auto address = ParseRedisUrl("redis://me:s%ecret@cache.local:7000/3");
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->host, "cache.local");
  EXPECT_EQ(address->port, 7000);
  EXPECT_EQ(address->user, "me");
  EXPECT_EQ(address->password, "s%ecret");
  EXPECT_EQ(address->database, 3);
  EXPECT_EQ(ParseRedisUrl("redis://host")->port, 6379);
  EXPECT_EQ(ParseRedisUrl("unix:/run/redis.sock")->socket, "/run/redis.sock");
  for (const char* bad : {"", "http://x", "redis://", "redis://h:99999", "redis://h/x", "unix:"}) {
    EXPECT_FALSE(ParseRedisUrl(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace alcove::cache
