#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/message.h>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "services/gateway/flows/flow_env.h"
#include "services/gateway/flows/keys.h"
#include "services/gateway/flows/suite_status.h"
#include "services/gateway/rest/method_table.h"

namespace alcove::gateway {

using MessagePtr = std::unique_ptr<google::protobuf::Message>;

// Runs unary methods, whichever door they came through: the gateway's own by the flows, all others by the process that
// serves them, with what the gateway adds on the way (a collection's model filled in, cached searches forgotten after a
// write). One per loop.
class Dispatcher {
 public:
  struct Parts {
    FlowEnv* flows;
    KeyEnv* keys;
    ProcessProbe* probe;
    std::vector<KnownProcess> processes;
    std::string address;  // of this gateway
    std::string version;
    absl::Time started_at;
  };
  explicit Dispatcher(Parts parts);

  // Whether a gRPC call may go to its process without passing here.
  static bool MayBypass(const MethodInfo& info);

  // Access has been checked. UNIMPLEMENTED for planned and internal methods.
  asio::awaitable<absl::StatusOr<MessagePtr>> Call(const RequestContext& ctx, const MethodInfo& info,
                                                   MessagePtr request);
  // The same on serialized messages; INVALID_ARGUMENT when the request cannot be parsed.
  asio::awaitable<absl::StatusOr<std::string>> CallBytes(const RequestContext& ctx, const MethodInfo& info,
                                                         std::string request);

 private:
  using Local = asio::awaitable<absl::StatusOr<MessagePtr>> (*)(Dispatcher&, const RequestContext&,
                                                                const google::protobuf::Message&);
  template <typename Env, typename Request, typename Reply,
            asio::awaitable<absl::StatusOr<Reply>> (*Flow)(Env&, const RequestContext&, const Request&)>
  static asio::awaitable<absl::StatusOr<MessagePtr>> Run(Dispatcher& self, const RequestContext& ctx,
                                                         const google::protobuf::Message& request);
  static asio::awaitable<absl::StatusOr<MessagePtr>> Status(Dispatcher& self, const RequestContext& ctx,
                                                            const google::protobuf::Message& request);
  void AddLocalMethods();

  asio::awaitable<absl::StatusOr<std::string>> Forward(const RequestContext& ctx, const MethodInfo& info,
                                                       std::string request);

  Parts parts_;
  absl::flat_hash_map<std::string, Local> local_;
};

// The value of text field `number` of a serialized message, without parsing the rest; the last one if there are
// several.
std::string PeekTextField(std::string_view message, int number);

}  // namespace alcove::gateway
