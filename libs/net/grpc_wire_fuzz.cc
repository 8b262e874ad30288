// Everything that is read from gRPC frames and metadata, fed arbitrary bytes; round trips must hold.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "libs/net/grpc_wire.h"
#include "libs/net/status_details.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::net;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);

  GrpcMessageReader reader(1 << 16);
  const size_t step = size == 0 ? 1 : size_t{data[0]} + 1;
  size_t messages = 0;
  for (size_t at = 0; at < size; at += step) {
    reader.Append(bytes.substr(at, step));
    for (;;) {
      const auto next = reader.Next();
      if (!next.ok()) {
        at = size;
        break;
      }
      if (!next->has_value()) break;
      messages += 1 + (*next)->size();
    }
  }
  if (messages > size) std::abort();

  if (const auto timeout = ParseGrpcTimeout(bytes)) {
    const auto again = ParseGrpcTimeout(FormatGrpcTimeout(*timeout));
    if (!again || *again > *timeout + absl::Nanoseconds(1)) std::abort();
  }
  if (PercentDecode(PercentEncode(bytes)) != bytes) std::abort();
  PercentDecode(bytes);
  ParseGrpcStatus(bytes);
  if (const auto decoded = DecodeBase64(EncodeBase64(bytes)); !decoded || *decoded != bytes) std::abort();

  absl::Status status = absl::InternalError("x");
  DecodeStatusDetails(bytes, status);
  HeaderList trailers;
  AppendGrpcTrailers(status, trailers);
  if (StatusFromGrpcTrailers(trailers, 200).code() != status.code()) std::abort();
  HeaderList garbled;
  garbled.Add("grpc-status", bytes.substr(0, 3));
  garbled.Add("grpc-message", bytes);
  garbled.Add("grpc-status-details-bin", bytes);
  StatusFromGrpcTrailers(garbled, 200).IgnoreError();
  return 0;
}
