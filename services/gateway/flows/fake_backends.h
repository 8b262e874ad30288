#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "services/gateway/flows/backends.h"

namespace alcove::gateway {

// Backends of tests: each method is a function from request to reply, and every call is written down. A method without
// a function answers UNAVAILABLE, as an absent process does.
class FakeBackends final : public Backends {
 public:
  template <typename Request, typename Reply>
  void On(BackendMethod method, std::function<absl::StatusOr<Reply>(const RequestContext&, const Request&)> answer) {
    answers_[method.path] = [answer](const RequestContext& ctx,
                                     const std::string& bytes) -> absl::StatusOr<std::string> {
      Request request;
      if (!request.ParseFromString(bytes)) return absl::InternalError("the flow sent another message");
      absl::StatusOr<Reply> reply = answer(ctx, request);
      if (!reply.ok()) return reply.status();
      return reply->SerializeAsString();
    };
  }

  asio::awaitable<absl::StatusOr<std::string>> Call(RequestContext ctx, BackendMethod method, std::string request,
                                                    absl::Duration) override {
    ++calls[method.path];
    const auto it = answers_.find(method.path);
    if (it == answers_.end()) co_return absl::UnavailableError(std::string(method.upstream) + " is not there");
    co_return it->second(ctx, request);
  }
  bool Has(const char* upstream) const override { return !absent.contains(upstream); }
  int Count(BackendMethod method) { return calls[method.path]; }

  std::map<std::string, int> calls;
  std::set<std::string> absent;

 private:
  std::map<std::string, std::function<absl::StatusOr<std::string>(const RequestContext&, const std::string&)>> answers_;
};

// Runs one awaitable, and everything it leaves behind, to its end.
template <typename T>
T Await(asio::io_context& io, asio::awaitable<T> work) {
  T result{};
  asio::co_spawn(io, std::move(work), [&result](std::exception_ptr error, T value) {
    if (error) std::rethrow_exception(error);
    result = std::move(value);
  });
  io.restart();
  io.run();
  return result;
}

}  // namespace alcove::gateway
