// The first line is a path template, the second a request path, the rest a query.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/gateway/rest/http_template.h"
#include "services/gateway/rest/router.h"
#include "services/gateway/rest/url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = [&text] {
    const std::string_view taken = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), taken.size() + 1));
    return taken;
  };
  const std::string_view path_template = line();
  const std::string_view path = line();
  (void)alcove::gateway::ParseQuery(text);

  alcove::gateway::Router router;
  const auto parsed = alcove::gateway::ParsePathTemplate(path_template);
  if (!parsed.ok()) return 0;
  if (!router.Add("GET", *parsed, 1).ok()) std::abort();
  const auto match = router.Match("GET", path);
  if (match.kind == alcove::gateway::RouteMatch::Kind::kFound && match.captures.size() != parsed->variables.size()) {
    std::abort();
  }
  return 0;
}
