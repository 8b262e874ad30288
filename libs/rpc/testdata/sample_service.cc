// A whole backend in a few lines, for service_main_test: serves CacheService.Get, waiting for the time asked for.
#include <memory>

#include "alcove/cache/v1/cache.grpc.pb.h"
#include "alcove/config/v1/cache.pb.h"
#include "libs/common/log.h"
#include "libs/rpc/method.h"
#include "libs/rpc/service_main.h"

namespace {

using alcove::RequestContext;
namespace cache = alcove::cache::v1;

class Face final : public alcove::rpc::Service {
 public:
  explicit Face(alcove::Registry& registry)
      : Service(cache::CacheService::service_full_name()), options_{.registry = &registry, .pool = &pool_} {
    Unary("Get", &Face::Get);
  }
  void Get(alcove::rpc::UnaryCall* call, const cache::GetRequest* request, cache::GetResponse* response) {
    return get_.Handle(call, [=](const RequestContext& ctx) {
      absl::Mutex mu;
      absl::MutexLock lock(&mu);
      const auto over = [&] { return !ctx.Check().ok(); };
      alcove::LogInfo("working");
      // Looks at the cancellation every few milliseconds until the time is over.
      for (int i = 0; i < request->wait().nanos() / 5'000'000 && !over(); ++i) {
        mu.AwaitWithTimeout(absl::Condition(
                                +[](const decltype(over)* f) { return (*f)(); }, &over),
                            absl::Milliseconds(5));
      }
      response->set_value("done");
      return ctx.Check();
    });
  }

 private:
  alcove::TaskPool pool_{2};
  alcove::rpc::MethodOptions options_;
  alcove::rpc::UnaryMethod get_{options_, cache::CacheService::service_full_name(), "Get"};
};

class Sample final : public alcove::rpc::ServiceInstance {
 public:
  explicit Sample(alcove::Registry& registry) : face_(registry) {}
  std::vector<alcove::rpc::Service*> Services() override { return {&face_}; }
  void Drain(const alcove::DrainBudget&) override { alcove::LogInfo("flushed"); }
  std::map<std::string, alcove::AdminPage> AdminPages() override {
    return {{"/debug/sample", [](absl::string_view query) {
               return alcove::AdminReply{200, "text/plain", "query " + std::string(query)};
             }}};
  }

 private:
  Face face_;
};

}  // namespace

int main(int argc, char** argv) {
  return alcove::rpc::RunService<alcove::config::v1::CacheConfig>(
      argc, argv,
      {.service = "sample",
       .binary = "alcove-sample",
       .description = "A sample.",
       .version = ALCOVE_VERSION,
       .defaults = {{"server.listen", "127.0.0.1:0"}, {"server.admin_listen", "127.0.0.1:0"}}},
      [](const alcove::config::v1::CacheConfig&,
         const alcove::rpc::ServiceHost& host) -> absl::StatusOr<std::unique_ptr<alcove::rpc::ServiceInstance>> {
        return std::make_unique<Sample>(host.registry);
      });
}
