// Decides which waiting texts run together, and when. Pure and deterministic: it is told the time and holds no threads,
// no device and no text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <absl/types/span.h>

namespace alcove::inference {

enum class Priority : uint8_t { kLow = 0, kNormal = 1, kHigh = 2, kCritical = 3 };
inline constexpr size_t kPriorities = 4;

struct BatchLimits {
  // Most texts in a batch.
  size_t max_texts = 32;
  // Most tokens in a batch; a single longer text still runs, alone.
  size_t max_tokens = 4096;
  // How long the oldest text waits for company. A batch leaves earlier when it is full. Zero: never wait.
  absl::Duration timeout = absl::Milliseconds(2);
  // Whether texts wait for company even when none is in sight. If not, a batch also leaves as soon as no batch of the
  // model runs, and as soon as a text of high or critical priority waits.
  bool wait_when_idle = false;
  // Most texts waiting; what would exceed it is refused.
  size_t max_queued = 8192;
  // A text's rank rises by one priority each time it has waited this long, so that low priorities do not starve.
  absl::Duration ageing = absl::Seconds(1);
};

// The queue of one model. Not thread safe. All times passed in must not go back.
class Batcher {
 public:
  using ItemId = uint64_t;

  struct Item {
    ItemId id = 0;
    size_t tokens = 0;
    Priority priority = Priority::kNormal;
    absl::Time enqueued;
    absl::Time deadline;  // after it the text is not worth running
  };

  struct Batch {
    std::vector<Item> items;    // in the order they should run; may be empty
    std::vector<Item> expired;  // taken out of the queue because their deadline had passed
    size_t tokens = 0;          // of `items`
  };

  explicit Batcher(const BatchLimits& limits) : limits_(limits) {}

  // Adds a text for each entry of `tokens`, all or none; ids are consecutive from the returned one. RESOURCE_EXHAUSTED
  // when they do not fit below max_queued.
  absl::StatusOr<ItemId> Add(absl::Time now, absl::Span<const size_t> tokens, Priority priority,
                             absl::Time deadline = absl::InfiniteFuture());

  // Takes a text out of the queue. False when it is not there (any more).
  bool Cancel(ItemId id);

  // When a batch should leave: InfinitePast when at once, InfiniteFuture when nothing waits. `running` says whether a
  // batch of this model runs now.
  absl::Time Due(bool running = false) const;

  // The batch that leaves at `now`; empty while now < Due(running). Texts of higher rank go first, equal ranks in order
  // of arrival. `idle_workers` (at least 1) divide what waits among them, in shares of at least kSmallestShare tokens;
  // what is left for the others is due at once.
  Batch Take(absl::Time now, size_t idle_workers = 1, bool running = false);

  // Below this many tokens a share is too small to use a core well.
  static constexpr size_t kSmallestShare = 128;

  size_t depth() const { return items_.size(); }
  size_t queued_tokens() const { return queued_tokens_; }
  const BatchLimits& limits() const { return limits_; }

 private:
  // Drops ids at the front of a lane that are no longer in items_; null when the lane is empty.
  const Item* Front(size_t lane);
  // The text that came first of those that wait; there is one.
  const Item& Oldest() const;

  BatchLimits limits_;
  ItemId next_id_ = 1;
  // Texts before it were due when a batch left and wait for a worker, not for company.
  ItemId released_ = 1;
  std::array<size_t, kPriorities> waiting_ = {};
  size_t queued_tokens_ = 0;
  absl::flat_hash_map<ItemId, Item> items_;
  std::array<std::deque<ItemId>, kPriorities> lanes_;  // ids in order of arrival; cancelled ones linger
};

}  // namespace alcove::inference
