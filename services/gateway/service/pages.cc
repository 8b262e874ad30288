#include "services/gateway/service/pages.h"

#include "absl/strings/str_cat.h"
#include "services/gateway/rest/json_writer.h"

namespace alcove::gateway {

extern const std::string_view kConsolePage;  // embedded by the build
extern const std::string_view kDocsPage;
extern const std::string_view kPrivatePage;
extern const std::string_view kPrivateClientScript;
extern const std::string_view kSealScript;

std::string_view ConsolePage() { return kConsolePage; }
std::string_view DocsPage() { return kDocsPage; }
std::string_view PrivatePage() { return kPrivatePage; }
std::string_view PrivateClientScript() { return kPrivateClientScript; }
std::string_view SealScript() { return kSealScript; }

namespace {

// Without these no document can be stored or found; the others only make things faster or add to them.
bool Needed(const std::string& service) { return service == "inference" || service == "vector-search"; }

std::string WhyNot(const UpstreamPool& pool) {
  for (const EndpointStatus& endpoint : pool.Status()) {
    if (!endpoint.last_error.empty()) return absl::StrCat("no process answers: ", endpoint.last_error);
  }
  return "no process answers";
}

}  // namespace

Readiness ReadReadiness(const UpstreamSet& upstreams, bool draining) {
  Readiness readiness;
  readiness.ready = true;
  for (const char* needed : {"inference", "vector-search"}) {
    if (upstreams.Find(needed) != nullptr) continue;
    readiness.ready = false;
    readiness.services.emplace_back(needed, "none configured");
    absl::StrAppend(&readiness.reason, readiness.reason.empty() ? "" : "; ", needed, ": none configured");
  }
  for (const auto& pool : upstreams.pools()) {
    const std::string& name = pool->options().name;
    if (pool->Ready()) {
      readiness.services.emplace_back(name, "ready");
      continue;
    }
    std::string why = WhyNot(*pool);
    if (Needed(name)) {
      readiness.ready = false;
      absl::StrAppend(&readiness.reason, readiness.reason.empty() ? "" : "; ", name, ": ", why);
    }
    readiness.services.emplace_back(name, std::move(why));
  }
  if (draining) {
    readiness.ready = false;
    readiness.reason = "the gateway is stopping";
  }
  return readiness;
}

std::string ReadinessJson(const Readiness& readiness) {
  JsonBuilder json;
  json.BeginObject().Key("ready").Bool(readiness.ready);
  if (!readiness.ready) json.Member("reason", readiness.reason);
  json.Key("services").BeginObject();
  for (const auto& [name, state] : readiness.services) json.Member(name, state);
  json.EndObject().EndObject();
  return json.Take();
}

}  // namespace alcove::gateway
