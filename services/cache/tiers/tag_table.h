// When tags were last invalidated. An entry is valid while it was born after the last invalidation of each of its tags.
#pragma once

#include <cstdint>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "services/cache/tiers/entry.h"

namespace alcove::cache {

// Stamps of invalidations made here count exactly. Stamps that came from another process count with a margin, because
// its clock may differ: an entry born within the margin of such a stamp counts as invalid, which costs a recomputation.
//
// Memory is bounded: when the table is full, the oldest half of the stamps is folded into one floor that applies to
// every tag. Thread safe.
class TagTable {
 public:
  explicit TagTable(size_t max_tags = 100'000, absl::Duration remote_margin = absl::Milliseconds(250))
      : max_tags_(max_tags), remote_margin_(remote_margin) {}

  void Invalidate(const std::string& tag, absl::Time at) { Raise(tag, at); }
  void InvalidateRemote(const std::string& tag, absl::Time at) { Raise(tag, at + remote_margin_); }
  // Makes every tagged entry born before `at` invalid: used when invalidations may have been missed.
  void InvalidateAll(absl::Time at);

  bool IsValid(const CachedValue& entry) const;
  size_t size() const;

 private:
  void Raise(const std::string& tag, absl::Time stamp);

  const size_t max_tags_;
  const absl::Duration remote_margin_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, absl::Time> stamps_ ABSL_GUARDED_BY(mutex_);
  absl::Time floor_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace alcove::cache
