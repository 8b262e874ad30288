#include "services/cache/tiers/entry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/cache/tiers/tag_table.h"

namespace alcove::cache {
namespace {

CachedValue Sample() {
  CachedValue entry;
  entry.value = std::make_shared<const std::string>(std::string("a\0b", 3));
  entry.born = absl::FromUnixMicros(123456789);
  entry.expires = absl::FromUnixMicros(987654321);
  entry.tags = {TagName("t", "one"), TagName("t", "two")};
  return entry;
}

TEST(Entry, SurvivesARoundTrip) {
  const auto entry = DecodeEntry(EncodeEntry(Sample()));
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(*entry->value, *Sample().value);
  EXPECT_EQ(entry->born, Sample().born);
  EXPECT_EQ(entry->expires, Sample().expires);
  EXPECT_EQ(entry->tags, Sample().tags);
}

TEST(Entry, RefusesEveryTruncationAndEveryFlippedBit) {
  const std::string bytes = EncodeEntry(Sample());
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(DecodeEntry(bytes.substr(0, n)).ok()) << n;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeEntry(flipped).ok()) << bit;
  }
}

TEST(Entry, KeysOfDifferentTenantsAndNamespacesNeverMeet) {
  EXPECT_NE(EntryKey("a", "bc", "d"), EntryKey("ab", "c", "d"));
  EXPECT_NE(EntryKey("a", "b", "cd"), EntryKey("a", "bc", "d"));
  EXPECT_NE(EntryKey("a", "b", "c"), TagName("a", "c"));
}

TEST(TagTable, InvalidatesWhatWasBornBefore) {
  TagTable tags;
  CachedValue entry = Sample();
  EXPECT_TRUE(tags.IsValid(entry));
  tags.Invalidate(TagName("t", "two"), entry.born);
  EXPECT_FALSE(tags.IsValid(entry));
  entry.born += absl::Microseconds(1);
  EXPECT_TRUE(tags.IsValid(entry));
  tags.InvalidateAll(entry.born);
  EXPECT_FALSE(tags.IsValid(entry));
}

TEST(TagTable, LeavesAMarginForOtherProcessesClocks) {
  TagTable tags(10, absl::Milliseconds(250));
  CachedValue entry = Sample();
  tags.InvalidateRemote(entry.tags[0], entry.born - absl::Milliseconds(200));
  EXPECT_FALSE(tags.IsValid(entry));
  entry.born += absl::Milliseconds(51);
  EXPECT_TRUE(tags.IsValid(entry));
}

TEST(TagTable, StaysBoundedAndForgetsOnTheSafeSide) {
  TagTable tags(100);
  for (int i = 0; i < 1000; ++i) tags.Invalidate(TagName("t", std::to_string(i)), absl::FromUnixSeconds(i));
  EXPECT_LE(tags.size(), 100u);
  CachedValue entry = Sample();
  entry.tags = {TagName("t", "3")};
  entry.born = absl::FromUnixSeconds(2);
  EXPECT_FALSE(tags.IsValid(entry));
  entry.born = absl::FromUnixSeconds(2000);
  EXPECT_TRUE(tags.IsValid(entry));
}

}  // namespace
}  // namespace alcove::cache
