// How much of a collection a client may learn. Scores tell about the rows they are of, so whoever may search without
// bound can in time reconstruct what is searched; a budget bounds that. It counts encrypted replies (each scores up to
// one block of rows, or holds one document), for each evaluation key and for each tenant, in a bucket that refills
// evenly over a period.
//
// What is spent survives a crash: amounts are written to disk ahead of use, in small advances, so a restart never gives
// anything back.
//
// Thread safe.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"

namespace alcove::fhe_proxy {

class PrivacyBudget {
 public:
  struct Options {
    std::string folder;              // of what is spent; made when missing
    int64_t replies_per_key = 0;     // 0: no bound
    int64_t replies_per_tenant = 0;  // 0: no bound
    absl::Duration period = absl::Hours(24);
    int64_t advance = 64;  // replies written to disk ahead of use
  };

  static absl::StatusOr<std::unique_ptr<PrivacyBudget>> Open(Options options, const Clock* clock);

  // Takes `replies` from the key's and the tenant's bucket, or from neither: RESOURCE_EXHAUSTED (PRIVACY_BUDGET_SPENT),
  // with the time after which they will be there unless they are more than a whole bucket. The error of the disk when
  // it cannot be written down.
  absl::Status Spend(const std::string& tenant, const std::string& key_id, int64_t replies);

  // Replies the key may still take now; -1 without a bound.
  int64_t Left(const std::string& tenant, const std::string& key_id);

 private:
  // Spent replies drain evenly: `level` at `since`, capacity / period of them a second.
  struct Bucket {
    double level = 0;
    absl::Time since;
    double durable = 0;  // the level on disk, at the time below; never less than the true one
    absl::Time durable_since;
  };

  PrivacyBudget(Options options, const Clock* clock) : options_(std::move(options)), clock_(clock) {}
  // The bucket of that name, drained up to now; read from disk on first use.
  absl::StatusOr<Bucket*> Find(const std::string& name, int64_t capacity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  double Drained(double level, absl::Time since, int64_t capacity) const;
  absl::Status Save(const std::string& name, Bucket& bucket, double level) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string PathOf(const std::string& name) const;

  const Options options_;
  const Clock* const clock_;
  absl::Mutex mu_;
  std::map<std::string, Bucket> buckets_ ABSL_GUARDED_BY(mu_);
};

}  // namespace alcove::fhe_proxy
