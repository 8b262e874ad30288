#include "services/vector-search/crash_for_test.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/numbers.h>
#include <absl/synchronization/mutex.h>

#include "services/vector-search/cluster_for_test.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;

constexpr int kWriters = 3;
constexpr int kIds = 60;  // of each writer
constexpr uint32_t kDim = 8;
constexpr int64_t kDeleteEvery = 5;  // every fifth version of an id is a delete

// What is known of one id: its stored version lies between the last acknowledged and the last attempted one.
struct Known {
  int64_t acknowledged = 0;
  int64_t attempted = 0;
};

// Different for every id and version, so that a search for it proves which version is indexed.
std::vector<float> VectorOf(const std::string& id, int64_t version) {
  std::mt19937 rng(static_cast<uint32_t>(std::hash<std::string>()(id) * 31 + static_cast<size_t>(version)));
  std::normal_distribution<float> normal;
  std::vector<float> v(kDim);
  for (float& x : v) x = normal(rng);
  return v;
}

class Writers {
 public:
  Writers(TwoProcesses& cluster, unsigned seed) : cluster_(cluster) {
    for (int w = 0; w < kWriters; ++w)
      threads_.emplace_back([this, w, seed] { Write(w, seed + static_cast<unsigned>(w)); });
  }
  ~Writers() { Stop(); }
  void Stop() {
    {
      absl::MutexLock lock(&mutex_);
      stop_ = true;
    }
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  // Blocks until so many more calls have been acknowledged.
  void AwaitProgress(int64_t calls) {
    absl::MutexLock lock(&mutex_);
    const int64_t goal = acknowledged_calls_ + calls;
    const auto there = [&] {
      mutex_.AssertReaderHeld();
      return acknowledged_calls_ >= goal;
    };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(60)));
  }
  // Returns when every writer stands between two calls, so that what is known stands still.
  void Pause() {
    absl::MutexLock lock(&mutex_);
    paused_ = true;
    const auto idle = [&] {
      mutex_.AssertReaderHeld();
      return writing_ == 0;
    };
    mutex_.Await(absl::Condition(&idle));
  }
  void Resume() {
    absl::MutexLock lock(&mutex_);
    paused_ = false;
  }
  std::map<std::string, Known> known() {
    absl::MutexLock lock(&mutex_);
    return known_;
  }
  // The newest acknowledged sequence of each shard.
  std::string Sequence() {
    absl::MutexLock lock(&mutex_);
    std::string out;
    for (const auto& [shard, sequence] : sequences_)
      absl::StrAppend(&out, out.empty() ? "" : ",", shard, ":", sequence);
    return out;
  }

 private:
  void Acknowledge(const std::vector<std::string>& ids, const std::map<std::string, int64_t>& versions,
                   const std::string& token) {
    absl::MutexLock lock(&mutex_);
    for (const std::string& id : ids) known_[id].acknowledged = versions.at(id);
    ++acknowledged_calls_;
    for (size_t at = 0; at < token.size();) {
      const size_t colon = token.find(':', at), comma = std::min(token.find(',', at), token.size());
      int64_t& last = sequences_[std::stoi(token.substr(at, colon - at))];
      last = std::max<int64_t>(last, std::stoll(token.substr(colon + 1, comma - colon - 1)));
      at = comma + 1;
    }
  }

  void Write(int writer, unsigned seed) {
    std::mt19937 rng(seed);
    std::map<std::string, int64_t> versions;
    while (true) {
      const auto may_go_on = [&] {
        mutex_.AssertReaderHeld();
        return stop_ || !paused_;
      };
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(&may_go_on));
        if (stop_) return;
        ++writing_;
      }
      const auto finished = absl::MakeCleanup([&] {
        absl::MutexLock lock(&mutex_);
        --writing_;
      });
      // A batch is either upserts or deletes; an id waits until its next version is of that kind.
      const bool deletes = rng() % kDeleteEvery == 0;
      std::vector<std::string> ids;
      for (int tries = 0; tries < 20 && ids.size() < 8; ++tries) {
        const std::string id = absl::StrCat("w", writer, "-", rng() % kIds);
        if (((versions[id] + 1) % kDeleteEvery == 0) != deletes) continue;
        if (std::find(ids.begin(), ids.end(), id) != ids.end()) continue;
        ids.push_back(id);
      }
      if (ids.empty()) continue;
      {
        absl::MutexLock lock(&mutex_);
        for (const std::string& id : ids) known_[id].attempted = ++versions[id];
      }
      const size_t process = rng() % 2;
      absl::Status status;
      std::string token;
      if (deletes) {
        pb::DeletePointsRequest request;
        request.set_collection("docs");
        for (const std::string& id : ids) request.add_ids(id);
        pb::DeletePointsResponse response;
        status = cluster_.Call(process, &pb::VectorService::Stub::DeletePoints, request, &response);
        token = response.sequence();
      } else {
        pb::UpsertPointsRequest request;
        request.set_collection("docs");
        request.set_wait(rng() % 8 == 0);
        for (const std::string& id : ids) {
          pb::Point* point = request.add_points();
          point->set_id(id);
          for (const float x : VectorOf(id, versions[id])) point->add_vector(x);
          (*point->mutable_payload()->mutable_fields())["n"].set_number_value(static_cast<double>(versions[id]));
        }
        pb::UpsertPointsResponse response;
        status = cluster_.Call(process, &pb::VectorService::Stub::UpsertPoints, request, &response);
        token = response.sequence();
      }
      if (status.ok()) Acknowledge(ids, versions, token);
      // Otherwise the write may or may not have happened; the next version follows either way.
    }
  }

 private:
  TwoProcesses& cluster_;
  absl::Mutex mutex_;
  bool stop_ = false;
  bool paused_ = false;
  int writing_ = 0;
  int64_t acknowledged_calls_ = 0;
  std::map<std::string, Known> known_;
  std::map<int, int64_t> sequences_;
  std::vector<std::thread> threads_;
};

// Every acknowledged write is there, as a reader who waits for it sees it.
void Check(TwoProcesses& cluster, Writers& writers, size_t process) {
  const std::map<std::string, Known> known = writers.known();
  pb::GetPointsRequest request;
  request.set_collection("docs");
  request.set_min_sequence(writers.Sequence());
  for (const auto& [id, unused] : known) request.add_ids(id);
  pb::GetPointsResponse response;
  ASSERT_THAT(cluster.Call(process, &pb::VectorService::Stub::GetPoints, request, &response), IsOk());
  std::map<std::string, int64_t> stored;
  for (const pb::Point& point : response.points()) {
    stored[point.id()] = static_cast<int64_t>(point.payload().fields().at("n").number_value());
  }
  int searched = 0;
  for (const auto& [id, versions] : known) {
    const auto at = stored.find(id);
    if (at == stored.end()) {
      // Never acknowledged, or a delete among the versions it can have.
      bool may_be_absent = versions.acknowledged == 0;
      for (int64_t v = versions.acknowledged; v <= versions.attempted; ++v)
        may_be_absent |= v > 0 && v % kDeleteEvery == 0;
      EXPECT_TRUE(may_be_absent) << id << " acknowledged at version " << versions.acknowledged << " is missing";
      continue;
    }
    EXPECT_GE(at->second, versions.acknowledged) << id;
    EXPECT_LE(at->second, versions.attempted) << id;
    EXPECT_NE(at->second % kDeleteEvery, 0) << id;
    if (++searched % 10 != 0) continue;
    pb::SearchPointsRequest search;
    search.set_collection("docs");
    for (const float x : VectorOf(id, at->second)) search.add_vector(x);
    search.set_limit(1);
    search.mutable_params()->set_exact(true);
    pb::SearchPointsResponse found;
    ASSERT_THAT(cluster.Call(process, &pb::VectorService::Stub::SearchPoints, search, &found), IsOk());
    ASSERT_EQ(found.points_size(), 1);
    EXPECT_EQ(found.points(0).id(), id);
    EXPECT_NEAR(found.points(0).score(), 0, 1e-4);
  }
}

}  // namespace

int CrashRounds(int fallback) {
  const char* text = std::getenv("ALCOVE_CRASH_ROUNDS");
  int rounds = 0;
  return text != nullptr && absl::SimpleAtoi(text, &rounds) && rounds > 0 ? rounds : fallback;
}

void RunCrashRounds(const CrashOptions& options) {
  // Small numbers make snapshots and compaction happen in the middle of everything.
  // Of the two durabilities, the lesser one withstands the death of a process of ours, not of the database's server.
  const char* durability = options.also ? "full" : "normal";
  TwoProcesses cluster({"--snapshot.records=40", absl::StrCat("--store.durability=", durability)}, options.store_url);
  ASSERT_THAT(cluster.CreateDocs(kDim), IsOk());
  Writers writers(cluster, options.seed);
  std::mt19937 rng(options.seed);
  for (int round = 0; round < options.rounds; ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    writers.AwaitProgress(5 + static_cast<int64_t>(rng() % 30));
    if (options.also && rng() % 8 == 0) options.also();
    const size_t victim = rng() % 2;
    const bool both = rng() % 4 == 0;
    cluster.Kill(victim);
    if (both) cluster.Kill(1 - victim);
    if (rng() % 5 == 0) {
      // Once more, while it loads and replays.
      ASSERT_THAT(cluster.Launch(victim, false), IsOk());
      absl::SleepFor(absl::Milliseconds(rng() % 60));
      cluster.Kill(victim);
    }
    ASSERT_THAT(cluster.Launch(victim), IsOk());
    if (both) {
      ASSERT_THAT(cluster.Launch(1 - victim), IsOk());
    }
    ASSERT_THAT(cluster.AwaitReady(0), IsOk());
    ASSERT_THAT(cluster.AwaitReady(1), IsOk());
    writers.Pause();
    Check(cluster, writers, rng() % 2);
    writers.Resume();
    if (::testing::Test::HasFailure()) return;
    if ((round + 1) % 100 == 0) {
      std::printf("%d rounds\n", round + 1);
      std::fflush(stdout);
    }
  }
  writers.Stop();
  Check(cluster, writers, 0);
}

}  // namespace alcove::vector_search
