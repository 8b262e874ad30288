#include "services/gateway/service/background.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "libs/common/fs.h"
#include "libs/common/log.h"
#include "libs/common/status.h"

namespace alcove::gateway {
namespace {

constexpr absl::Duration kFlushUses = absl::Seconds(30);

}  // namespace

absl::StatusOr<std::unique_ptr<store::Store>> OpenStore(const alcove::config::v1::StoreConfig& config) {
  store::StoreOptions options;
  options.connections = static_cast<int>(std::max<uint32_t>(2, config.connections()));
  options.durability = config.durability() == "normal" ? store::Durability::kNormal : store::Durability::kFull;
  absl::string_view path = config.url();
  if (absl::ConsumePrefix(&path, "sqlite:")) {
    ALCOVE_RETURN_IF_ERROR(EnsureDirectory(DirectoryOf(path), 0700));
  }
  absl::StatusOr<std::unique_ptr<store::Store>> store = store::Open(config.url(), options);
  if (!store.ok()) return Annotate(store.status(), "opening the store");
  return store;
}

KeyRefresher::KeyRefresher(KeyDirectory& directory, absl::Duration interval)
    : directory_(directory), thread_([this, interval] { Run(interval); }) {}

KeyRefresher::~KeyRefresher() {
  {
    absl::MutexLock lock(&mu_);
    stop_ = true;
  }
  thread_.join();
}

void KeyRefresher::Run(absl::Duration interval) {
  absl::Time next_flush = absl::Now() + kFlushUses;
  for (;;) {
    if (absl::Status status = directory_.Refresh(); !status.ok()) {
      static LogLimiter limiter(absl::Seconds(30));
      if (limiter.Allow()) LogWarning("the store does not say whether keys changed", {{"error", status}});
    }
    bool stop;
    {
      absl::MutexLock lock(&mu_);
      stop = mu_.AwaitWithTimeout(absl::Condition(&stop_), interval);
    }
    if (stop || absl::Now() >= next_flush) {
      if (absl::Status status = directory_.FlushUses(); !status.ok()) {
        LogDebug("the last uses of keys were not stored", {{"error", status}});
      }
      next_flush = absl::Now() + kFlushUses;
    }
    if (stop) return;
  }
}

std::vector<Registry::CallbackHandle> AddNetMetrics(const net::Server& server, Registry& registry) {
  std::vector<Registry::CallbackHandle> handles;
  const auto counter = [&](const char* name, const char* help, uint64_t net::NetStats::*field) {
    handles.push_back(registry.AddCounterCallback(
        name, help, {}, [&server, field] { return static_cast<double>(server.stats().*field); }));
  };
  counter("alcove_gateway_connections_total", "Connections accepted.", &net::NetStats::connections_accepted);
  counter("alcove_gateway_connections_refused_total", "Connections closed at once.",
          &net::NetStats::connections_refused);
  counter("alcove_gateway_protocol_errors_total", "Connections ended by a protocol error.",
          &net::NetStats::protocol_errors);
  counter("alcove_gateway_tls_failures_total", "TLS handshakes that failed.", &net::NetStats::tls_failures);
  counter("alcove_gateway_received_bytes_total", "Bytes read from clients.", &net::NetStats::bytes_in);
  counter("alcove_gateway_sent_bytes_total", "Bytes written to clients.", &net::NetStats::bytes_out);
  handles.push_back(
      registry.AddGaugeCallback("alcove_gateway_connections_open", "Connections open now.", {},
                                [&server] { return static_cast<double>(server.stats().connections_open); }));
  handles.push_back(registry.AddGaugeCallback("alcove_gateway_in_flight", "Exchanges and streams in flight.", {},
                                              [&server] { return static_cast<double>(server.in_flight()); }));
  return handles;
}

}  // namespace alcove::gateway
