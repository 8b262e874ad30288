#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/common/clock.h"
#include "libs/store/key_store.h"
#include "services/gateway/access/caller.h"

namespace alcove::gateway {

struct KeyDirectoryOptions {
  double rate_per_second = 10'000;  // of each key
  double burst = 10'000;
  Clock* clock = RealClock();
};

// Keys as the store knows them, turned into callers. Its epoch grows with every change, here or by another gateway;
// what was read under an older epoch must be read again.
//
// Thread-safe. Load, Refresh and FlushUses block on the store: call them from worker threads.
class KeyDirectory {
 public:
  // `keys` must outlive the directory.
  KeyDirectory(store::KeyStore* keys, KeyDirectoryOptions options);

  // The caller behind the hash of a secret. UNAUTHENTICATED for an unknown, revoked or expired key, PERMISSION_DENIED
  // for a disabled tenant, UNAVAILABLE when the store does not answer.
  absl::StatusOr<std::shared_ptr<const Caller>> Load(std::string_view hash);

  uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  // Makes every loop read its callers again; after a key was changed here.
  void Invalidate() { epoch_.fetch_add(1, std::memory_order_acq_rel); }
  // Asks the store whether keys changed, and raises the epoch if so.
  absl::Status Refresh();
  // Tells the store when keys were last used.
  absl::Status FlushUses();

  const KeyDirectoryOptions& options() const { return options_; }

 private:
  std::shared_ptr<KeyUsage> UsageOf(const std::string& key_id);

  store::KeyStore* const keys_;
  const KeyDirectoryOptions options_;
  std::atomic<uint64_t> epoch_{1};
  absl::Mutex mu_;
  int64_t seen_version_ ABSL_GUARDED_BY(mu_) = -1;
  absl::flat_hash_map<std::string, std::shared_ptr<KeyUsage>> usage_ ABSL_GUARDED_BY(mu_);
};

}  // namespace alcove::gateway
