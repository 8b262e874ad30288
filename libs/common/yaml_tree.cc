#include "libs/common/yaml_tree.h"

#include <algorithm>
#include <exception>
#include <sstream>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "libs/common/text.h"

namespace alcove {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 20;
constexpr size_t kMaxDepth = 32;
constexpr size_t kMaxNodes = 50'000;

// Thrown to leave yaml-cpp's parser; caught in ParseYaml.
struct Refused {
  int line;
  std::string why;
};

class TreeBuilder final : public YAML::EventHandler {
 public:
  YamlNode Take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    OpenNode(mark, anchor, "", YamlNode::Kind::kNull);
    Close();
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{mark.line + 1, "aliases are not allowed here; write the value out"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    OpenNode(mark, anchor, tag, YamlNode::Kind::kScalar);
    open_.back().node.text = value;
    Close();
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    OpenNode(mark, anchor, tag, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    OpenNode(mark, anchor, tag, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  // One open list or map, or the place of the value that comes next.
  struct Open {
    YamlNode node;
    bool expects_key = false;  // of a map
    std::string key;
    int key_line = 0;
  };

  void OpenNode(const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& tag, YamlNode::Kind kind) {
    const int line = mark.line + 1;
    if (anchor != 0) throw Refused{line, "anchors are not allowed here"};
    if (!tag.empty() && tag != "?" && tag != "!") throw Refused{line, "tags are not allowed here"};
    if (++nodes_ > kMaxNodes) throw Refused{line, absl::StrCat("more than ", kMaxNodes, " values")};
    if (open_.size() >= kMaxDepth) throw Refused{line, absl::StrCat("nested deeper than ", kMaxDepth, " levels")};
    if (!open_.empty() && open_.back().expects_key && kind != YamlNode::Kind::kScalar) {
      throw Refused{line, "a key must be a plain text"};
    }
    open_.emplace_back();
    Open& top = open_.back();
    top.node.kind = kind;
    top.node.line = line;
    top.expects_key = kind == YamlNode::Kind::kMap;
  }

  // The innermost open node is complete: it becomes a key, a value, an item or the root.
  void Close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(node));
    } else if (parent.expects_key) {
      const auto same = [&](const YamlEntry& entry) { return entry.key == node.text; };
      if (std::any_of(parent.node.entries.begin(), parent.node.entries.end(), same)) {
        throw Refused{node.line, absl::StrCat("the key \"", TruncateUtf8(node.text, 64), "\" is given twice")};
      }
      parent.key = std::move(node.text);
      parent.key_line = node.line;
      parent.expects_key = false;
    } else {
      parent.node.entries.push_back({std::move(parent.key), parent.key_line, std::move(node)});
      parent.expects_key = true;
    }
  }

  std::vector<Open> open_;
  YamlNode root_;
  size_t nodes_ = 0;
};

// yaml-cpp recurses once per level of nesting before it calls back, so depth is also bounded on the text itself: a flow
// level needs a bracket, a block level needs an indentation wider than its parent's or a further "- ".
bool TooManyBrackets(absl::string_view text, int* line) {
  size_t brackets = 0;
  size_t dashes = 0;
  int at = 1;
  bool only_dashes = true;
  for (const char c : text) {
    if (c == '\n') {
      ++at;
      dashes = 0;
      only_dashes = true;
    } else if (c == '[' || c == '{') {
      ++brackets;
    } else if ((c == ']' || c == '}') && brackets > 0) {
      --brackets;
    } else if ((c == '-' || c == '?') && only_dashes) {
      ++dashes;
    } else if (c != ' ') {
      only_dashes = false;
    }
    if (brackets > 10 * kMaxDepth || dashes > 10 * kMaxDepth) {
      *line = at;
      return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<YamlNode> ParseYaml(absl::string_view text) {
  if (text.size() > kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat("line 1: the text is larger than ", FormatBytes(kMaxBytes)));
  }
  if (!IsValidUtf8(text) || absl::StrContains(text, absl::string_view("\0", 1))) {
    return absl::InvalidArgumentError("line 1: the text is not UTF-8");
  }
  const auto at_line = [](int line, absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("line ", std::max(line, 1), ": ", why));
  };
  if (int line = 0; TooManyBrackets(text, &line)) return at_line(line, "nested too deep");
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    TreeBuilder first;
    if (!parser.HandleNextDocument(first)) return YamlNode{};
    TreeBuilder second;
    if (parser.HandleNextDocument(second)) return at_line(1, "there is more than one document");
    return first.Take();
  } catch (const Refused& refused) {
    return at_line(refused.line, refused.why);
  } catch (const YAML::Exception& e) {
    return at_line(e.mark.line + 1, absl::StrCat("not YAML: ", e.msg));
  } catch (const std::exception& e) {
    return at_line(1, absl::StrCat("not YAML: ", e.what()));
  }
}

}  // namespace alcove
