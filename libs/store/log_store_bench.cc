// How fast acknowledged (fsynced) appends go: the bulk path, and many small writers sharing commits.
//
//   log_store_bench                 SQLite in $TMPDIR (put that on the disk to be measured)
//   ALCOVE_BENCH_STORE=postgresql://… log_store_bench

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/store/collection_store.h"
#include "libs/store/log_store.h"
#include "libs/store/store.h"
#include "libs/testing/temp_dir.h"

namespace alcove::store {
namespace {

constexpr int kDimension = 384;
constexpr size_t kVectorBytes = kDimension * sizeof(float);
constexpr int kShards = 2;

struct Bench {
  testing::TempDir folder{"alcove-bench"};
  std::unique_ptr<Store> store;
  CollectionId id = 0;

  explicit Bench(Durability durability) {
    StoreOptions options;
    options.durability = durability;
    const char* url = std::getenv("ALCOVE_BENCH_STORE");
    auto opened = Open(url != nullptr ? url : absl::StrCat("sqlite:", folder.File("alcove.db")), options);
    if (!opened.ok()) {
      std::fprintf(stderr, "%s\n", opened.status().ToString().c_str());
      std::exit(1);
    }
    store = *std::move(opened);
    id = store->collections().Create("bench", absl::StrCat("c", ::getpid(), "-", Serial()), "", kShards)->id;
  }
  static int Serial() {
    static int serial = 0;
    return ++serial;
  }
};

// `vectors` records with random-looking data, split over the shards.
struct Batch {
  std::string data;
  std::vector<std::string> keys;
  AppendRequest request;

  Batch(CollectionId id, int vectors) : data(kVectorBytes * vectors, '\0') {
    uint32_t x = 1;
    for (char& c : data) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
    request.collection_id = id;
    request.epoch = 1;
    for (int s = 0; s < kShards && s < vectors; ++s) request.shards.push_back({s, {}});
    for (int i = 0; i < vectors; ++i) keys.push_back(absl::StrCat("point-", i));
    for (int i = 0; i < vectors; ++i) {
      request.shards[i % kShards].records.push_back(
          {RecordKind::kPut, keys[i], absl::string_view(data).substr(i * kVectorBytes, kVectorBytes)});
    }
  }
};

void Report(benchmark::State& state, int vectors) {
  state.counters["vectors/s"] = benchmark::Counter(vectors * state.iterations(), benchmark::Counter::kIsRate);
  state.counters["batches/s"] = benchmark::Counter(state.iterations(), benchmark::Counter::kIsRate);
}

std::unique_ptr<Bench> bench;

void BulkAppend(benchmark::State& state) {
  const int vectors = static_cast<int>(state.range(0));
  if (state.thread_index() == 0) bench = std::make_unique<Bench>(static_cast<Durability>(state.range(1)));
  std::unique_ptr<Batch> batch;
  for (auto _ : state) {
    if (batch == nullptr) batch = std::make_unique<Batch>(bench->id, vectors);
    if (!bench->store->log().Append(batch->request).ok()) state.SkipWithError("append failed");
  }
  Report(state, vectors);
  if (state.thread_index() == 0) {
    // Every acknowledged record must be there.
    Sequence stored = 0;
    for (const ShardHead& head : *bench->store->log().Heads(bench->id)) stored += head.head_sequence;
    if (stored < static_cast<Sequence>(state.iterations()) * vectors) state.SkipWithError("records are missing");
    bench.reset();
  }
}
BENCHMARK(BulkAppend)
    ->ArgNames({"vectors", "durability"})
    ->Args({1000, 0})
    ->Args({5000, 0})
    ->Args({1000, 1})
    ->Threads(1)
    ->Threads(2)
    ->UseRealTime()
    ->MinTime(3);
BENCHMARK(BulkAppend)
    ->Name("SmallAppend")
    ->ArgNames({"vectors", "durability"})
    ->Args({1, 0})
    ->Threads(1)
    ->Threads(8)
    ->Threads(64)
    ->UseRealTime()
    ->MinTime(2);

void ReadLog(benchmark::State& state) {
  Bench own(Durability::kNormal);
  const Batch batch(own.id, 1000);
  for (int i = 0; i < 50; ++i) {
    if (!own.store->log().Append(batch.request).ok()) state.SkipWithError("append failed");
  }
  int64_t records = 0;
  for (auto _ : state) {
    ReadPosition position;
    bool at_end = false;
    while (!at_end) {
      absl::StatusOr<LogPage> page = own.store->log().ReadFrom({own.id, 1, 0}, position, 8 << 20);
      if (!page.ok()) {
        state.SkipWithError("read failed");
        return;
      }
      records += static_cast<int64_t>(page->records().size());
      position.after_sequence = page->records().back().sequence;
      at_end = page->at_end();
    }
  }
  state.counters["vectors/s"] = benchmark::Counter(records, benchmark::Counter::kIsRate);
}
BENCHMARK(ReadLog)->UseRealTime()->MinTime(1);

}  // namespace
}  // namespace alcove::store

BENCHMARK_MAIN();
