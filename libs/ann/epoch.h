#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace alcove::ann {

// Epoch-based reclamation: lets readers use shared memory without locks, and tells writers when memory they have
// unlinked can no longer be seen by any reader.
//
// A reader holds a Pin while it follows links. A writer unlinks something, calls Retire() for a ticket, and may reuse
// the memory once Passed(ticket). Pins are short (one search), so tickets pass soon.
//
// Thread safety: all methods. At most kSlots pins exist at a time; the next one waits, yielding.
class EpochDomain {
 public:
  static constexpr size_t kSlots = 128;

  class Pin {
   public:
    Pin(EpochDomain& domain, size_t slot) : domain_(&domain), slot_(slot) {}
    Pin(Pin&& other) noexcept : domain_(other.domain_), slot_(other.slot_) { other.domain_ = nullptr; }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    ~Pin() {
      if (domain_ != nullptr) domain_->slots_[slot_].epoch.store(0, std::memory_order_release);
    }
    // In [0, kSlots), held by no other pin at the same time: a place for per-search scratch memory.
    size_t slot() const { return slot_; }

   private:
    EpochDomain* domain_;
    size_t slot_;
  };

  Pin Enter();
  uint64_t Retire() { return global_.fetch_add(1, std::memory_order_seq_cst); }
  bool Passed(uint64_t ticket) const;

 private:
  struct alignas(64) Slot {
    std::atomic<uint64_t> epoch{0};  // 0: free
  };
  Slot slots_[kSlots];
  alignas(64) std::atomic<uint64_t> global_{1};
};

}  // namespace alcove::ann
