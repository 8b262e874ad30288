#include "services/cache/memory/s3_fifo.h"

#include <cmath>
#include <list>
#include <random>
#include <unordered_map>

#include <absl/strings/str_cat.h>
#include <gtest/gtest.h>

namespace alcove::cache {
namespace {

using Cache = S3Fifo<int>;

constexpr size_t kRoomy = size_t{1} << 30;

TEST(S3Fifo, ReturnsWhatWasPut) {
  Cache cache({.max_entries = 10, .max_bytes = kRoomy});
  EXPECT_TRUE(cache.Put("a", 1, 4));
  EXPECT_EQ(*cache.Get("a"), 1);
  EXPECT_TRUE(cache.Put("a", 2, 4));
  EXPECT_EQ(*cache.Get("a"), 2);
  EXPECT_EQ(cache.Get("b"), nullptr);
  EXPECT_EQ(cache.entries(), 1u);
}

TEST(S3Fifo, NeverExceedsItsLimits) {
  std::mt19937 rng(1);
  Cache cache({.max_entries = 50, .max_bytes = 40'000});
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = absl::StrCat(rng() % 300);
    if (rng() % 3 == 0) {
      cache.Get(key);
    } else if (rng() % 10 == 0) {
      cache.Erase(key);
    } else {
      cache.Put(key, i, rng() % 3000);
    }
    ASSERT_LE(cache.entries(), 50u);
    ASSERT_LE(cache.bytes(), 40'000u);
  }
  EXPECT_GT(cache.evictions(), 0u);
}

TEST(S3Fifo, RefusesAnEntryLargerThanEverythingAndForgetsTheOldValue) {
  Cache cache({.max_entries = 10, .max_bytes = 1000});
  EXPECT_TRUE(cache.Put("a", 1, 10));
  EXPECT_FALSE(cache.Put("a", 2, 5000));
  EXPECT_EQ(cache.Get("a"), nullptr);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(S3Fifo, KeepsHotKeysThroughAScan) {
  Cache cache({.max_entries = 100, .max_bytes = kRoomy});
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      const std::string key = absl::StrCat("hot", i);
      if (cache.Get(key) == nullptr) cache.Put(key, i, 1);
    }
  }
  for (int i = 0; i < 10'000; ++i) cache.Put(absl::StrCat("scan", i), i, 1);
  int kept = 0;
  for (int i = 0; i < 20; ++i) kept += cache.Peek(absl::StrCat("hot", i)) != nullptr;
  EXPECT_EQ(kept, 20);
}

TEST(S3Fifo, AKeyThatComesBackSoonGoesStraightToTheMainQueue) {
  Cache cache({.max_entries = 20, .max_bytes = kRoomy});
  cache.Put("again", 1, 1);
  for (int i = 0; i < 25; ++i) cache.Put(absl::StrCat("x", i), i, 1);
  ASSERT_EQ(cache.Peek("again"), nullptr);
  cache.Put("again", 1, 1);
  for (int i = 0; i < 15; ++i) cache.Put(absl::StrCat("y", i), i, 1);
  EXPECT_NE(cache.Peek("again"), nullptr);
}

TEST(S3Fifo, MissesLessThanLruOnASkewedTrace) {
  constexpr int kKeys = 20'000;
  constexpr size_t kCapacity = 2'000;
  std::vector<double> cumulative(kKeys);
  double sum = 0;
  for (int i = 0; i < kKeys; ++i) cumulative[i] = sum += 1.0 / (i + 1);
  std::mt19937_64 rng(7);
  std::uniform_real_distribution<double> uniform(0, sum);
  Cache cache({.max_entries = kCapacity, .max_bytes = kRoomy});
  std::list<int> order;
  std::unordered_map<int, std::list<int>::iterator> lru;
  int misses = 0;
  int lru_misses = 0;
  for (int i = 0; i < 300'000; ++i) {
    const int key =
        static_cast<int>(std::lower_bound(cumulative.begin(), cumulative.end(), uniform(rng)) - cumulative.begin());
    const std::string name = absl::StrCat(key);
    if (cache.Get(name) == nullptr) {
      ++misses;
      cache.Put(name, key, 1);
    }
    if (const auto it = lru.find(key); it != lru.end()) {
      order.splice(order.begin(), order, it->second);
    } else {
      ++lru_misses;
      order.push_front(key);
      lru[key] = order.begin();
      if (order.size() > kCapacity) {
        lru.erase(order.back());
        order.pop_back();
      }
    }
  }
  EXPECT_LT(misses, 0.9 * lru_misses);
}

}  // namespace
}  // namespace alcove::cache
