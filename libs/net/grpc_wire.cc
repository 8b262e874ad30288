#include "libs/net/grpc_wire.h"

#include <algorithm>
#include <array>
#include <limits>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/net/status_details.h"
#include "libs/net/views.h"

namespace alcove::net {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

void WriteGrpcPrefix(size_t length, char* out) {
  const auto n = static_cast<uint32_t>(length);
  out[0] = 0;
  out[1] = static_cast<char>(n >> 24);
  out[2] = static_cast<char>(n >> 16);
  out[3] = static_cast<char>(n >> 8);
  out[4] = static_cast<char>(n);
}

void AppendGrpcMessage(std::string_view message, std::string& out) {
  char prefix[kGrpcPrefixBytes];
  WriteGrpcPrefix(message.size(), prefix);
  out.reserve(out.size() + kGrpcPrefixBytes + message.size());
  out.append(prefix, kGrpcPrefixBytes);
  out.append(message);
}

void GrpcMessageReader::Append(std::string_view bytes) {
  if (offset_ == buffer_.size()) {
    buffer_.clear();
    offset_ = 0;
  }
  // Compacted when what was read outweighs what is left, so that a stream of messages moves each byte at most once.
  if (offset_ > 0 && offset_ >= buffer_.size() - offset_) {
    buffer_.erase(0, offset_);
    offset_ = 0;
  }
  buffer_.append(bytes);
}

void GrpcMessageReader::Shrink() {
  constexpr size_t kKeep = 64 * 1024;
  if (offset_ < buffer_.size() || buffer_.capacity() <= kKeep) return;
  buffer_ = std::string();
  offset_ = 0;
}

absl::StatusOr<std::optional<std::string>> GrpcMessageReader::Next() {
  absl::StatusOr<std::optional<std::string_view>> view = NextView();
  if (!view.ok()) return view.status();
  if (!view->has_value()) return std::nullopt;
  return std::string(**view);
}

absl::StatusOr<std::optional<std::string_view>> GrpcMessageReader::NextView() {
  const size_t available = buffer_.size() - offset_;
  if (available < kGrpcPrefixBytes) return std::nullopt;
  const auto* p = reinterpret_cast<const unsigned char*>(buffer_.data() + offset_);
  if (p[0] == 1) return absl::UnimplementedError("compressed gRPC messages are not accepted here");
  if (p[0] != 0) return absl::InternalError(absl::StrCat("malformed gRPC message prefix: flag ", p[0]));
  const size_t length = size_t{p[1]} << 24 | size_t{p[2]} << 16 | size_t{p[3]} << 8 | size_t{p[4]};
  if (length > max_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a gRPC message of ", length, " bytes is larger than the limit of ", max_));
  }
  if (available < kGrpcPrefixBytes + length) return std::nullopt;
  const std::string_view message(buffer_.data() + offset_ + kGrpcPrefixBytes, length);
  offset_ += kGrpcPrefixBytes + length;
  return message;
}

std::optional<absl::Duration> ParseGrpcTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t value = 0;
  for (char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  switch (text.back()) {
    case 'H': return absl::Hours(value);
    case 'M': return absl::Minutes(value);
    case 'S': return absl::Seconds(value);
    case 'm': return absl::Milliseconds(value);
    case 'u': return absl::Microseconds(value);
    case 'n': return absl::Nanoseconds(value);
    default: return std::nullopt;
  }
}

std::string FormatGrpcTimeout(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration()) return "1n";
  constexpr int64_t kMax = 99'999'999;
  const struct {
    absl::Duration unit;
    char letter;
  } kUnits[] = {{absl::Nanoseconds(1), 'n'}, {absl::Microseconds(1), 'u'}, {absl::Milliseconds(1), 'm'},
                {absl::Seconds(1), 'S'},     {absl::Minutes(1), 'M'},      {absl::Hours(1), 'H'}};
  for (const auto& u : kUnits) {
    absl::Duration rest;
    const int64_t n = absl::IDivDuration(timeout, u.unit, &rest);
    if (n <= kMax) return absl::StrCat(std::max<int64_t>(n, 1), std::string(1, u.letter));
  }
  return absl::StrCat(kMax, "H");
}

std::string PercentEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    const auto b = static_cast<unsigned char>(c);
    if (b >= 0x20 && b <= 0x7e && b != '%') {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[b >> 4]);
      out.push_back(kHex[b & 15]);
    }
  }
  return out;
}

std::string PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out.push_back(static_cast<char>(high << 4 | low));
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

absl::StatusCode ParseGrpcStatus(std::string_view text) {
  if (text.size() == 1 && text[0] >= '0' && text[0] <= '9') return static_cast<absl::StatusCode>(text[0] - '0');
  if (text.size() == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '6') {
    return static_cast<absl::StatusCode>(10 + text[1] - '0');
  }
  return absl::StatusCode::kUnknown;
}

absl::StatusCode GrpcCodeFromHttpStatus(int http_status) {
  // A 200 without grpc-status is a broken reply, not a success.
  if (http_status >= 200 && http_status < 300) return absl::StatusCode::kUnknown;
  return CodeFromHttpStatus(http_status);
}

void AppendGrpcTrailers(const absl::Status& status, HeaderList& trailers) {
  trailers.AddLower("grpc-status", absl::StrCat(static_cast<int>(status.code())));
  if (!status.message().empty()) trailers.AddLower("grpc-message", PercentEncode(StdView(status.message())));
  const std::string details = EncodeStatusDetails(status);
  if (!details.empty()) trailers.AddLower("grpc-status-details-bin", EncodeBase64(details));
}

absl::Status StatusFromGrpcTrailers(const HeaderList& trailers, int http_status) {
  const std::string_view code_text = trailers.Get("grpc-status");
  if (code_text.data() == nullptr) {
    const absl::StatusCode code = GrpcCodeFromHttpStatus(http_status);
    return absl::Status(code, absl::StrCat("the backend answered HTTP ", http_status, " without a gRPC status"));
  }
  const absl::StatusCode code = ParseGrpcStatus(code_text);
  if (code == absl::StatusCode::kOk) return absl::OkStatus();
  absl::Status status(code, PercentDecode(trailers.Get("grpc-message")));
  const std::string_view encoded = trailers.Get("grpc-status-details-bin");
  if (encoded.data() != nullptr) {
    if (std::optional<std::string> details = DecodeBase64(encoded)) DecodeStatusDetails(*details, status);
  }
  return status;
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  std::string out;
  if (!absl::Base64Unescape(absl::string_view(text.data(), text.size()), &out)) return std::nullopt;
  return out;
}

std::string EncodeBase64(std::string_view bytes) {
  return absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
}

}  // namespace alcove::net
