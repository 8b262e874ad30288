#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/status/status.h"

namespace alcove::gateway {

// Text forms of protobuf scalars, shared by JSON strings, path variables and query parameters.

std::optional<int64_t> ParseInt64(std::string_view text);    // decimal, no spaces, no leading '+'
std::optional<uint64_t> ParseUint64(std::string_view text);  // as above
// A JSON number, "NaN", "Infinity" or "-Infinity".
std::optional<double> ParseDouble(std::string_view text);
// Standard or URL-safe alphabet, padding optional.
std::optional<std::string> ParseBase64(std::string_view text);
// RFC 3339 with a zone, years 1 to 9999: "2024-05-01T12:00:00.5Z".
std::optional<google::protobuf::Timestamp> ParseTimestamp(std::string_view text);
// "1.5s", "-3s", at most 9 decimals and 10,000 years.
std::optional<google::protobuf::Duration> ParseDuration(std::string_view text);
// By number, name, or name without the common prefix in any case.
const google::protobuf::EnumValueDescriptor* ParseEnum(const google::protobuf::EnumDescriptor& type,
                                                       std::string_view text);

std::string FormatTimestamp(const google::protobuf::Timestamp& value);
std::string FormatDuration(const google::protobuf::Duration& value);

// Sets (or, for a repeated field, appends) a scalar, a bytes, an enum, a Timestamp, Duration or wrapper field from its
// text. The message of an error says what the text should have been; the caller knows where it stood.
absl::Status SetFieldFromText(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                              std::string_view text);

// Range-checked stores of numbers into any numeric field of a message. False: out of range, or not a numeric field.
bool StoreInteger(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field, int64_t value);
bool StoreUnsigned(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field, uint64_t value);
bool StoreDouble(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field, double value);

// The double itself as a float where one is near: values up to half a step beyond the largest float round to it.
inline constexpr double kLargestFloatInput = 0x1.ffffffp127;

// "a whole number from 0 to 4294967295", for messages.
std::string ExpectedText(const google::protobuf::FieldDescriptor& field);

}  // namespace alcove::gateway
