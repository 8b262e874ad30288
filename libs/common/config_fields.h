// One field of a configuration: its rules, its value from text or YAML, its bounds. Internal to the loader.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "alcove/config/v1/options.pb.h"
#include "libs/common/status.h"
#include "libs/common/yaml_tree.h"

namespace alcove::config_internal {

using Field = google::protobuf::FieldDescriptor;
using Schema = google::protobuf::Descriptor;
using google::protobuf::Message;

// Schemas nested deeper than this are a bug; the loader stops there.
inline constexpr int kMaxSchemaDepth = 16;

const config::v1::FieldSpec& Spec(const Field& field);
bool IsDuration(const Field& field);  // google.protobuf.Duration, singular or repeated
bool IsSection(const Field& field);   // a singular message other than Duration
bool IsBytesUnit(const Field& field);

// "http.port" from "http" and "port"; `path` may be empty.
std::string JoinPath(absl::string_view path, absl::string_view name);
// Every path of the schema that can be set by itself, sections left out, in order of declaration.
void ForEachLeaf(const Schema& schema, absl::string_view path,
                 const std::function<void(const std::string& path, const Field& field)>& visit, int depth = 0);

// Where a value comes from: says so at the end of an error, given the line of the YAML it stands on (0 for none).
using Where = std::function<std::string(int line)>;

// Fills `message` from a map node, key by key. Nested messages merge, lists and maps are replaced.
absl::Status MergeNode(const YamlNode& node, absl::string_view path, const Where& where, Message& message,
                       int depth = 0);
// Sets one field from a node.
absl::Status SetField(const YamlNode& node, const Field& field, const std::string& path, const Where& where,
                      Message& message, int depth = 0);
// Sets the field at a dotted path from the text of a flag, a variable or a default.
absl::Status SetPath(absl::string_view path, absl::string_view text, const Where& where, Message& message);

// Sets one field from a text, parsing it as YAML where the field's type asks for more than one value.
absl::Status SetFieldText(absl::string_view text, const Field& field, const std::string& path, const Where& where,
                          Message& message);
// Fills the fields of a message that are not set with the defaults of its schema, sections included. INTERNAL when the
// schema itself is wrong.
absl::Status ApplyDefaults(Message& message, int depth = 0);

// INVALID_ARGUMENT naming an unknown key and the nearest known one.
absl::Status UnknownKey(const Schema& root, const Schema& level, absl::string_view path, absl::string_view name,
                        absl::string_view where);

// Appends what is wrong with the values of a message: bounds, choices, required fields.
void CheckMessage(const Message& message, absl::string_view path, std::vector<FieldViolation>& violations,
                  int depth = 0);
// The violation of one value of a field (element `index` of a list, -1 otherwise), empty when it is fine.
std::string CheckValue(const Message& message, const Field& field, int index);

// A scalar value as text the loader reads back; a secret is not masked.
std::string ValueText(const Message& message, const Field& field, int index);
// A bound of a field as its reader would write it: "64KiB", "1s", "65535".
std::string BoundText(const Field& field, double bound);

}  // namespace alcove::config_internal
