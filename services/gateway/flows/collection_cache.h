#pragma once

#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "alcove/vector/v1/types.pb.h"
#include "libs/common/clock.h"
#include "services/gateway/flows/backends.h"

namespace alcove::gateway {

// What collections are made of, remembered for kTtl so that a search does not ask each time which model to use. One per
// loop.
class CollectionCache {
 public:
  static constexpr absl::Duration kTtl = absl::Seconds(2);
  static constexpr size_t kMaxEntries = 10'000;

  CollectionCache(Backends& backends, Clock* clock) : backends_(backends), clock_(clock) {}

  // The caller's collection. NOT_FOUND when there is none.
  asio::awaitable<absl::StatusOr<std::shared_ptr<const alcove::vector::v1::Collection>>> Get(const RequestContext& ctx,
                                                                                             std::string name);
  // As Get; FAILED_PRECONDITION when the collection takes vectors only.
  asio::awaitable<absl::StatusOr<std::shared_ptr<const alcove::vector::v1::Collection>>> GetWithModel(
      const RequestContext& ctx, std::string name);
  void Forget(const std::string& tenant, const std::string& name);

 private:
  struct Entry {
    std::shared_ptr<const alcove::vector::v1::Collection> collection;
    int64_t read_ns = 0;
  };
  Backends& backends_;
  Clock* const clock_;
  absl::flat_hash_map<std::string, Entry> entries_;  // by tenant, a zero byte, name
};

}  // namespace alcove::gateway
