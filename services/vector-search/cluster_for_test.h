// Real alcove-vector-search processes on one store, for tests.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <grpcpp/channel.h>

#include "alcove/vector/v1/backup.grpc.pb.h"
#include "alcove/vector/v1/shard.grpc.pb.h"
#include "alcove/vector/v1/vector.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/context.h"
#include "libs/rpc/status.h"
#include "libs/testing/child_process.h"
#include "libs/testing/paths.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace alcove::vector_search {

namespace pb = ::alcove::vector::v1;

struct ClusterOptions {
  std::vector<std::vector<int>> shards = {{0}, {1}};  // of each process
  int shard_count = 2;                                // of a new collection
  std::string store_url;                              // empty: a SQLite file of the cluster's own
  std::vector<std::string> flags;                     // for every process
};

class TestCluster {
 public:
  // Starts all; fails the test when they do not come up.
  explicit TestCluster(ClusterOptions options = {}) : options_(std::move(options)) {
    const size_t n = options_.shards.size();
    processes_.resize(n);
    for (size_t i = 0; i < n; ++i) addresses_.push_back(absl::StrCat("127.0.0.1:", testing::FreePort()));
    for (size_t i = 0; i < n; ++i) {
      EXPECT_THAT(Launch(i), testing::IsOk());
      rpc::ChannelOptions channel;
      channel.retry = false;  // a test counts what each call answered
      channel.max_reconnect_backoff = absl::Milliseconds(100);
      channels_.push_back(rpc::MakeChannel(addresses_[i], channel).value());
      stubs_.push_back(pb::VectorService::NewStub(channels_[i]));
      backup_stubs_.push_back(pb::BackupService::NewStub(channels_[i]));
    }
    for (size_t i = 0; i < n; ++i) EXPECT_THAT(AwaitReady(i), testing::IsOk());
  }

  // Starts a process; it need not serve yet when this returns, nor, without `listening`, have loaded its shards.
  absl::Status Launch(size_t i, bool listening = true) {
    testing::ChildOptions child;
    child.binary = absl::StrCat(testing::BuildDir(), "/bin/alcove-vector-search");
    std::string nodes;
    for (size_t n = 0; n < options_.shards.size(); ++n) {
      absl::StrAppend(&nodes, nodes.empty() ? "" : ", ", "{address: '", addresses_[n], "', shards: [",
                      absl::StrJoin(options_.shards[n], ", "), "]}");
    }
    child.args = {
        absl::StrCat("--store.url=",
                     options_.store_url.empty() ? absl::StrCat("sqlite:", dir_.File("alcove.db")) : options_.store_url),
        absl::StrCat("--data_dir=", dir_.File(absl::StrCat("node", i))),
        absl::StrCat("--server.listen=", addresses_[i]),
        "--server.admin_listen=127.0.0.1:0",
        absl::StrCat("--cluster.shard_count=", options_.shard_count),
        absl::StrCat("--cluster.nodes=[", nodes, "]"),
    };
    child.args.insert(child.args.end(), options_.flags.begin(), options_.flags.end());
    ALCOVE_ASSIGN_OR_RETURN(processes_[i], testing::ChildProcess::Start(std::move(child)));
    return listening ? processes_[i]->WaitForLine("listening").status() : absl::OkStatus();
  }
  // Until the process says that it serves. Asks it: a channel nobody called through since does not know that the
  // process it was connected to has gone.
  absl::Status AwaitReady(size_t i) {
    const auto health = grpc::health::v1::Health::NewStub(channels_[i]);
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (absl::Now() < deadline) {
      grpc::ClientContext client;
      client.set_wait_for_ready(true);
      client.set_deadline(absl::ToChronoTime(deadline));
      grpc::health::v1::HealthCheckResponse response;
      if (health->Check(&client, {}, &response).ok() &&
          response.status() == grpc::health::v1::HealthCheckResponse::SERVING) {
        return absl::OkStatus();
      }
    }
    return absl::DeadlineExceededError(absl::StrCat("process ", i, " does not serve:\n", processes_[i]->Output()));
  }
  absl::Status Start(size_t i) {
    ALCOVE_RETURN_IF_ERROR(Launch(i));
    return AwaitReady(i);
  }
  void Kill(size_t i) { processes_[i]->Kill(); }
  size_t size() const { return processes_.size(); }
  testing::ChildProcess& process(size_t i) { return *processes_[i]; }
  pb::VectorService::Stub& stub(size_t i) { return *stubs_[i]; }
  const std::string& address(size_t i) const { return addresses_[i]; }
  const std::string data_dir(size_t i) const { return dir_.File(absl::StrCat("node", i)); }

  // One call to process i as tenant "t".
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(size_t i, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response, absl::Duration timeout = absl::Seconds(20),
                    bool wait_for_ready = false) {
    grpc::ClientContext client;
    client.set_wait_for_ready(wait_for_ready);
    const RequestContext ctx({.tenant = "t", .request_id = "test"}, absl::Now() + timeout);
    const auto registration = rpc::ContextToClient(ctx, client);
    if constexpr (std::is_same_v<Stub, pb::BackupService::Stub>) {
      return rpc::FromGrpc((backup_stubs_[i].get()->*method)(&client, request, response));
    } else {
      return rpc::FromGrpc((stubs_[i].get()->*method)(&client, request, response));
    }
  }

  // Creates "docs" with `dimension` and a keyword field "tag" and an integer field "n".
  absl::Status CreateDocs(uint32_t dimension) {
    pb::CreateCollectionRequest request;
    pb::Collection& docs = *request.mutable_collection();
    docs.set_name("docs");
    (*docs.mutable_vectors())[""].set_dimension(dimension);
    (*docs.mutable_vectors())[""].set_metric(pb::METRIC_L2);
    (*docs.mutable_schema())["tag"] = pb::FIELD_TYPE_KEYWORD;
    (*docs.mutable_schema())["n"] = pb::FIELD_TYPE_INTEGER;
    pb::CreateCollectionResponse response;
    return Call(0, &pb::VectorService::Stub::CreateCollection, request, &response, absl::Seconds(20), true);
  }

 private:
  const testing::TempDir dir_;
  const ClusterOptions options_;
  std::vector<std::string> addresses_;
  std::vector<std::unique_ptr<testing::ChildProcess>> processes_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<pb::VectorService::Stub>> stubs_;
  std::vector<std::unique_ptr<pb::BackupService::Stub>> backup_stubs_;
};

// Two processes with a shard each.
class TwoProcesses : public TestCluster {
 public:
  explicit TwoProcesses(std::vector<std::string> flags = {}, std::string store_url = "")
      : TestCluster({.store_url = std::move(store_url), .flags = std::move(flags)}) {}
};

}  // namespace alcove::vector_search
