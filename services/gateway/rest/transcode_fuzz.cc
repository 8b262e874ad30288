// Any JSON body and any path: never a crash, never an accepted body that a strict JSON reader refuses.
#include <cstdint>
#include <cstdlib>
#include <string>

#include <simdjson.h>

#include "alcove/gateway/v1/gateway.pb.h"
#include "alcove/vector/v1/vector.pb.h"
#include "services/gateway/rest/json_reader.h"
#include "services/gateway/rest/json_writer.h"

using alcove::gateway::JsonToMessage;
using alcove::gateway::MessageToJson;

namespace {

template <typename T>
void Check(const std::string& text, bool valid_json) {
  std::string json = text;
  T message;
  if (!JsonToMessage(json, message).ok()) return;
  if (!valid_json) std::abort();
  std::string written = MessageToJson(message);
  T again;
  if (!JsonToMessage(written, again).ok()) std::abort();
  if (MessageToJson(again) != written) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  static simdjson::dom::parser parser;
  simdjson::dom::element element;
  // Numbers beyond 64 bits are JSON too; the strict reader only lacks a type for them.
  const auto error = parser.parse(text).get(element);
  const bool valid = !error || error == simdjson::NUMBER_ERROR;
  Check<alcove::gateway::v1::SearchRequest>(text, valid);
  Check<alcove::gateway::v1::UpsertDocumentsRequest>(text, valid);
  Check<alcove::vector::v1::Collection>(text, valid);
  Check<alcove::vector::v1::UpsertPointsRequest>(text, valid);
  return 0;
}
