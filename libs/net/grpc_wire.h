#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/net/header_list.h"

// The bytes of gRPC over HTTP/2 (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): pure functions.
namespace alcove::net {

inline constexpr size_t kGrpcPrefixBytes = 5;

// Writes the prefix of an uncompressed message of `length` bytes into the kGrpcPrefixBytes at `out`.
void WriteGrpcPrefix(size_t length, char* out);
// Appends one uncompressed length-prefixed message.
void AppendGrpcMessage(std::string_view message, std::string& out);

// Cuts a byte stream into messages, whatever the sizes of the pieces it arrives in.
class GrpcMessageReader {
 public:
  explicit GrpcMessageReader(size_t max_message_bytes) : max_(max_message_bytes) {}
  void Append(std::string_view bytes);
  // The next whole message, nullopt when more bytes are needed. RESOURCE_EXHAUSTED for a message longer than the
  // maximum (known from its prefix), UNIMPLEMENTED for a compressed one, INTERNAL for a malformed prefix.
  absl::StatusOr<std::optional<std::string>> Next();
  // The same without a copy; valid until the next call of this object.
  absl::StatusOr<std::optional<std::string_view>> NextView();
  // Gives back a large buffer in which nothing waits.
  void Shrink();
  // True when no partial message is held: where a well-formed stream may end.
  bool AtBoundary() const { return buffer_.size() == offset_; }

 private:
  size_t max_;
  std::string buffer_;
  size_t offset_ = 0;
};

// "100m" → 100 ms. 1 to 8 digits, then one of H M S m u n; nullopt otherwise.
std::optional<absl::Duration> ParseGrpcTimeout(std::string_view text);
// The largest value not above `timeout` that fits the grammar; "1n" for what is not positive. At most 9 characters.
std::string FormatGrpcTimeout(absl::Duration timeout);

// grpc-message percent-encoding: bytes outside 0x20..0x7e, and '%', become %XX. Decoding is lenient: a malformed escape
// stays as it is.
std::string PercentEncode(std::string_view text);
std::string PercentDecode(std::string_view text);

// grpc-status 0..16 from its decimal text; UNKNOWN for anything else.
absl::StatusCode ParseGrpcStatus(std::string_view text);
// What a client must assume of a response with this HTTP status and no grpc-status.
absl::StatusCode GrpcCodeFromHttpStatus(int http_status);

// Appends grpc-status, grpc-message and grpc-status-details-bin for `status`.
void AppendGrpcTrailers(const absl::Status& status, HeaderList& trailers);
// The absl::Status of response trailers (or of Trailers-Only headers). `http_status` stands in when grpc-status is
// missing. Details travel as the status payload libs/common/status.h names.
absl::Status StatusFromGrpcTrailers(const HeaderList& trailers, int http_status);

// Standard base64 without or with padding, as in `-bin` metadata.
std::optional<std::string> DecodeBase64(std::string_view text);
std::string EncodeBase64(std::string_view bytes);

}  // namespace alcove::net
