// What a person is told about a setting: its type, bounds and default, for --help, the reference page and the example
// file. Internal to the loader.
#pragma once

#include <functional>
#include <string>

#include <absl/strings/string_view.h>

#include "libs/common/config.h"
#include "libs/common/config_fields.h"

namespace alcove::config_internal {

// "ALCOVE_VECTOR_SEARCH__" for the service "vector-search".
std::string EnvironmentPrefix(const ConfigProgram& program);

// "integer", "list of texts".
std::string TypeName(const Field& field);

// "1 to 65535", "one of a, b", "at least 1s"; empty when anything goes.
std::string AllowedText(const Field& field);

// The default the service starts from, as it is written in the schema; empty for the type's zero value.
std::string DefaultText(const Field& field, absl::string_view path, const ConfigProgram& program);

// A list whose elements are sections.
bool IsSectionList(const Field& field);

// A scalar as YAML: plain where nothing could be misread, else double-quoted.
std::string YamlScalar(absl::string_view text);

// Every setting in order of declaration. Those of the elements of a list are visited as "path[].name".
void ForEachSetting(const Schema& schema, absl::string_view path,
                    const std::function<void(const std::string& path, const Field& field)>& visit, int depth = 0);

}  // namespace alcove::config_internal
