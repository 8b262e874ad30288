#pragma once

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/net/header_list.h"
#include "services/gateway/access/caller.h"
#include "services/gateway/access/key_directory.h"

namespace alcove::gateway {

namespace asio = boost::asio;

// Tells the caller of a request from its headers. One per loop: a cache of what KeyDirectory said, so that a known key
// costs a SHA-256 and a lookup. An entry is trusted for kFresh and while the directory's epoch stands; when the store
// cannot be reached, a caller seen within kStale stays welcome.
//
// Thread safety: the loop's own thread.
class Authenticator {
 public:
  static constexpr absl::Duration kFresh = absl::Seconds(60);
  static constexpr absl::Duration kStale = absl::Minutes(10);
  static constexpr absl::Duration kNegative = absl::Seconds(5);
  static constexpr size_t kMaxEntries = 50'000;

  // `directory` null: keys are off, everybody is an admin of the tenant "default".
  Authenticator(KeyDirectory* directory, asio::thread_pool* workers, Clock* clock = RealClock());

  enum class Verdict { kKnown, kRefused, kAskStore };
  struct Answer {
    Verdict verdict = Verdict::kRefused;
    std::shared_ptr<const Caller> caller;  // for kKnown
    absl::Status status;                   // for kRefused
  };
  // From memory only.
  Answer Check(const net::HeaderList& headers);
  // From memory or from the store. `headers` must live until the result is there.
  asio::awaitable<absl::StatusOr<std::shared_ptr<const Caller>>> Authenticate(const net::HeaderList& headers);

 private:
  struct Entry {
    std::shared_ptr<const Caller> caller;  // null: refused with `status`
    absl::Status status;
    uint64_t epoch = 0;
    absl::Time read_at;
  };
  // Null: not there, or no longer to be trusted.
  const Entry* FindFresh(const std::string& hash, absl::Time now);
  void Remember(const std::string& hash, Entry entry);

  KeyDirectory* const directory_;
  asio::thread_pool* const workers_;
  Clock* const clock_;
  std::shared_ptr<const Caller> anybody_;
  absl::flat_hash_map<std::string, Entry> entries_;
};

}  // namespace alcove::gateway
