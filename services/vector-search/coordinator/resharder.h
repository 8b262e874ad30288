// Drives the reshardings that are under way, on a thread of its own. Every process does: each step is a transaction
// that notes how far it got, so it does not matter who takes it, and a process that dies stops nothing.
#pragma once

#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "services/vector-search/catalog/catalog.h"
#include "services/vector-search/coordinator/coordinator.h"

namespace alcove::vector_search {

class Resharder {
 public:
  // Both outlive this.
  Resharder(Catalog* catalog, Coordinator* coordinator, Clock* clock = nullptr);
  ~Resharder() { Stop(); }
  void Stop();

 private:
  void Run();
  // True when another step can follow at once.
  bool Step();

  Catalog* const catalog_;
  Coordinator* const coordinator_;
  Clock* const clock_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace alcove::vector_search
