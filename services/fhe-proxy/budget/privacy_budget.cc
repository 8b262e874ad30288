#include "services/fhe-proxy/budget/privacy_budget.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/fhe/random/blake2b.h"

namespace alcove::fhe_proxy {
namespace {

constexpr size_t kMaxFileBytes = 4096;
constexpr absl::string_view kMagic = "ALCBUD1";

}  // namespace

absl::StatusOr<std::unique_ptr<PrivacyBudget>> PrivacyBudget::Open(Options options, const Clock* clock) {
  if (options.replies_per_key > 0 || options.replies_per_tenant > 0) {
    ALCOVE_RETURN_IF_ERROR(EnsureDirectory(options.folder, 0700));
  }
  return std::unique_ptr<PrivacyBudget>(new PrivacyBudget(std::move(options), clock));
}

std::string PrivacyBudget::PathOf(const std::string& name) const {
  return absl::StrCat(options_.folder, "/", fhe::Blake2bHex(name).substr(0, 32), ".budget");
}

double PrivacyBudget::Drained(double level, absl::Time since, int64_t capacity) const {
  const double seconds = std::max(0.0, absl::ToDoubleSeconds(clock_->Now() - since));
  return std::max(0.0, level - seconds * static_cast<double>(capacity) / absl::ToDoubleSeconds(options_.period));
}

absl::StatusOr<PrivacyBudget::Bucket*> PrivacyBudget::Find(const std::string& name, int64_t capacity) {
  const auto [it, added] = buckets_.try_emplace(name);
  Bucket& bucket = it->second;
  if (added) {
    bucket.since = bucket.durable_since = clock_->Now();
    const auto text = ReadFile(PathOf(name), kMaxFileBytes);
    if (text.ok()) {
      const std::vector<std::string> parts = absl::StrSplit(*text, ' ');
      double level = 0;
      int64_t nanos = 0;
      if (parts.size() == 3 && parts[0] == kMagic && absl::SimpleAtod(parts[1], &level) && level >= 0 &&
          absl::SimpleAtoi(parts[2], &nanos)) {
        bucket.level = bucket.durable = level;
        bucket.since = bucket.durable_since = std::min(clock_->Now(), absl::FromUnixNanos(nanos));
      } else {
        // What cannot be read counts as spent: damage must not be a way to a fresh budget.
        bucket.level = bucket.durable = static_cast<double>(capacity);
      }
    } else if (!absl::IsNotFound(text.status())) {
      buckets_.erase(it);
      return text.status();
    }
  }
  bucket.level = Drained(bucket.level, bucket.since, capacity);
  bucket.since = clock_->Now();
  return &bucket;
}

absl::Status PrivacyBudget::Save(const std::string& name, Bucket& bucket, double level) {
  const absl::Time now = clock_->Now();
  ALCOVE_RETURN_IF_ERROR(
      WriteFileAtomically(PathOf(name), absl::StrCat(kMagic, " ", level, " ", absl::ToUnixNanos(now)), 0600));
  bucket.durable = level;
  bucket.durable_since = now;
  return absl::OkStatus();
}

absl::Status PrivacyBudget::Spend(const std::string& tenant, const std::string& key_id, int64_t replies) {
  struct Wanted {
    std::string name;
    int64_t capacity;
    const char* whose;
    Bucket* bucket = nullptr;
  };
  std::vector<Wanted> all;
  if (options_.replies_per_key > 0) {
    all.push_back({absl::StrCat("key ", tenant.size(), ":", tenant, key_id), options_.replies_per_key, "key"});
  }
  if (options_.replies_per_tenant > 0) all.push_back({"tenant " + tenant, options_.replies_per_tenant, "tenant"});
  absl::MutexLock lock(&mu_);
  for (Wanted& one : all) {
    ALCOVE_ASSIGN_OR_RETURN(one.bucket, Find(one.name, one.capacity));
    const double over = one.bucket->level + static_cast<double>(replies) - static_cast<double>(one.capacity);
    if (over <= 0) continue;
    absl::Status spent = absl::ResourceExhaustedError(
        absl::StrCat("the request takes ", replies, " encrypted replies; the ", one.whose, " has ",
                     std::floor(static_cast<double>(one.capacity) - one.bucket->level), " of ", one.capacity,
                     " left, which refill over ", absl::FormatDuration(options_.period)));
    if (replies <= one.capacity) {
      spent = WithRetryAfter(std::move(spent), options_.period * (over / static_cast<double>(one.capacity)));
    }
    return WithReason(std::move(spent), "PRIVACY_BUDGET_SPENT");
  }
  // Both are written down before either is used; an advance that is not used after all errs on the safe side.
  for (Wanted& one : all) {
    const double level = one.bucket->level + static_cast<double>(replies);
    if (level > Drained(one.bucket->durable, one.bucket->durable_since, one.capacity)) {
      ALCOVE_RETURN_IF_ERROR(Save(one.name, *one.bucket, level + static_cast<double>(options_.advance)));
    }
  }
  for (Wanted& one : all) one.bucket->level += static_cast<double>(replies);
  return absl::OkStatus();
}

int64_t PrivacyBudget::Left(const std::string& tenant, const std::string& key_id) {
  if (options_.replies_per_key <= 0) return -1;
  absl::MutexLock lock(&mu_);
  const auto bucket = Find(absl::StrCat("key ", tenant.size(), ":", tenant, key_id), options_.replies_per_key);
  if (!bucket.ok()) return 0;
  return std::max<int64_t>(0, static_cast<int64_t>(static_cast<double>(options_.replies_per_key) - (*bucket)->level));
}

}  // namespace alcove::fhe_proxy
