#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "alcove/config/v1/common.pb.h"
#include "libs/common/metrics.h"
#include "libs/net/server.h"
#include "libs/store/store.h"
#include "services/gateway/access/key_directory.h"

namespace alcove::gateway {

// Opens the store of a configuration; makes the folder of an SQLite file when it is missing.
absl::StatusOr<std::unique_ptr<store::Store>> OpenStore(const alcove::config::v1::StoreConfig& config);

// A thread that asks the store for changed keys every `interval`, and now and then tells it which keys were used. Ends
// with its destructor.
class KeyRefresher {
 public:
  KeyRefresher(KeyDirectory& directory, absl::Duration interval);
  ~KeyRefresher();
  KeyRefresher(const KeyRefresher&) = delete;
  KeyRefresher& operator=(const KeyRefresher&) = delete;

 private:
  void Run(absl::Duration interval);

  KeyDirectory& directory_;
  absl::Mutex mu_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

// The counters of the network layer, read when metrics are rendered. The handles must go before the server.
std::vector<Registry::CallbackHandle> AddNetMetrics(const net::Server& server, Registry& registry);

}  // namespace alcove::gateway
