#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "services/gateway/rest/http_template.h"

namespace alcove::gateway {

// What a template variable matched.
struct PathCapture {
  std::string_view field_path;  // valid as long as the router
  std::string value;            // percent-decoded
};

struct RouteMatch {
  enum class Kind {
    kFound,
    kNotFound,
    kMethodNotAllowed,  // the path exists with other methods: `allow`
    kMalformed,         // a bad %XX escape, or bytes that are not UTF-8
  };
  Kind kind = Kind::kNotFound;
  size_t route = 0;  // as given to Add
  std::vector<PathCapture> captures;
  std::vector<std::string> allow;
};

// Finds the route of a request by method and path: a trie over path segments, so the cost grows with the length of the
// path and not with the number of routes. A literal segment is preferred to a "*", that to a "**", and a ":verb" the
// route knows to the same text as part of the last segment.
//
// Thread safety: Match is const and safe from any thread once the routes are in.
class Router {
 public:
  Router();
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // ALREADY_EXISTS when an equal template has the method already.
  absl::Status Add(std::string_view method, const PathTemplate& path, size_t route);

  // `path` is percent-encoded, without query. Paths of more than 64 segments are not found.
  RouteMatch Match(std::string_view method, std::string_view path) const;

 private:
  struct Entry {
    std::string method;
    std::string verb;
    size_t route;
    std::vector<TemplateVariable> variables;
  };
  struct Node {
    absl::flat_hash_map<std::string, std::unique_ptr<Node>> literals;
    std::unique_ptr<Node> star;
    std::vector<Entry> ends;       // routes that end here
    std::vector<Entry> rest_ends;  // routes that end here with a "**"
  };
  struct Search;

  std::unique_ptr<Node> root_;
};

}  // namespace alcove::gateway
