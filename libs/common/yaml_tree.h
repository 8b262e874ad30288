// YAML as a small tree that remembers its line numbers. Internal to the configuration loader: bounded (1 MiB, 32
// levels, 50,000 nodes), one document, no anchors, aliases or custom tags, no key twice in one map.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace alcove {

struct YamlEntry;

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  int line = 0;                    // 1-based
  std::string text;                // of a scalar, without its quotes
  std::vector<YamlNode> items;     // of a list
  std::vector<YamlEntry> entries;  // of a map, in the order written

  // Defined below, where YamlEntry is complete.
  static YamlNode Scalar(absl::string_view text);
};

struct YamlEntry {
  std::string key;
  int line = 0;
  YamlNode value;
};

inline YamlNode YamlNode::Scalar(absl::string_view text) {
  YamlNode node;
  node.kind = Kind::kScalar;
  node.text = std::string(text);
  return node;
}

// INVALID_ARGUMENT "line N: …" when the text is not YAML or beyond the limits. An empty text is a null node.
absl::StatusOr<YamlNode> ParseYaml(absl::string_view text);

}  // namespace alcove
