#pragma once

#include <string>

#include <google/protobuf/message.h>

#include "absl/status/status.h"

namespace alcove::gateway {

struct JsonReadLimits {
  int max_depth = 64;  // objects and lists inside one another
};

// Reads proto3 JSON (protobuf.dev/programming-guides/json) into `message`, which must be a generated message (not a
// dynamic one); fields already set and not named stay.
//
//   names      as in the .proto file or in camelCase
//   int64 …    numbers or strings; a number with a zero fraction is whole
//   float …    numbers, or strings with a number, "NaN", "Infinity", "-Infinity"
//   bytes      base64, standard or URL-safe, with or without padding
//   enums      the value's name, that name without the enum's prefix in any case ("use", "CACHE_MODE_USE"), or a number
//   null       leaves a field unset (it is a value of its own for google.protobuf.Value)
//   Timestamp, Duration, Struct, Value, ListValue, wrappers, maps   as proto3 JSON says
//
// `json` is only lent: its contents are unchanged, its capacity may grow by a few bytes.
// INVALID_ARGUMENT, naming the field by its path ("documents[3].metadata"), for anything malformed: a field the message
// does not have (with the nearest name), a wrong type, a number out of range, a key or oneof given twice, too much
// depth, bytes after the end. `message` is then partly filled.
//
// Cost: one pass (simdjson on-demand); a list of floats costs its parse and an append each. Thread-safe.
absl::Status JsonToMessage(std::string& json, google::protobuf::Message& message, const JsonReadLimits& limits = {});

}  // namespace alcove::gateway
