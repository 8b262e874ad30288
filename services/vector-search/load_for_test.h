// Points on a line, and threads that search and write them without a pause, for tests of several processes.
#pragma once

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>

#include "libs/common/status.h"
#include "services/vector-search/cluster_for_test.h"

namespace alcove::vector_search {

// Points p0 … on a line, even ones tagged "even".
inline absl::StatusOr<std::string> Upsert(TestCluster& cluster, size_t process, int first, int count, bool wait) {
  pb::UpsertPointsRequest request;
  request.set_collection("docs");
  request.set_wait(wait);
  for (int i = first; i < first + count; ++i) {
    pb::Point* point = request.add_points();
    point->set_id(absl::StrCat("p", i));
    point->add_vector(static_cast<float>(i));
    point->add_vector(1);
    (*point->mutable_payload()->mutable_fields())["tag"].set_string_value(i % 2 == 0 ? "even" : "odd");
    (*point->mutable_payload()->mutable_fields())["n"].set_number_value(i);
  }
  pb::UpsertPointsResponse response;
  ALCOVE_RETURN_IF_ERROR(cluster.Call(process, &pb::VectorService::Stub::UpsertPoints, request, &response));
  return response.sequence();
}

inline pb::SearchPointsRequest Near(float x) {
  pb::SearchPointsRequest request;
  request.set_collection("docs");
  request.add_vector(x);
  request.add_vector(1);
  request.set_limit(3);
  return request;
}

inline std::string Ids(const pb::SearchPointsResponse& response) {
  std::string out;
  for (const pb::ScoredPoint& point : response.points()) absl::StrAppend(&out, out.empty() ? "" : " ", point.id());
  return out;
}

// Searches without a pause on several threads until stopped; counts what went wrong.
class Searchers {
 public:
  // Asks the given processes for points p0 … of which there are so many.
  Searchers(TestCluster& cluster, std::vector<size_t> ask, int threads, int points) : cluster_(cluster) {
    for (int t = 0; t < threads; ++t) {
      threads_.emplace_back([this, t, ask, points] {
        std::mt19937 rng(static_cast<unsigned>(t));
        while (!stop_) {
          const int wanted = static_cast<int>(rng() % static_cast<unsigned>(points));
          pb::SearchPointsRequest request = Near(static_cast<float>(wanted));
          request.mutable_params()->set_exact(true);  // there is one right answer
          pb::SearchPointsResponse found;
          const absl::Status status =
              cluster_.Call(ask[rng() % ask.size()], &pb::VectorService::Stub::SearchPoints, request, &found);
          ++done_;
          if (!status.ok()) {
            absl::MutexLock lock(&mutex_);
            errors_.push_back(status);
          } else if (found.points_size() == 0 || found.points(0).id() != absl::StrCat("p", wanted) ||
                     found.shards().answered() != found.shards().asked()) {
            absl::MutexLock lock(&mutex_);
            errors_.push_back(absl::DataLossError(absl::StrCat("p", wanted, ": ", found.ShortDebugString())));
          }
        }
      });
    }
  }
  ~Searchers() { Stop(); }
  std::vector<absl::Status> Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
    absl::MutexLock lock(&mutex_);
    return errors_;
  }
  int64_t done() const { return done_; }
  void AwaitMore(int64_t searches) {
    const int64_t goal = done_ + searches;
    const absl::Time give_up = absl::Now() + absl::Seconds(60);
    while (done_ < goal && absl::Now() < give_up) absl::SleepFor(absl::Milliseconds(2));
  }

 private:
  TestCluster& cluster_;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> done_{0};
  absl::Mutex mutex_;
  std::vector<absl::Status> errors_;
  std::vector<std::thread> threads_;
};

// Writes points "w<thread>-<n>" one call after the other until stopped; knows which were acknowledged.
class PointWriters {
 public:
  PointWriters(TestCluster& cluster, std::vector<size_t> ask, int threads) : cluster_(cluster) {
    for (int t = 0; t < threads; ++t) {
      threads_.emplace_back([this, t, ask] {
        std::mt19937 rng(static_cast<unsigned>(t));
        for (int n = 0; !stop_; ++n) {
          pb::UpsertPointsRequest request;
          request.set_collection("docs");
          pb::Point* point = request.add_points();
          point->set_id(absl::StrCat("w", t, "-", n));
          point->add_vector(static_cast<float>(100000 + n));
          point->add_vector(static_cast<float>(t + 2));
          pb::UpsertPointsResponse response;
          const absl::Status status =
              cluster_.Call(ask[rng() % ask.size()], &pb::VectorService::Stub::UpsertPoints, request, &response);
          absl::MutexLock lock(&mutex_);
          if (status.ok()) {
            acknowledged_.push_back(point->id());
            last_ = response.sequence();
          } else {
            errors_.push_back(status);
          }
        }
      });
    }
  }
  ~PointWriters() { Stop(); }
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  std::vector<std::string> acknowledged() {
    absl::MutexLock lock(&mutex_);
    return acknowledged_;
  }
  std::vector<absl::Status> errors() {
    absl::MutexLock lock(&mutex_);
    return errors_;
  }

 private:
  TestCluster& cluster_;
  std::atomic<bool> stop_{false};
  absl::Mutex mutex_;
  std::vector<std::string> acknowledged_;
  std::vector<absl::Status> errors_;
  std::string last_;
  std::vector<std::thread> threads_;
};

// Every id of the collection, as a scroll through process i gives them: with what is found twice.
inline absl::StatusOr<std::vector<std::string>> AllIds(TestCluster& cluster, size_t i) {
  std::vector<std::string> ids;
  pb::ScrollPointsRequest request;
  request.set_collection("docs");
  request.set_page_size(1000);
  request.mutable_payload()->set_none(true);
  do {
    pb::ScrollPointsResponse page;
    ALCOVE_RETURN_IF_ERROR(cluster.Call(i, &pb::VectorService::Stub::ScrollPoints, request, &page));
    for (const pb::Point& point : page.points()) ids.push_back(point.id());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return ids;
}

}  // namespace alcove::vector_search
