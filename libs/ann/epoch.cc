#include "libs/ann/epoch.h"

#include <thread>

namespace alcove::ann {
namespace {

// Threads start looking at different slots, and each finds its own slot (and scratch memory) again next time.
size_t HomeSlot() {
  static std::atomic<size_t> next{0};
  thread_local const size_t home = next.fetch_add(1, std::memory_order_relaxed);
  return home;
}

}  // namespace

EpochDomain::Pin EpochDomain::Enter() {
  const size_t home = HomeSlot();
  for (;;) {
    for (size_t i = 0; i < kSlots; ++i) {
      const size_t slot = (home + i) % kSlots;
      uint64_t idle = 0;
      if (slots_[slot].epoch.load(std::memory_order_relaxed) == 0 &&
          slots_[slot].epoch.compare_exchange_strong(idle, global_.load(std::memory_order_seq_cst),
                                                     std::memory_order_seq_cst)) {
        return Pin(*this, slot);
      }
    }
    std::this_thread::yield();
  }
}

// A reader that announced an epoch after the ticket's began after the unlinking and cannot have seen what was unlinked.
// One that announced an older epoch might have, so it blocks the ticket until it leaves.
bool EpochDomain::Passed(uint64_t ticket) const {
  for (const Slot& slot : slots_) {
    const uint64_t epoch = slot.epoch.load(std::memory_order_seq_cst);
    if (epoch != 0 && epoch <= ticket) return false;
  }
  return true;
}

}  // namespace alcove::ann
