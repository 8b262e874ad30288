#include "libs/net/status_details.h"

#include <cstdint>
#include <optional>

#include "libs/common/status.h"
#include "libs/net/views.h"

namespace alcove::net {
namespace {

constexpr std::string_view kTypePrefix = "type.googleapis.com/";
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kBytes = 2;
constexpr uint32_t kFixed32 = 5;

void PutVarint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void PutNumber(uint32_t field, uint64_t value, std::string& out) {
  if (value == 0) return;
  PutVarint(field << 3 | kVarint, out);
  PutVarint(value, out);
}

void PutBytes(uint32_t field, std::string_view value, std::string& out) {
  PutVarint(field << 3 | kBytes, out);
  PutVarint(value.size(), out);
  out.append(value);
}

void PutText(uint32_t field, std::string_view value, std::string& out) {
  if (!value.empty()) PutBytes(field, value, out);
}

void PutAny(std::string_view type, std::string_view message, std::string& out) {
  std::string any;
  PutBytes(1, std::string(kTypePrefix).append(type), any);
  PutBytes(2, message, any);
  PutBytes(3, any, out);
}

// Walks the fields of one serialized message.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : rest_(bytes) {}

  // Moves to the next field; false at the end or at malformed bytes (then ok() is false).
  bool Next() {
    if (rest_.empty() || !ok_) return false;
    uint64_t tag = 0;
    if (!Varint(tag)) return false;
    field_ = static_cast<uint32_t>(tag >> 3);
    type_ = static_cast<uint32_t>(tag & 7);
    switch (type_) {
      case kVarint: return Varint(number_);
      case kFixed64: return Take(8);
      case kFixed32: return Take(4);
      case kBytes: {
        uint64_t length = 0;
        return Varint(length) && Take(length);
      }
      default: ok_ = false; return false;
    }
  }
  bool ok() const { return ok_; }
  bool IsText(uint32_t field) const { return field_ == field && type_ == kBytes; }
  bool IsNumber(uint32_t field) const { return field_ == field && type_ == kVarint; }
  std::string_view text() const { return text_; }
  uint64_t number() const { return number_; }

 private:
  bool Varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    ok_ = false;
    return false;
  }
  bool Take(uint64_t length) {
    if (length > rest_.size()) {
      ok_ = false;
      return false;
    }
    text_ = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
  }

  std::string_view rest_;
  std::string_view text_;
  uint64_t number_ = 0;
  uint32_t field_ = 0;
  uint32_t type_ = 0;
  bool ok_ = true;
};

void ReadViolation(std::string_view bytes, ErrorDetails& details) {
  FieldViolation violation;
  FieldReader reader(bytes);
  while (reader.Next()) {
    if (reader.IsText(1)) violation.field = reader.text();
    if (reader.IsText(2)) violation.description = reader.text();
  }
  if (reader.ok()) details.field_violations.push_back(std::move(violation));
}

void ReadResource(std::string_view bytes, ErrorDetails& details) {
  ResourceInfo info;
  FieldReader reader(bytes);
  while (reader.Next()) {
    if (reader.IsText(1)) info.type = reader.text();
    if (reader.IsText(2)) info.name = reader.text();
    if (reader.IsText(4)) info.description = reader.text();
  }
  if (reader.ok()) details.resource = std::move(info);
}

void ReadRetry(std::string_view bytes, ErrorDetails& details) {
  FieldReader reader(bytes);
  while (reader.Next()) {
    if (!reader.IsText(1)) continue;
    int64_t seconds = 0;
    int32_t nanos = 0;
    FieldReader duration(reader.text());
    while (duration.Next()) {
      if (duration.IsNumber(1)) seconds = static_cast<int64_t>(duration.number());
      if (duration.IsNumber(2)) nanos = static_cast<int32_t>(duration.number());
    }
    if (duration.ok() && seconds >= 0 && nanos >= 0) {
      details.retry_after = absl::Seconds(seconds) + absl::Nanoseconds(nanos);
    }
  }
}

void ReadAny(std::string_view bytes, ErrorDetails& details) {
  std::string_view type;
  std::string_view value;
  FieldReader any(bytes);
  while (any.Next()) {
    if (any.IsText(1)) type = any.text();
    if (any.IsText(2)) value = any.text();
  }
  if (!any.ok()) return;
  type = type.substr(type.rfind('/') == std::string_view::npos ? 0 : type.rfind('/') + 1);
  if (type == "google.rpc.ErrorInfo") {
    FieldReader reader(value);
    while (reader.Next()) {
      if (reader.IsText(1)) details.reason = reader.text();
    }
  } else if (type == "google.rpc.BadRequest") {
    FieldReader reader(value);
    while (reader.Next()) {
      if (reader.IsText(1)) ReadViolation(reader.text(), details);
    }
  } else if (type == "google.rpc.ResourceInfo") {
    ReadResource(value, details);
  } else if (type == "google.rpc.RetryInfo") {
    ReadRetry(value, details);
  }
}

}  // namespace

std::string EncodeStatusDetails(const absl::Status& status) {
  if (status.ok()) return {};
  const ErrorDetails details = GetErrorDetails(status);
  if (details.empty()) return {};
  std::string out;
  PutNumber(1, static_cast<uint64_t>(status.code()), out);
  PutText(2, StdView(status.message()), out);
  if (!details.reason.empty()) {
    std::string info;
    PutText(1, details.reason, info);
    PutText(2, "alcove", info);
    PutAny("google.rpc.ErrorInfo", info, out);
  }
  if (!details.field_violations.empty()) {
    std::string bad_request;
    for (const FieldViolation& v : details.field_violations) {
      std::string violation;
      PutText(1, v.field, violation);
      PutText(2, v.description, violation);
      PutBytes(1, violation, bad_request);
    }
    PutAny("google.rpc.BadRequest", bad_request, out);
  }
  if (details.resource) {
    std::string info;
    PutText(1, details.resource->type, info);
    PutText(2, details.resource->name, info);
    PutText(4, details.resource->description, info);
    PutAny("google.rpc.ResourceInfo", info, out);
  }
  if (details.retry_after) {
    absl::Duration rest;
    const int64_t seconds = absl::IDivDuration(*details.retry_after, absl::Seconds(1), &rest);
    std::string duration;
    PutNumber(1, static_cast<uint64_t>(seconds), duration);
    PutNumber(2, static_cast<uint64_t>(absl::ToInt64Nanoseconds(rest)), duration);
    std::string info;
    PutBytes(1, duration, info);
    PutAny("google.rpc.RetryInfo", info, out);
  }
  return out;
}

void DecodeStatusDetails(std::string_view bytes, absl::Status& status) {
  if (status.ok()) return;
  ErrorDetails details;
  FieldReader reader(bytes);
  while (reader.Next()) {
    if (reader.IsText(3)) ReadAny(reader.text(), details);
  }
  if (reader.ok() && !details.empty()) SetErrorDetails(status, details);
}

}  // namespace alcove::net
