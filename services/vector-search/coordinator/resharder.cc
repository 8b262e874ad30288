#include "services/vector-search/coordinator/resharder.h"

#include <algorithm>

#include "libs/common/log.h"
#include "libs/common/status.h"

namespace alcove::vector_search {
namespace {

constexpr absl::Duration kIdle = absl::Milliseconds(100);
constexpr absl::Duration kAfterError = absl::Seconds(1);

}  // namespace

Resharder::Resharder(Catalog* catalog, Coordinator* coordinator, Clock* clock)
    : catalog_(catalog),
      coordinator_(coordinator),
      clock_(clock == nullptr ? RealClock() : clock),
      thread_([this] { Run(); }) {}

void Resharder::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

bool Resharder::Step() {
  bool busy = false;
  const auto current = catalog_->Current();  // kept: a step may replace it
  for (const auto& [id, entry] : current->by_id) {
    if (!entry->next_placement || !entry->usable.ok()) continue;
    const absl::StatusOr<bool> done = coordinator_->ContinueResharding(id);
    // Somebody else has ended it, or the collection is gone.
    if (absl::IsFailedPrecondition(done.status()) || absl::IsNotFound(done.status())) {
      catalog_->Refresh().IgnoreError();
      continue;
    }
    if (!done.ok()) {
      LogWarning("a step of a resharding failed; it will be tried again",
                 {{"collection", entry->name}, {"error", done.status()}});
      absl::MutexLock lock(&mutex_);
      clock_->AwaitWithTimeout(&mutex_, absl::Condition(&stopping_), kAfterError);
      continue;
    }
    busy = busy || !*done;
  }
  return busy;
}

void Resharder::Run() {
  while (true) {
    const absl::Time began = clock_->Now();
    const bool busy = Step();
    // Half of the time is left to those who write.
    const absl::Duration pause = busy ? std::clamp(clock_->Now() - began, absl::Milliseconds(1), kIdle) : kIdle;
    absl::MutexLock lock(&mutex_);
    if (clock_->AwaitWithTimeout(&mutex_, absl::Condition(&stopping_), pause)) return;
  }
}

}  // namespace alcove::vector_search
