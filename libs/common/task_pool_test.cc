#include "libs/common/task_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/cpu_features.h"

namespace alcove {
namespace {

class TaskPoolOfSize : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, TaskPoolOfSize, ::testing::Values(0, 1, 3));

TEST_P(TaskPoolOfSize, CallsEachIndexOnce) {
  TaskPool pool(GetParam());
  for (const size_t n : {0u, 1u, 2u, 7u, 1000u}) {
    std::vector<int> calls(n, 0);
    pool.ParallelFor(n, [&](size_t i) { ++calls[i]; });
    EXPECT_EQ(std::accumulate(calls.begin(), calls.end(), 0), static_cast<int>(n));
    EXPECT_TRUE(std::all_of(calls.begin(), calls.end(), [](int c) { return c == 1; }));
  }
}

TEST_P(TaskPoolOfSize, CoversARangeInPieces) {
  TaskPool pool(GetParam());
  std::vector<std::atomic<int>> calls(1003);
  pool.ParallelForRange(calls.size(), 64, [&](size_t begin, size_t end) {
    EXPECT_LE(end - begin, 64u);
    for (size_t i = begin; i < end; ++i) ++calls[i];
  });
  for (const auto& c : calls) EXPECT_EQ(c.load(), 1);
}

TEST_P(TaskPoolOfSize, RunsEverySubmittedTaskBeforeItEnds) {
  std::atomic<int> done{0};
  {
    TaskPool pool(GetParam());
    for (int i = 0; i < 500; ++i) {
      pool.Submit([&] {
        pool.Submit([&] { ++done; });
        ++done;
      });
    }
    pool.WaitIdle();
    EXPECT_EQ(done, 1000);
    EXPECT_EQ(pool.QueueDepth(), 0u);
    for (int i = 0; i < 100; ++i) pool.Submit([&] { ++done; });
  }
  EXPECT_EQ(done, 1100);
}

TEST_P(TaskPoolOfSize, NestsLoops) {
  TaskPool pool(GetParam());
  std::atomic<int> calls{0};
  pool.ParallelFor(8, [&](size_t) { pool.ParallelFor(8, [&](size_t) { ++calls; }); });
  EXPECT_EQ(calls, 64);
}

TEST_P(TaskPoolOfSize, ServesSeveralCallersAtOnce) {
  TaskPool pool(GetParam());
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 3; ++t) {
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        std::vector<size_t> out(50);
        pool.ParallelFor(out.size(), [&](size_t i) { out[i] = i + 1; });
        if (std::accumulate(out.begin(), out.end(), size_t{0}) != 50 * 51 / 2) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(TaskPool, UsesItsWorkers) {
  TaskPool pool(2);
  EXPECT_EQ(pool.threads(), 2);
  // Three calls that each wait for the other two can end only on three threads.
  std::atomic<int> arrived{0};
  pool.ParallelFor(3, [&](size_t) {
    ++arrived;
    while (arrived < 3) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 3);
}

TEST(TaskPool, WakesWorkersThatSleep) {
  TaskPool pool(1);
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> ran{false};
    pool.Submit([&] { ran = true; });
    pool.WaitIdle();
    EXPECT_TRUE(ran);
    // Longer than the spin, so that the worker is asleep the next time.
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

TEST(AvailableCpus, IsAtLeastOne) { EXPECT_GE(AvailableCpus(), 1); }

TEST(CpuFeatures, CanBeLoweredButNotRaised) {
  const CpuFeatures all = DetectCpuFeatures("");
  EXPECT_EQ(DetectCpuFeatures("scalar").Name(), "scalar");
  EXPECT_FALSE(DetectCpuFeatures("avx2").avx512());
  EXPECT_EQ(DetectCpuFeatures("avx2").avx2, all.avx2);
  EXPECT_EQ(DetectCpuFeatures("avx512").avx512(), all.avx512());
  EXPECT_EQ(DetectCpuFeatures("nonsense").Name(), all.Name());
  EXPECT_NE(HardwareDescription().find("core"), std::string::npos);
}

}  // namespace
}  // namespace alcove
