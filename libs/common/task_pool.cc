#include "libs/common/task_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <absl/synchronization/mutex.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libs/common/cgroup.h"
#include "libs/common/fs.h"

namespace alcove {
namespace {

// A futex is the atomic's own 32-bit word.
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

void FutexWait(std::atomic<uint32_t>& word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void FutexWake(std::atomic<uint32_t>& word, int count) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins until done() or for TaskPool::kSpin; returns whether done.
template <typename Done>
bool SpinUntil(Done done) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(TaskPool::kSpin);
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      CpuRelax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

// A word that changes when there is something new, and that threads can sleep on. The waiter reads epoch() first, then
// looks for work, then waits for the epoch to differ: a change in between is never missed.
class EventCount {
 public:
  uint32_t epoch() const { return epoch_.load(std::memory_order_seq_cst); }

  void Notify(int sleepers_to_wake) {
    epoch_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) FutexWake(epoch_, sleepers_to_wake);
  }

  void WaitForChange(uint32_t seen) {
    if (WorthSpinning()) {
      const bool changed = SpinUntil([&] { return epoch() != seen; });
      // Races between waiters only blur the estimate.
      const int score = spin_score_.load(std::memory_order_relaxed);
      spin_score_.store(changed ? std::min(score + kGain, kMaxScore) : std::max(score - 1, 0),
                        std::memory_order_relaxed);
      if (changed) return;
    }
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    while (epoch() == seen) FutexWait(epoch_, seen);
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }

 private:
  // Spinning that finds nothing costs a request its length in processor time, so it stops where it keeps finding
  // nothing (tasks that come one by one) and is tried again now and then. One success in four keeps it going.
  static constexpr int kGain = 3;
  static constexpr int kMaxScore = 16;
  static constexpr uint32_t kTryEvery = 16;
  bool WorthSpinning() {
    if (spin_score_.load(std::memory_order_relaxed) > 0) return true;
    return skipped_.fetch_add(1, std::memory_order_relaxed) % kTryEvery == kTryEvery - 1;
  }

  alignas(64) std::atomic<uint32_t> epoch_{0};
  std::atomic<uint32_t> sleepers_{0};
  alignas(64) std::atomic<int> spin_score_{kMaxScore};
  std::atomic<uint32_t> skipped_{0};
};

// One parallel loop, on its caller's stack.
struct Loop {
  Loop(size_t n_in, size_t grain_in, absl::FunctionRef<void(size_t, size_t)> body_in)
      : n(n_in), grain(grain_in), body(body_in) {}

  void RunPieces() {
    while (true) {
      const size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) return;
      body(begin, std::min(begin + grain, n));
    }
  }
  // Indexes not yet claimed; helpers join only while there are some.
  bool HasPieces() const { return next.load(std::memory_order_relaxed) < n; }

  const size_t n;
  const size_t grain;
  const absl::FunctionRef<void(size_t, size_t)> body;
  alignas(64) std::atomic<size_t> next{0};
  // Helpers inside; the one that brings it to zero wakes the caller through TaskPool::Impl::loops_done.
  alignas(64) std::atomic<int> helpers{0};
};

}  // namespace

struct TaskPool::Impl {
  explicit Impl(int threads, absl::string_view name_in) : name(name_in.substr(0, 15)) {
    for (int i = 0; i < threads; ++i) workers.emplace_back([this] { Work(); });
  }

  ~Impl() {
    {
      absl::MutexLock lock(&mu);
      stopping = true;
    }
    work.Notify(INT_MAX);
    for (std::thread& worker : workers) worker.join();
  }

  void Work() {
    pthread_setname_np(pthread_self(), name.c_str());
    while (true) {
      const uint32_t seen = work.epoch();
      if (RunSomething()) continue;
      {
        absl::MutexLock lock(&mu);
        if (stopping && tasks.empty()) return;
      }
      work.WaitForChange(seen);
    }
  }

  // Runs one task or helps with one loop; false when there was nothing. Loops come first: their callers are waiting.
  bool RunSomething() {
    Loop* loop = nullptr;
    absl::AnyInvocable<void()> task;
    {
      absl::MutexLock lock(&mu);
      for (Loop* candidate : loops) {
        if (!candidate->HasPieces()) continue;
        loop = candidate;
        loop->helpers.fetch_add(1, std::memory_order_relaxed);
        break;
      }
      if (loop == nullptr) {
        if (tasks.empty()) return false;
        task = std::move(tasks.front());
        tasks.pop_front();
        ++running;
      }
    }
    if (loop != nullptr) {
      loop->RunPieces();
      // After this the loop may be gone from its caller's stack, so what is notified belongs to the pool.
      if (loop->helpers.fetch_sub(1, std::memory_order_acq_rel) == 1) loops_done.Notify(INT_MAX);
      return true;
    }
    task();
    task = nullptr;
    absl::MutexLock lock(&mu);
    --running;
    return true;
  }

  void RunLoop(Loop& loop) {
    const size_t pieces = (loop.n + loop.grain - 1) / loop.grain;
    {
      absl::MutexLock lock(&mu);
      loops.push_back(&loop);
    }
    work.Notify(static_cast<int>(std::min(pieces - 1, workers.size())));
    loop.RunPieces();
    {
      // No helper can join any more.
      absl::MutexLock lock(&mu);
      loops.erase(std::find(loops.begin(), loops.end(), &loop));
    }
    while (true) {
      const uint32_t seen = loops_done.epoch();
      if (loop.helpers.load(std::memory_order_acquire) == 0) return;
      loops_done.WaitForChange(seen);
    }
  }

  const std::string name;
  EventCount work;
  EventCount loops_done;
  mutable absl::Mutex mu;
  std::deque<absl::AnyInvocable<void()>> tasks ABSL_GUARDED_BY(mu);
  std::vector<Loop*> loops ABSL_GUARDED_BY(mu);
  int running ABSL_GUARDED_BY(mu) = 0;
  bool stopping ABSL_GUARDED_BY(mu) = false;
  std::vector<std::thread> workers;
};

TaskPool::TaskPool(int threads, absl::string_view name) : impl_(std::make_unique<Impl>(std::max(threads, 0), name)) {}
TaskPool::~TaskPool() = default;

int TaskPool::threads() const { return static_cast<int>(impl_->workers.size()); }

void TaskPool::Submit(absl::AnyInvocable<void()> task) {
  if (impl_->workers.empty()) {
    task();
    return;
  }
  {
    absl::MutexLock lock(&impl_->mu);
    impl_->tasks.push_back(std::move(task));
  }
  impl_->work.Notify(1);
}

void TaskPool::ParallelFor(size_t n, absl::FunctionRef<void(size_t)> body) {
  ParallelForRange(n, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) body(i);
  });
}

void TaskPool::ParallelForRange(size_t n, size_t grain, absl::FunctionRef<void(size_t, size_t)> body) {
  grain = std::max<size_t>(grain, 1);
  if (n == 0) return;
  if (impl_->workers.empty() || n <= grain) {
    for (size_t begin = 0; begin < n; begin += grain) body(begin, std::min(begin + grain, n));
    return;
  }
  Loop loop(n, grain, body);
  impl_->RunLoop(loop);
}

void TaskPool::WaitIdle() {
  const auto idle = [this]()
                        ABSL_SHARED_LOCKS_REQUIRED(impl_->mu) { return impl_->tasks.empty() && impl_->running == 0; };
  absl::MutexLock lock(&impl_->mu);
  impl_->mu.Await(absl::Condition(&idle));
}

size_t TaskPool::QueueDepth() const {
  absl::MutexLock lock(&impl_->mu);
  return impl_->tasks.size();
}

int AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  double cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                             : static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN));
  for (const CgroupDirectory& directory : CgroupDirectories("cpu")) {
    double quota = 0;
    double period = 0;
    if (directory.v2) {
      const absl::StatusOr<std::string> text = ReadFile(directory.path + "/cpu.max", 256);
      if (!text.ok()) continue;
      const std::vector<absl::string_view> words = absl::StrSplit(*text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
      if (words.size() != 2 || !absl::SimpleAtod(words[0], &quota) || !absl::SimpleAtod(words[1], &period)) continue;
    } else {
      const absl::StatusOr<std::string> quota_text = ReadFile(directory.path + "/cpu.cfs_quota_us", 256);
      const absl::StatusOr<std::string> period_text = ReadFile(directory.path + "/cpu.cfs_period_us", 256);
      if (!quota_text.ok() || !period_text.ok() || !absl::SimpleAtod(*quota_text, &quota) ||
          !absl::SimpleAtod(*period_text, &period)) {
        continue;
      }
    }
    if (quota > 0 && period > 0) cpus = std::min(cpus, std::ceil(quota / period));
  }
  return std::max(1, static_cast<int>(cpus));
}

}  // namespace alcove
