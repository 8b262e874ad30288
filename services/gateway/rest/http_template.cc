#include "services/gateway/rest/http_template.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "services/gateway/rest/text_view.h"
#include "services/gateway/rest/url.h"

namespace alcove::gateway {
namespace {

constexpr size_t kMaxSegments = 64;

bool IdentifierChar(char c, bool first) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<PathTemplate> Parse() {
    if (!Take('/')) return Error("must begin with '/'");
    ALCOVE_RETURN_IF_ERROR(ParseSegments(false));
    if (Take(':')) {
      ALCOVE_ASSIGN_OR_RETURN(result_.verb, ParseLiteral());
    }
    if (at_ != text_.size()) return Error("unexpected character");
    for (size_t i = 0; i + 1 < result_.segments.size(); ++i) {
      if (result_.segments[i].kind == TemplateSegment::Kind::kDoubleStar) return Error("'**' must be the last segment");
    }
    return std::move(result_);
  }

 private:
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("path template \"", ToAbsl(text_), "\", byte ", at_, ": ", ToAbsl(what)));
  }

  absl::Status ParseSegments(bool inside_variable) {
    do {
      if (result_.segments.size() == kMaxSegments) return Error("too many segments");
      ALCOVE_RETURN_IF_ERROR(ParseSegment(inside_variable));
    } while (Take('/'));
    return absl::OkStatus();
  }

  absl::Status ParseSegment(bool inside_variable) {
    TemplateSegment segment;
    if (Take('*')) {
      segment.kind = Take('*') ? TemplateSegment::Kind::kDoubleStar : TemplateSegment::Kind::kStar;
    } else if (at_ < text_.size() && text_[at_] == '{') {
      if (inside_variable) return Error("a variable inside a variable");
      return ParseVariable();
    } else {
      ALCOVE_ASSIGN_OR_RETURN(segment.literal, ParseLiteral());
    }
    result_.segments.push_back(std::move(segment));
    return absl::OkStatus();
  }

  absl::Status ParseVariable() {
    Take('{');
    TemplateVariable variable;
    variable.first = result_.segments.size();
    ALCOVE_ASSIGN_OR_RETURN(variable.field_path, ParseFieldPath());
    if (Take('=')) {
      ALCOVE_RETURN_IF_ERROR(ParseSegments(true));
    } else {
      result_.segments.push_back({TemplateSegment::Kind::kStar, ""});
    }
    if (!Take('}')) return Error("expected '}'");
    variable.count = result_.segments.size() - variable.first;
    variable.rest = result_.segments.back().kind == TemplateSegment::Kind::kDoubleStar;
    variable.multi = variable.count > 1 || variable.rest;
    for (const TemplateVariable& other : result_.variables) {
      if (other.field_path == variable.field_path) return Error("a field bound twice");
    }
    result_.variables.push_back(std::move(variable));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ParseFieldPath() {
    const size_t begin = at_;
    bool first = true;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '.' && !first) {
        first = true;
      } else if (IdentifierChar(c, first)) {
        first = false;
      } else {
        break;
      }
      ++at_;
    }
    if (at_ == begin || first) return Error("expected a field name");
    return std::string(text_.substr(begin, at_ - begin));
  }

  absl::StatusOr<std::string> ParseLiteral() {
    const size_t begin = at_;
    while (at_ < text_.size() && std::string_view("/:{}*=?#").find(text_[at_]) == std::string_view::npos) ++at_;
    if (at_ == begin) return Error("expected a segment");
    std::optional<std::string> literal = DecodePercent(text_.substr(begin, at_ - begin));
    if (!literal) return Error("malformed %XX escape");
    return *std::move(literal);
  }

  std::string_view text_;
  size_t at_ = 0;
  PathTemplate result_;
};

}  // namespace

absl::StatusOr<PathTemplate> ParsePathTemplate(std::string_view text) { return Parser(text).Parse(); }

}  // namespace alcove::gateway
