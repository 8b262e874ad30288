// S3-FIFO eviction: three FIFO queues instead of one list ordered by use. Most keys are asked for once; they pass
// through a small queue and leave without disturbing the main one.
//
// Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023, section 4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/hash/hash.h>
#include <absl/strings/string_view.h>

namespace alcove::cache {

// A bounded map from keys to values of type Value, which must be movable.
//
// Thread safety: none; the owner serialises.
//
// Invariants:
//   1. Every slot in the map is in exactly one of the queues small and main; every other slot is on the free list.
//   2. entries() <= max_entries and bytes() <= max_bytes after every call, except for one entry larger than max_bytes,
//      which Put refuses.
//   3. An entry's frequency is 0..3: hits since it entered its queue, capped.
//   4. The ghost queue holds fingerprints of keys lately evicted from small, at most max_entries of them.
template <typename Value>
class S3Fifo {
 public:
  struct Limits {
    size_t max_entries = 1000;    // at least 1
    size_t max_bytes = 64 << 20;  // keys, values and a fixed overhead per entry
  };
  // Memory an entry takes besides its key and value: slot, map cell and allocator slack.
  static constexpr size_t kEntryOverhead = 128;

  explicit S3Fifo(Limits limits) : limits_(limits) {}

  // The value, or nullptr. Counts as a use. The pointer holds until the next non-const call.
  Value* Get(absl::string_view key) {
    const auto it = map_.find(key);
    if (it == map_.end()) return nullptr;
    Slot& slot = slots_[it->second];
    if (slot.frequency < kMaxFrequency) ++slot.frequency;
    return &slot.value;
  }

  // The value without counting a use.
  const Value* Peek(absl::string_view key) const {
    const auto it = map_.find(key);
    return it == map_.end() ? nullptr : &slots_[it->second].value;
  }

  // Inserts or replaces. `value_bytes` is the memory the value holds. False when it alone is larger than max_bytes; the
  // old value is gone then too.
  bool Put(absl::string_view key, Value value, size_t value_bytes) {
    const size_t bytes = key.size() + value_bytes + kEntryOverhead;
    if (const auto it = map_.find(key); it != map_.end()) {
      if (bytes > limits_.max_bytes) {
        Remove(it->second);
        return false;
      }
      Slot& slot = slots_[it->second];
      queue(slot).bytes += bytes - slot.bytes;
      slot.bytes = bytes;
      slot.value = std::move(value);
      if (slot.frequency < kMaxFrequency) ++slot.frequency;
      EvictUntilFits();
      return true;
    }
    if (bytes > limits_.max_bytes) return false;
    while (entries() + 1 > limits_.max_entries || this->bytes() + bytes > limits_.max_bytes) EvictOne();
    const uint32_t index = TakeSlot();
    Slot& slot = slots_[index];
    slot.key = std::string(key);
    slot.value = std::move(value);
    slot.bytes = bytes;
    slot.frequency = 0;
    slot.in_main = TakeGhost(Fingerprint(key));
    PushFront(index);
    map_.emplace(slot.key, index);
    return true;
  }

  bool Erase(absl::string_view key) {
    const auto it = map_.find(key);
    if (it == map_.end()) return false;
    Remove(it->second);
    return true;
  }

  // Evicts until at most `bytes` are held.
  void ShrinkTo(size_t bytes) {
    while (entries() > 0 && this->bytes() > bytes) EvictOne();
  }

  void Clear() {
    map_.clear();
    slots_.clear();
    free_ = kNone;
    small_ = main_ = Queue{};
  }

  size_t entries() const { return small_.count + main_.count; }
  size_t bytes() const { return small_.bytes + main_.bytes; }
  uint64_t evictions() const { return evictions_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint8_t kMaxFrequency = 3;
  static constexpr size_t kSmallShare = 10;  // the small queue holds a tenth

  struct Slot {
    std::string key;
    Value value;
    size_t bytes = 0;
    uint32_t older = kNone;  // towards the tail; next free slot on the free list
    uint32_t newer = kNone;  // towards the head
    uint8_t frequency = 0;
    bool in_main = false;
  };
  struct Queue {
    uint32_t head = kNone;
    uint32_t tail = kNone;
    size_t count = 0;
    size_t bytes = 0;
  };

  Queue& queue(const Slot& slot) { return slot.in_main ? main_ : small_; }

  static uint64_t Fingerprint(absl::string_view key) { return absl::Hash<absl::string_view>{}(key); }

  uint32_t TakeSlot() {
    if (free_ == kNone) {
      slots_.emplace_back();
      return static_cast<uint32_t>(slots_.size() - 1);
    }
    const uint32_t index = free_;
    free_ = slots_[index].older;
    return index;
  }

  void PushFront(uint32_t index) {
    Slot& slot = slots_[index];
    Queue& q = queue(slot);
    slot.newer = kNone;
    slot.older = q.head;
    if (q.head != kNone) slots_[q.head].newer = index;
    q.head = index;
    if (q.tail == kNone) q.tail = index;
    ++q.count;
    q.bytes += slot.bytes;
  }

  void Unlink(uint32_t index) {
    Slot& slot = slots_[index];
    Queue& q = queue(slot);
    (slot.newer == kNone ? q.head : slots_[slot.newer].older) = slot.older;
    (slot.older == kNone ? q.tail : slots_[slot.older].newer) = slot.newer;
    --q.count;
    q.bytes -= slot.bytes;
  }

  void Remove(uint32_t index) {
    Unlink(index);
    Slot& slot = slots_[index];
    map_.erase(slot.key);
    slot.key = std::string();
    slot.value = Value();
    slot.older = free_;
    free_ = index;
  }

  void EvictUntilFits() {
    while (entries() > limits_.max_entries || bytes() > limits_.max_bytes) EvictOne();
  }

  // Evicts exactly one entry. Requires entries() > 0.
  void EvictOne() {
    const bool small_is_full =
        small_.count * kSmallShare >= limits_.max_entries || small_.bytes * kSmallShare >= limits_.max_bytes;
    if ((small_is_full || main_.count == 0) && EvictFromSmall()) return;
    EvictFromMain();
  }

  // Moves entries asked for again to main and evicts the first that was not. False when small ran empty.
  bool EvictFromSmall() {
    while (small_.count > 0) {
      const uint32_t index = small_.tail;
      Slot& slot = slots_[index];
      if (slot.frequency > 1) {
        Unlink(index);
        slot.in_main = true;
        slot.frequency = 0;
        PushFront(index);
        continue;
      }
      AddGhost(Fingerprint(slot.key));
      Remove(index);
      ++evictions_;
      return true;
    }
    return false;
  }

  void EvictFromMain() {
    for (;;) {
      const uint32_t index = main_.tail;
      Slot& slot = slots_[index];
      if (slot.frequency == 0) {
        Remove(index);
        ++evictions_;
        return;
      }
      Unlink(index);
      --slot.frequency;
      PushFront(index);
    }
  }

  void AddGhost(uint64_t fingerprint) {
    ghost_order_.emplace_back(fingerprint, ++ghost_sequence_);
    ghosts_[fingerprint] = ghost_sequence_;
    while (ghosts_.size() > limits_.max_entries) {
      const auto [oldest, sequence] = ghost_order_.front();
      ghost_order_.pop_front();
      const auto it = ghosts_.find(oldest);
      if (it != ghosts_.end() && it->second == sequence) ghosts_.erase(it);
    }
    // Fingerprints that were taken leave their place in the order behind; drop them before they add up.
    if (ghost_order_.size() > 2 * limits_.max_entries + 16) {
      std::erase_if(ghost_order_, [this](const auto& item) {
        const auto it = ghosts_.find(item.first);
        return it == ghosts_.end() || it->second != item.second;
      });
    }
  }

  // Whether the key was lately evicted from small; it is then forgotten.
  bool TakeGhost(uint64_t fingerprint) { return ghosts_.erase(fingerprint) > 0; }

  const Limits limits_;
  absl::flat_hash_map<std::string, uint32_t> map_;
  std::vector<Slot> slots_;
  uint32_t free_ = kNone;
  Queue small_;
  Queue main_;
  absl::flat_hash_map<uint64_t, uint64_t> ghosts_;         // fingerprint → when it was added
  std::deque<std::pair<uint64_t, uint64_t>> ghost_order_;  // oldest first; may hold pairs no longer in ghosts_
  uint64_t ghost_sequence_ = 0;
  uint64_t evictions_ = 0;
};

}  // namespace alcove::cache
