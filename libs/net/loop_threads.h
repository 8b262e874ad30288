#pragma once

#include <cstddef>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "libs/net/loop.h"

namespace alcove::net {

// Loops that run, each on its own thread, for servers and clients to share: a call that comes in on a loop and asks
// another process is answered on the same one, without waking a thread.
//
// Thread safety: everything from any thread except Stop and the destructor, which are for the one that owns it.
class LoopThreads {
 public:
  // `count` loops, at least one, numbered from 0.
  explicit LoopThreads(int count, Loop::Options options = {});
  // Stops. What used the loops must have let go of them.
  ~LoopThreads();
  LoopThreads(const LoopThreads&) = delete;
  LoopThreads& operator=(const LoopThreads&) = delete;

  size_t size() const { return loops_.size(); }
  Loop& operator[](size_t index) const { return *loops_[index]; }

  // Runs `f(index)` on every loop and waits until all have run. Not from a loop's own thread.
  template <typename F>
  void OnEach(F f) const {
    std::latch done(static_cast<ptrdiff_t>(loops_.size()));
    for (size_t i = 0; i < loops_.size(); ++i) {
      loops_[i]->Post([&f, &done, i] {
        f(i);
        done.count_down();
      });
    }
    done.wait();
  }
  // Ends the threads; handlers that have not run stay with the loops until these go.
  void Stop();

 private:
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::thread> threads_;
};

}  // namespace alcove::net
