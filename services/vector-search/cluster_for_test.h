// Two real alcove-vector-search processes on one SQLite file, for tests.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <grpcpp/channel.h>

#include "alcove/vector/v1/shard.grpc.pb.h"
#include "alcove/vector/v1/vector.grpc.pb.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/context.h"
#include "libs/rpc/status.h"
#include "libs/testing/child_process.h"
#include "libs/testing/paths.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace alcove::vector_search {

namespace pb = ::alcove::vector::v1;

class TwoProcesses {
 public:
  // Starts both; aborts the test when they do not come up.
  explicit TwoProcesses(std::vector<std::string> flags = {}) : flags_(std::move(flags)) {
    for (size_t i = 0; i < 2; ++i) addresses_[i] = absl::StrCat("127.0.0.1:", testing::FreePort());
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_THAT(Start(i), testing::IsOk());
      rpc::ChannelOptions options;
      options.retry = false;  // a test counts what each call answered
      stubs_[i] = pb::VectorService::NewStub(rpc::MakeChannel(addresses_[i], options).value());
    }
  }

  absl::Status Start(size_t i) {
    testing::ChildOptions options;
    options.binary = absl::StrCat(testing::BuildDir(), "/bin/alcove-vector-search");
    options.args = {
        absl::StrCat("--store.url=sqlite:", dir_.File("alcove.db")),
        absl::StrCat("--data_dir=", dir_.File(absl::StrCat("node", i))),
        absl::StrCat("--server.listen=", addresses_[i]),
        "--server.admin_listen=127.0.0.1:0",
        absl::StrCat("--node.shards=", i),
        "--cluster.shard_count=2",
        absl::StrCat("--cluster.nodes=[{address: '", addresses_[0], "', shards: [0]}, {address: '", addresses_[1],
                     "', shards: [1]}]"),
    };
    options.args.insert(options.args.end(), flags_.begin(), flags_.end());
    ALCOVE_ASSIGN_OR_RETURN(processes_[i], testing::ChildProcess::Start(std::move(options)));
    return processes_[i]->WaitForLine("listening").status();
  }
  void Kill(size_t i) { processes_[i]->Kill(); }
  testing::ChildProcess& process(size_t i) { return *processes_[i]; }
  pb::VectorService::Stub& stub(size_t i) { return *stubs_[i]; }
  const std::string& address(size_t i) const { return addresses_[i]; }

  // One call to process i as tenant "t".
  template <typename Request, typename Response>
  absl::Status Call(size_t i,
                    grpc::Status (pb::VectorService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response, absl::Duration timeout = absl::Seconds(20),
                    bool wait_for_ready = false) {
    grpc::ClientContext client;
    client.set_wait_for_ready(wait_for_ready);
    const RequestContext ctx({.tenant = "t", .request_id = "test"}, absl::Now() + timeout);
    const auto registration = rpc::ContextToClient(ctx, client);
    return rpc::FromGrpc((*stubs_[i].*method)(&client, request, response));
  }

  // The same again and again while a process still believes that the other one is away, for up to 30 s.
  template <typename Request, typename Response>
  absl::Status CallUntilConnected(size_t i,
                                  grpc::Status (pb::VectorService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                  Response*),
                                  const Request& request, Response* response) {
    const absl::Time give_up = absl::Now() + absl::Seconds(30);
    while (true) {
      const absl::Status status = Call(i, method, request, response, absl::Seconds(30), true);
      if (!absl::IsUnavailable(status) || absl::Now() > give_up) return status;
      absl::SleepFor(absl::Milliseconds(20));
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
  const std::vector<std::string> flags_;
  std::array<std::string, 2> addresses_;
  std::array<std::unique_ptr<testing::ChildProcess>, 2> processes_;
  std::array<std::unique_ptr<pb::VectorService::Stub>, 2> stubs_;
};

}  // namespace alcove::vector_search
