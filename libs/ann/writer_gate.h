#pragma once

#include <mutex>
#include <shared_mutex>

namespace alcove::ann {

// A shared mutex on which the exclusive side cannot starve: everybody queues at the gate, so an exclusive waiter stops
// later shared ones from entering.
class WriterGate {
 public:
  class Shared {
   public:
    explicit Shared(WriterGate& gate) : gate_(gate) {
      std::lock_guard queue(gate_.queue_);
      gate_.mutex_.lock_shared();
    }
    ~Shared() { gate_.mutex_.unlock_shared(); }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;

   private:
    WriterGate& gate_;
  };

  class Exclusive {
   public:
    explicit Exclusive(WriterGate& gate) : gate_(gate) {
      std::lock_guard queue(gate_.queue_);
      gate_.mutex_.lock();
    }
    ~Exclusive() { gate_.mutex_.unlock(); }
    Exclusive(const Exclusive&) = delete;
    Exclusive& operator=(const Exclusive&) = delete;

   private:
    WriterGate& gate_;
  };

 private:
  std::mutex queue_;
  std::shared_mutex mutex_;
};

}  // namespace alcove::ann
