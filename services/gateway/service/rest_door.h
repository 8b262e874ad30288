#pragma once

#include <memory>
#include <optional>
#include <string>

#include "libs/net/exchange.h"
#include "services/gateway/access/authenticator.h"
#include "services/gateway/service/dispatcher.h"
#include "services/gateway/service/shared_state.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

// Answers HTTP exchanges that are not gRPC: route → caller → scope → rate → body → call → JSON. One per loop.
class RestDoor {
 public:
  RestDoor(SharedState& shared, Authenticator& authenticator, Dispatcher& dispatcher, FlowEnv& flows,
           UpstreamSet& upstreams)
      : shared_(shared), authenticator_(authenticator), dispatcher_(dispatcher), flows_(flows), upstreams_(upstreams) {}

  asio::awaitable<void> Serve(std::shared_ptr<net::Exchange> exchange);

 private:
  struct Answer {
    int status = 200;
    std::string content_type = "application/json";
    std::string body;
    net::HeaderList headers;
    std::string_view route = "unmatched";  // for metrics and logs
    bool sent = false;                     // written already, piece by piece
  };

  asio::awaitable<void> Fill(net::Exchange& exchange, Answer& answer);
  // Finds the route, or writes the answer to a request that has none.
  const Route* FindRoute(const net::Exchange& exchange, RouteMatch& match, Answer& answer);
  // The caller, if the route needs one and it may pass; an error otherwise.
  asio::awaitable<absl::Status> Admit(net::Exchange& exchange, const Route& route, RequestContext& ctx, Answer& answer);
  asio::awaitable<absl::Status> Run(net::Exchange& exchange, const Route& route, const RouteMatch& match,
                                    const RequestContext& ctx, Answer& answer);
  asio::awaitable<absl::Status> RunMethod(net::Exchange& exchange, const Route& route, const RouteMatch& match,
                                          const RequestContext& ctx, Answer& answer);
  // A method that answers a stream: each reply goes out as it comes, as a line of JSON or a binary frame
  // (rest/octet.h), with an end that tells how the call ended. Errors before the first reply are ordinary errors.
  asio::awaitable<absl::Status> RunStream(net::Exchange& exchange, const Route& route, const RequestContext& ctx,
                                          const google::protobuf::Message& request, bool binary, Answer& answer);
  // Fields every answer carries.
  void AddCommonHeaders(const net::Exchange& exchange, const Answer& answer, net::HeaderList& headers) const;
  void WritePage(const Route& route, Answer& answer);
  // An error in the form the route's clients expect.
  void WriteError(const absl::Status& status, bool openai, std::string_view request_id, Answer& answer,
                  int http_status = 0);
  bool Preflight(const net::HttpRequest& request, Answer& answer) const;
  void AddCors(const net::HttpRequest& request, Answer& answer) const;
  void Send(net::Exchange& exchange, Answer answer);
  void Record(const net::Exchange& exchange, std::string_view route, int status, size_t bytes, absl::Duration latency);

  SharedState& shared_;
  Authenticator& authenticator_;
  Dispatcher& dispatcher_;
  FlowEnv& flows_;
  UpstreamSet& upstreams_;
};

}  // namespace alcove::gateway
