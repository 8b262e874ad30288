#include "services/gateway/config.h"

#include <utility>

#include <boost/asio/ip/address.hpp>

#include "absl/strings/str_cat.h"
#include "libs/common/net_address.h"
#include "libs/common/status.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

namespace config = alcove::config::v1;

constexpr size_t kMinAdminKey = 24;

absl::Duration ToDuration(const google::protobuf::Duration& value) {
  return absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos());
}

AccessLog ReadAccessLog(const std::string& text) {
  return text == "all" ? AccessLog::kAll : text == "none" ? AccessLog::kNone : AccessLog::kErrors;
}

void AddUpstream(const char* name, const google::protobuf::RepeatedPtrField<std::string>& endpoints,
                 const config::GatewayUpstreamsConfig& settings, size_t max_message_bytes, AppOptions& app) {
  if (endpoints.empty()) return;
  UpstreamOptions options;
  options.name = name;
  options.endpoints.assign(endpoints.begin(), endpoints.end());
  options.balancer = ParseBalancerKind(settings.balancer()).value_or(BalancerKind::kRoundRobin);
  options.connect_timeout = ToDuration(settings.connect_timeout());
  options.health.interval = ToDuration(settings.health_interval());
  options.max_message_bytes = max_message_bytes;
  options.tls = app.upstream_tls;
  app.upstreams.push_back(std::move(options));
}

// Null when the settings ask for cleartext.
absl::StatusOr<std::shared_ptr<asio::ssl::context>> ReadUpstreamTls(const config::TlsConfig& tls) {
  if (tls.certificate().empty() && tls.private_key().empty() && tls.client_ca().empty()) return nullptr;
  absl::StatusOr<std::shared_ptr<asio::ssl::context>> context =
      net::MakeClientTls({tls.client_ca(), tls.certificate(), tls.private_key()});
  if (!context.ok()) return InvalidField("upstreams.tls", context.status().message());
  return context;
}

absl::Status CheckEndpoints(const char* field, const google::protobuf::RepeatedPtrField<std::string>& endpoints) {
  for (const std::string& endpoint : endpoints) {
    const absl::StatusOr<HostPort> address = ParseHostPort(endpoint);
    if (!address.ok()) return InvalidField(absl::StrCat("upstreams.", field), address.status().message());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GatewayOptions> ReadOptions(const config::GatewayConfig& settings, std::string_view version) {
  const config::GatewayHttpConfig& http = settings.http();
  const config::GatewayAuthConfig& auth = settings.auth();
  GatewayOptions options;

  boost::system::error_code bad;
  const asio::ip::address address = asio::ip::make_address(http.address(), bad);
  if (bad) return InvalidField("http.address", absl::StrCat("\"", http.address(), "\" is no IPv4 or IPv6 address"));
  if (auth.mode() == "none" && !address.is_loopback()) {
    return InvalidField("auth.mode",
                        absl::StrCat("none is allowed only on loopback, and http.address is ", http.address(),
                                     "; set auth.mode to keys, or http.address to 127.0.0.1"));
  }
  if (!auth.admin_key().empty() && auth.admin_key().size() < kMinAdminKey) {
    return InvalidField("auth.admin_key", absl::StrCat("has fewer than ", kMinAdminKey, " characters"));
  }
  if (http.tls().certificate().empty() != http.tls().private_key().empty()) {
    return InvalidField("http.tls", "certificate and private_key belong together");
  }
  const config::GatewayUpstreamsConfig& upstreams = settings.upstreams();
  ALCOVE_RETURN_IF_ERROR(CheckEndpoints("inference", upstreams.inference()));
  ALCOVE_RETURN_IF_ERROR(CheckEndpoints("vector_search", upstreams.vector_search()));
  ALCOVE_RETURN_IF_ERROR(CheckEndpoints("fhe_proxy", upstreams.fhe_proxy()));
  ALCOVE_RETURN_IF_ERROR(CheckEndpoints("cache", upstreams.cache()));

  options.server.address = http.address();
  options.server.port = static_cast<uint16_t>(http.port());
  options.server.threads = static_cast<int>(http.threads());
  options.server.limits.max_body_bytes = http.max_body_bytes();
  options.server.loop.spin = ToDuration(http.spin());
  options.server.tls = !http.tls().certificate().empty();
  options.server.tls_options.certificate_file = http.tls().certificate();
  options.server.tls_options.private_key_file = http.tls().private_key();
  options.server.tls_options.client_ca_file = http.tls().client_ca();

  AppOptions& app = options.app;
  app.version = std::string(version);
  app.address = HostPort{http.address(), options.server.port}.ToString();
  app.max_body_bytes = http.max_body_bytes();
  app.times.usual = ToDuration(http.request_timeout());
  app.times.longest = ToDuration(http.max_request_timeout());
  app.cors_origins.assign(http.cors_origins().begin(), http.cors_origins().end());
  app.compression = http.compression();
  app.access_log = ReadAccessLog(http.access_log());
  // On loopback whoever can ask is on this machine already.
  app.open_metrics = http.open_metrics() || address.is_loopback();
  app.use_keys = auth.mode() != "none";
  const config::GatewayCacheConfig& cache = settings.cache();
  app.flows.cache_searches = cache.search();
  app.flows.search_ttl = ToDuration(cache.search_ttl());
  app.flows.cache_embeddings = cache.embeddings();
  app.flows.embedding_ttl = ToDuration(cache.embedding_ttl());
  app.flows.single_flight_wait = ToDuration(cache.single_flight_wait());
  app.flows.batch_size = settings.ingest().batch_size();
  app.flows.parallel_batches = settings.ingest().parallel_batches();
  ALCOVE_ASSIGN_OR_RETURN(app.upstream_tls, ReadUpstreamTls(upstreams.tls()));
  // A reply may carry what a request of the largest size stored.
  const size_t max_message = http.max_body_bytes() + (8u << 20);
  AddUpstream("inference", upstreams.inference(), upstreams, max_message, app);
  AddUpstream("vector-search", upstreams.vector_search(), upstreams, max_message, app);
  AddUpstream("fhe-proxy", upstreams.fhe_proxy(), upstreams, max_message, app);
  AddUpstream("cache", upstreams.cache(), upstreams, max_message, app);

  options.keys.rate_per_second = auth.rate_limit();
  options.keys.burst = auth.rate_burst();
  options.key_refresh = ToDuration(auth.refresh());
  options.bootstrap = {settings.data_dir(), auth.admin_key()};
  options.drain_timeout = ToDuration(settings.drain_timeout());
  return options;
}

}  // namespace alcove::gateway
