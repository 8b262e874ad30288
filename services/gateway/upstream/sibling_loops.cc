#include "services/gateway/upstream/sibling_loops.h"

#include <utility>

#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

void SiblingLoops::Join(net::Loop& loop, UpstreamSet* set, std::shared_ptr<const bool> alive) {
  absl::MutexLock lock(&mu_);
  members_.push_back({&loop, set, std::move(alive)});
}

void SiblingLoops::Leave(const UpstreamSet* set) {
  absl::MutexLock lock(&mu_);
  std::erase_if(members_, [set](const Member& member) { return member.set == set; });
}

void SiblingLoops::Tell(const UpstreamSet* from, const std::string& upstream, const std::string& address, bool passed) {
  absl::MutexLock lock(&mu_);
  for (const Member& member : members_) {
    if (member.set == from) continue;
    member.loop->Post([set = member.set, alive = member.alive, upstream, address, passed] {
      if (*alive) set->OnReachable(upstream, address, passed);
    });
  }
}

}  // namespace alcove::gateway
