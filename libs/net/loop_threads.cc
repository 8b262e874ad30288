#include "libs/net/loop_threads.h"

#include <algorithm>

#include <pthread.h>

#include "absl/strings/str_cat.h"

namespace alcove::net {

LoopThreads::LoopThreads(int count, Loop::Options options) {
  for (int i = 0; i < std::max(count, 1); ++i) loops_.push_back(std::make_unique<Loop>(i, options));
  for (const auto& loop : loops_) {
    threads_.emplace_back([&loop = *loop] {
      pthread_setname_np(pthread_self(), absl::StrCat("loop-", loop.index()).c_str());
      loop.Run();
    });
  }
}

LoopThreads::~LoopThreads() { Stop(); }

void LoopThreads::Stop() {
  for (const auto& loop : loops_) loop->Stop();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace alcove::net
