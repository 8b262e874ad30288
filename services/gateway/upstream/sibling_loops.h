#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/net/loop.h"

namespace alcove::gateway {

class UpstreamSet;

// Carries good news between loops. Each loop connects to and checks every backend by itself; when one of them finds
// that a backend is back, the others need not sit out their own pause before they look. Bad news is not carried: each
// loop learns of failures from its own connection. Thread safety: any thread.
class SiblingLoops {
 public:
  // `alive` is read and written on `loop`'s thread only; a set clears it before it goes away.
  void Join(net::Loop& loop, UpstreamSet* set, std::shared_ptr<const bool> alive);
  void Leave(const UpstreamSet* set);
  // Tells every set but `from` that `address` of `upstream` accepted a connection (`passed`: and passed a health
  // check).
  void Tell(const UpstreamSet* from, const std::string& upstream, const std::string& address, bool passed);

 private:
  struct Member {
    net::Loop* loop;
    UpstreamSet* set;
    std::shared_ptr<const bool> alive;
  };
  absl::Mutex mu_;
  std::vector<Member> members_ ABSL_GUARDED_BY(mu_);
};

}  // namespace alcove::gateway
