#include "services/gateway/service/shared_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/common/status.h"
#include "services/gateway/openai/openai_paths.h"
#include "services/gateway/rest/openapi.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {

AppMetrics::AppMetrics(Registry& registry)
    : registry(registry),
      requests(registry.AddCounterFamily("alcove_gateway_http_requests_total", "HTTP requests answered.",
                                         {"route", "method", "status"})),
      latency(registry.AddHistogramFamily("alcove_gateway_http_request_seconds",
                                          "Time from a request's head to its answer.", LatencyBuckets(), {"route"})),
      stages(registry.AddHistogramFamily("alcove_gateway_flow_stage_seconds", "Time a stage of a flow took.",
                                         LatencyBuckets(), {"flow", "stage"})),
      search_cache(registry.AddCounterFamily("alcove_gateway_search_cache_total", "Searches by what the cache did.",
                                             {"outcome"})),
      refused(
          registry.AddCounterFamily("alcove_gateway_refused_total", "Requests refused before any work.", {"reason"})) {}

void AppMetrics::OnStage(std::string_view flow, std::string_view stage, absl::Duration time) {
  stages.With({ToAbsl(flow), ToAbsl(stage)}).Observe(time);
}

void AppMetrics::OnSearchCache(std::string_view outcome) { search_cache.With({ToAbsl(outcome)}).Increment(); }

SharedState::SharedState(AppOptions options, store::Store* store, KeyDirectory* directory, Registry& registry)
    : options(std::move(options)), store(store), directory(directory), metrics(registry), started_at(absl::Now()) {}

absl::StatusOr<std::unique_ptr<SharedState>> SharedState::Create(AppOptions options, store::Store* store,
                                                                 KeyDirectory* directory, Registry& registry) {
  std::unique_ptr<SharedState> state(new SharedState(std::move(options), store, directory, registry));
  ALCOVE_ASSIGN_OR_RETURN(state->methods, MethodTable::Build());
  ALCOVE_RETURN_IF_ERROR(state->AddRoutes());
  state->openapi = BuildOpenApi(*state->methods, state->options.version, HandWrittenPaths());
  return state;
}

absl::Status SharedState::AddRoute(std::string_view method, std::string_view path, Route route) {
  ALCOVE_ASSIGN_OR_RETURN(const PathTemplate parsed, ParsePathTemplate(path));
  ALCOVE_RETURN_IF_ERROR(
      Annotate(router.Add(method, parsed, routes.size()), absl::StrCat("route ", ToAbsl(method), " ", ToAbsl(path))));
  route.name = std::string(path);
  route_names.push_back(route.name);
  routes.push_back(std::move(route));
  return absl::OkStatus();
}

absl::Status SharedState::AddRoutes() {
  for (const MethodInfo& info : methods->methods()) {
    if (info.internal) continue;
    for (const HttpBinding& binding : info.bindings) {
      if (info.method->client_streaming() && !info.planned) {
        return absl::InternalError(absl::StrCat(info.path, ": a stream of requests cannot have an HTTP form"));
      }
      Route route{Target::kMethod, "", info.scope, &info, &binding};
      ALCOVE_RETURN_IF_ERROR(AddRoute(binding.http_method, binding.path_text, std::move(route)));
    }
  }
  struct Fixed {
    std::string_view method, path;
    Target target;
    AccessScope scope;
  };
  const Fixed fixed[] = {
      {"POST", "/v1/embeddings", Target::kEmbeddings, AccessScope::kRead},
      {"GET", "/v1/models", Target::kModels, AccessScope::kRead},
      {"GET", "/v1/models/{id=**}", Target::kModel, AccessScope::kRead},
      {"POST", "/v1/chat/completions", Target::kGeneration, AccessScope::kRead},
      {"POST", "/v1/completions", Target::kGeneration, AccessScope::kRead},
      {"GET", "/console", Target::kConsole, AccessScope::kPublic},
      {"GET", "/console/private", Target::kPrivatePage, AccessScope::kPublic},
      {"GET", "/console/private_client.js", Target::kPrivateClientScript, AccessScope::kPublic},
      {"GET", "/console/seal.js", Target::kSealScript, AccessScope::kPublic},
      {"GET", "/docs", Target::kDocs, AccessScope::kPublic},
      {"GET", "/openapi.json", Target::kOpenApi, AccessScope::kPublic},
      {"GET", "/health", Target::kHealthLive, AccessScope::kPublic},
      {"GET", "/health/live", Target::kHealthLive, AccessScope::kPublic},
      {"GET", "/health/ready", Target::kHealthReady, AccessScope::kPublic},
      {"GET", "/metrics", Target::kMetrics, options.open_metrics ? AccessScope::kPublic : AccessScope::kRead},
  };
  for (const Fixed& entry : fixed) {
    ALCOVE_RETURN_IF_ERROR(AddRoute(entry.method, entry.path, {entry.target, "", entry.scope, nullptr, nullptr}));
  }
  std::sort(route_names.begin(), route_names.end());
  return absl::OkStatus();
}

std::vector<KnownProcess> SharedState::processes() const {
  std::vector<KnownProcess> known;
  for (const UpstreamOptions& upstream : options.upstreams) {
    for (const std::string& address : upstream.endpoints) known.push_back({upstream.name, address});
  }
  return known;
}

}  // namespace alcove::gateway
