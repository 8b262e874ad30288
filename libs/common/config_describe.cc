#include "libs/common/config_describe.h"

#include <algorithm>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>

#include "libs/common/text.h"

namespace alcove::config_internal {
namespace {

// Lists of sections inside lists of sections; deeper ones are not described.
constexpr int kMaxListDepth = 4;

}  // namespace

std::string EnvironmentPrefix(const ConfigProgram& program) {
  return absl::StrCat("ALCOVE_", absl::AsciiStrToUpper(absl::StrReplaceAll(program.service, {{"-", "_"}})), "__");
}

std::string YamlScalar(absl::string_view text) {
  const auto plain_char = [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '/' || c == ':' || c == '-' || c == '+';
  };
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), plain_char) &&
                     (absl::ascii_isalnum(text[0]) || text[0] == '/') && text.back() != ':' &&
                     absl::AsciiStrToLower(text) != "null";
  if (plain) return std::string(text);
  std::string quoted;
  AppendJsonString(quoted, text);
  return quoted;
}

std::string TypeName(const Field& field) {
  std::string name;
  if (field.is_map()) return "map of texts";
  if (IsDuration(field)) {
    name = "duration";
  } else if (IsBytesUnit(field)) {
    name = "size";
  } else {
    switch (field.cpp_type()) {
      case Field::CPPTYPE_BOOL: name = "bool"; break;
      case Field::CPPTYPE_STRING: name = "text"; break;
      case Field::CPPTYPE_FLOAT:
      case Field::CPPTYPE_DOUBLE: name = "number"; break;
      case Field::CPPTYPE_ENUM: name = "choice"; break;
      case Field::CPPTYPE_MESSAGE: name = "section"; break;
      default: name = "integer"; break;
    }
  }
  return field.is_repeated() ? absl::StrCat("list of ", name, "s") : name;
}

std::string AllowedText(const Field& field) {
  const config::v1::FieldSpec& spec = Spec(field);
  if (spec.one_of_size() > 0) return absl::StrCat("one of ", absl::StrJoin(spec.one_of(), ", "));
  std::string bounds;
  if (spec.has_min() && spec.has_max()) {
    bounds = absl::StrCat(BoundText(field, spec.min()), " to ", BoundText(field, spec.max()));
  } else if (spec.has_min()) {
    bounds = absl::StrCat("at least ", BoundText(field, spec.min()));
  } else if (spec.has_max()) {
    bounds = absl::StrCat("at most ", BoundText(field, spec.max()));
  }
  if (bounds.empty()) return "";
  if (field.is_repeated()) return absl::StrCat(bounds, " elements");
  if (field.cpp_type() == Field::CPPTYPE_STRING) return absl::StrCat(bounds, " characters");
  return !spec.unit().empty() && spec.unit() != "bytes" ? absl::StrCat(bounds, " ", spec.unit()) : bounds;
}

std::string DefaultText(const Field& field, absl::string_view path, const ConfigProgram& program) {
  for (const auto& [overridden, text] : program.defaults) {
    if (overridden == path) return text;
  }
  return Spec(field).default_();
}

void ForEachSetting(const Schema& schema, absl::string_view path,
                    const std::function<void(const std::string&, const Field&)>& visit, int depth) {
  ForEachLeaf(schema, path, [&](const std::string& leaf, const Field& field) {
    visit(leaf, field);
    if (IsSectionList(field) && depth < kMaxListDepth)
      ForEachSetting(*field.message_type(), leaf + "[]", visit, depth + 1);
  });
}

bool IsSectionList(const Field& field) {
  return field.is_repeated() && field.cpp_type() == Field::CPPTYPE_MESSAGE && !IsDuration(field) && !field.is_map();
}

}  // namespace alcove::config_internal
