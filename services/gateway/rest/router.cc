#include "services/gateway/rest/router.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "libs/common/text.h"
#include "services/gateway/rest/text_view.h"
#include "services/gateway/rest/url.h"

namespace alcove::gateway {
namespace {

constexpr size_t kMaxPathSegments = 64;

}  // namespace

// One pass over the trie with the path read in one way (with or without a verb).
struct Router::Search {
  std::string_view method;
  std::string_view verb;
  std::vector<std::string_view> raw;  // segments as sent
  std::vector<std::string> decoded;

  const Entry* found = nullptr;
  std::vector<std::string> allow;

  const Entry* Choose(const std::vector<Entry>& ends) {
    const Entry* chosen = nullptr;
    for (const Entry& entry : ends) {
      if (entry.verb != verb) continue;
      if (entry.method == method) {
        chosen = &entry;
      } else {
        allow.push_back(entry.method);
      }
    }
    return chosen;
  }

  bool Walk(const Node& node, size_t at) {
    if (at == decoded.size()) {
      if ((found = Choose(node.ends)) != nullptr) return true;
    } else {
      if (const auto it = node.literals.find(decoded[at]); it != node.literals.end() && Walk(*it->second, at + 1)) {
        return true;
      }
      if (node.star != nullptr && !decoded[at].empty() && Walk(*node.star, at + 1)) return true;
    }
    return (found = Choose(node.rest_ends)) != nullptr;
  }
};

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;

absl::Status Router::Add(std::string_view method, const PathTemplate& path, size_t route) {
  Node* node = root_.get();
  bool rest = false;
  for (const TemplateSegment& segment : path.segments) {
    switch (segment.kind) {
      case TemplateSegment::Kind::kLiteral: {
        std::unique_ptr<Node>& child = node->literals[segment.literal];
        if (child == nullptr) child = std::make_unique<Node>();
        node = child.get();
        break;
      }
      case TemplateSegment::Kind::kStar:
        if (node->star == nullptr) node->star = std::make_unique<Node>();
        node = node->star.get();
        break;
      case TemplateSegment::Kind::kDoubleStar: rest = true; break;
    }
  }
  std::vector<Entry>& ends = rest ? node->rest_ends : node->ends;
  for (const Entry& entry : ends) {
    if (entry.method == method && entry.verb == path.verb) {
      return absl::AlreadyExistsError(absl::StrCat("two routes for ", ToAbsl(method), " on the same path"));
    }
  }
  ends.push_back({std::string(method), path.verb, route, path.variables});
  return absl::OkStatus();
}

RouteMatch Router::Match(std::string_view method, std::string_view path) const {
  RouteMatch match;
  if (path.empty() || path[0] != '/') return match;
  Search search;
  search.method = method;
  for (size_t begin = 1;;) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (search.raw.size() == kMaxPathSegments) return match;
    search.raw.push_back(path.substr(begin, end - begin));
    std::optional<std::string> decoded = DecodePercent(search.raw.back());
    if (!decoded || !IsValidUtf8(*decoded)) {
      match.kind = RouteMatch::Kind::kMalformed;
      return match;
    }
    search.decoded.push_back(*std::move(decoded));
    if (end == path.size()) break;
    begin = end + 1;
  }

  const std::string_view last = search.raw.back();
  const std::string last_decoded = search.decoded.back();
  const size_t colon = last.rfind(':');
  bool found = false;
  if (colon != std::string_view::npos) {
    search.verb = last.substr(colon + 1);
    search.raw.back() = last.substr(0, colon);
    search.decoded.back() = *DecodePercent(search.raw.back());
    found = search.Walk(*root_, 0);
  }
  if (!found) {
    search.verb = {};
    search.raw.back() = last;
    search.decoded.back() = last_decoded;
    found = search.Walk(*root_, 0);
  }
  if (!found) {
    if (!search.allow.empty()) {
      match.kind = RouteMatch::Kind::kMethodNotAllowed;
      std::sort(search.allow.begin(), search.allow.end());
      search.allow.erase(std::unique(search.allow.begin(), search.allow.end()), search.allow.end());
      match.allow = std::move(search.allow);
    }
    return match;
  }

  match.kind = RouteMatch::Kind::kFound;
  match.route = search.found->route;
  for (const TemplateVariable& variable : search.found->variables) {
    PathCapture capture{variable.field_path, {}};
    if (!variable.multi) {
      capture.value = search.decoded[variable.first];
    } else {
      const size_t end = variable.rest ? search.raw.size() : variable.first + variable.count;
      for (size_t i = variable.first; i < end; ++i) {
        if (i > variable.first) capture.value.push_back('/');
        capture.value += *DecodePercent(search.raw[i], false, true);
      }
    }
    match.captures.push_back(std::move(capture));
  }
  return match;
}

}  // namespace alcove::gateway
