#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

namespace alcove::gateway {

// Appends `message` as JSON to `out`. How it differs from protobuf's own printer is part of the API (docs/API.md):
//
//   names      as in the .proto file (snake_case)
//   int64 …    numbers up to ±(2^53-1), strings beyond
//   present    numbers and booleans always; texts, enums, messages, lists and maps only when they hold something, but
//              lists and maps of the message itself (not of messages inside it) always; an `optional` field when set
//   floats     the shortest text that reads back equal; "NaN", "Infinity", "-Infinity"
//   enums      by name; bytes in base64; maps and Structs with sorted keys
//
// Thread-safe. The result is valid UTF-8 whatever the message holds.
void AppendMessageJson(const google::protobuf::Message& message, std::string& out);
std::string MessageToJson(const google::protobuf::Message& message);

void AppendJsonNumber(double value, std::string& out);  // the quoted names for what is not finite
void AppendJsonNumber(float value, std::string& out);
void AppendJsonInteger(int64_t value, std::string& out);
void AppendJsonText(std::string_view text, std::string& out);  // quoted and escaped

// Builds a JSON text by hand, keeping commas and nesting right: for documents that no message describes.
//   JsonBuilder json; json.BeginObject().Key("object").Text("list").EndObject(); json.Take();
class JsonBuilder {
 public:
  JsonBuilder& BeginObject() { return Open('{'); }
  JsonBuilder& EndObject() { return Close('}'); }
  JsonBuilder& BeginArray() { return Open('['); }
  JsonBuilder& EndArray() { return Close(']'); }
  JsonBuilder& Key(std::string_view name);
  JsonBuilder& Text(std::string_view value);
  JsonBuilder& Integer(int64_t value);
  JsonBuilder& Number(double value);
  JsonBuilder& Bool(bool value);
  JsonBuilder& Null();
  JsonBuilder& Raw(std::string_view json);  // an already serialised value
  JsonBuilder& Member(std::string_view name, std::string_view value) { return Key(name).Text(value); }

  std::string Take() { return std::move(out_); }
  std::string& text() { return out_; }

 private:
  JsonBuilder& Open(char c);
  JsonBuilder& Close(char c);
  void Separate();

  std::string out_;
  bool first_ = true;
};

}  // namespace alcove::gateway
