#pragma once

#include <string>
#include <vector>

#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

// The embedded pages, self-contained HTML.
std::string_view ConsolePage();
std::string_view DocsPage();
// Private search in the browser: the page, its client, and Microsoft SEAL (node-seal) as a module.
std::string_view PrivatePage();
std::string_view PrivateClientScript();
std::string_view SealScript();

// Whether the processes a search needs can be reached, from the connections and health checks of one loop.
struct Readiness {
  bool ready = false;
  std::string reason;                                         // why not; empty when ready
  std::vector<std::pair<std::string, std::string>> services;  // name, "ready" or what is wrong
};
Readiness ReadReadiness(const UpstreamSet& upstreams, bool draining);
std::string ReadinessJson(const Readiness& readiness);

}  // namespace alcove::gateway
