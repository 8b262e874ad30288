#include "libs/common/status.h"

#include <cerrno>
#include <cstring>
#include <iterator>

#include <absl/strings/cord.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "libs/common/text.h"

namespace alcove {
namespace {

constexpr absl::string_view kDetailsUrl = "alcove/ErrorDetails";
constexpr size_t kMaxViolations = 64;
constexpr size_t kMaxText = 1024;

constexpr absl::string_view kCodeNames[] = {
    "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
};

// The payload is a list of (tag byte, 4-byte little-endian length, bytes). A violation is a kViolationField followed by
// its kViolationText.
enum Tag : char {
  kReason = 1,
  kViolationField = 2,
  kViolationText = 3,
  kResourceType = 4,
  kResourceName = 5,
  kResourceText = 6,
  kRetryMillis = 7,
};

void Append(std::string& out, Tag tag, absl::string_view text) {
  text = TruncateUtf8(text, kMaxText);
  out.push_back(tag);
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(text.size() >> (8 * i)));
  out.append(text.data(), text.size());
}

std::string Encode(const ErrorDetails& details) {
  std::string out;
  if (!details.reason.empty()) Append(out, kReason, details.reason);
  for (size_t i = 0; i < details.field_violations.size() && i < kMaxViolations; ++i) {
    Append(out, kViolationField, details.field_violations[i].field);
    Append(out, kViolationText, details.field_violations[i].description);
  }
  if (details.resource) {
    Append(out, kResourceType, details.resource->type);
    Append(out, kResourceName, details.resource->name);
    Append(out, kResourceText, details.resource->description);
  }
  if (details.retry_after) Append(out, kRetryMillis, absl::StrCat(absl::ToInt64Milliseconds(*details.retry_after)));
  return out;
}

ErrorDetails Decode(absl::string_view in) {
  ErrorDetails details;
  auto resource = [&]() -> ResourceInfo& {
    if (!details.resource) details.resource.emplace();
    return *details.resource;
  };
  while (in.size() >= 5) {
    const char tag = in[0];
    uint32_t length = 0;
    for (int i = 0; i < 4; ++i) length |= uint32_t{static_cast<uint8_t>(in[1 + i])} << (8 * i);
    in.remove_prefix(5);
    if (length > in.size()) return {};
    std::string text(in.substr(0, length));
    in.remove_prefix(length);
    switch (tag) {
      case kReason: details.reason = std::move(text); break;
      case kViolationField: details.field_violations.push_back({std::move(text), ""}); break;
      case kViolationText:
        if (details.field_violations.empty()) return {};
        details.field_violations.back().description = std::move(text);
        break;
      case kResourceType: resource().type = std::move(text); break;
      case kResourceName: resource().name = std::move(text); break;
      case kResourceText: resource().description = std::move(text); break;
      case kRetryMillis:
        if (int64_t ms = 0; absl::SimpleAtoi(text, &ms)) details.retry_after = absl::Milliseconds(ms);
        break;
      default: return {};
    }
  }
  return details;
}

absl::Status WithDetails(absl::Status status, const ErrorDetails& details) {
  SetErrorDetails(status, details);
  return status;
}

}  // namespace

int HttpStatusFromCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk: return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange: return 400;
    case absl::StatusCode::kUnauthenticated: return 401;
    case absl::StatusCode::kPermissionDenied: return 403;
    case absl::StatusCode::kNotFound: return 404;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists: return 409;
    case absl::StatusCode::kResourceExhausted: return 429;
    case absl::StatusCode::kCancelled: return 499;
    case absl::StatusCode::kUnimplemented: return 501;
    case absl::StatusCode::kUnavailable: return 503;
    case absl::StatusCode::kDeadlineExceeded: return 504;
    default: return 500;
  }
}

absl::StatusCode CodeFromHttpStatus(int http_status) {
  if (http_status >= 200 && http_status < 300) return absl::StatusCode::kOk;
  switch (http_status) {
    case 400: return absl::StatusCode::kInternal;
    case 401: return absl::StatusCode::kUnauthenticated;
    case 403: return absl::StatusCode::kPermissionDenied;
    case 404: return absl::StatusCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504: return absl::StatusCode::kUnavailable;
    default: return absl::StatusCode::kUnknown;
  }
}

absl::string_view StatusCodeName(absl::StatusCode code) {
  const auto number = static_cast<size_t>(code);
  return number < std::size(kCodeNames) ? kCodeNames[number] : kCodeNames[2];
}

std::optional<absl::StatusCode> StatusCodeFromName(absl::string_view name) {
  for (size_t i = 0; i < std::size(kCodeNames); ++i) {
    if (kCodeNames[i] == name) return static_cast<absl::StatusCode>(i);
  }
  return std::nullopt;
}

absl::Status Annotate(absl::Status status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { annotated.SetPayload(url, payload); });
  return annotated;
}

absl::Status ErrnoStatus(int error_number, absl::string_view context) {
  absl::StatusCode code = absl::StatusCode::kUnknown;
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: code = absl::StatusCode::kNotFound; break;
    case EACCES:
    case EPERM:
    case EROFS: code = absl::StatusCode::kPermissionDenied; break;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EFBIG:
    case ENOMEM: code = absl::StatusCode::kResourceExhausted; break;
    case EEXIST: code = absl::StatusCode::kAlreadyExists; break;
    case EISDIR:
    case ENOTEMPTY: code = absl::StatusCode::kFailedPrecondition; break;
    case EINVAL:
    case ENAMETOOLONG: code = absl::StatusCode::kInvalidArgument; break;
    case ETIMEDOUT: code = absl::StatusCode::kDeadlineExceeded; break;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRINUSE:
    case EADDRNOTAVAIL: code = absl::StatusCode::kUnavailable; break;
    default: break;
  }
  char buffer[128];
  // The GNU variant returns the text, which need not be in the buffer.
  return absl::Status(code, absl::StrCat(context, ": ", strerror_r(error_number, buffer, sizeof(buffer))));
}

void SetErrorDetails(absl::Status& status, const ErrorDetails& details) {
  if (status.ok()) return;
  if (details.empty()) {
    status.ErasePayload(kDetailsUrl);
  } else {
    status.SetPayload(kDetailsUrl, absl::Cord(Encode(details)));
  }
}

ErrorDetails GetErrorDetails(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kDetailsUrl);
  return payload ? Decode(std::string(*payload)) : ErrorDetails{};
}

absl::Status InvalidField(absl::string_view field, absl::string_view description) {
  return InvalidFields({{std::string(field), std::string(description)}});
}

absl::Status InvalidFields(std::vector<FieldViolation> violations) {
  const std::string message = absl::StrJoin(violations, "; ", [](std::string* out, const FieldViolation& violation) {
    absl::StrAppend(out, violation.field, ": ", violation.description);
  });
  ErrorDetails details;
  details.field_violations = std::move(violations);
  return WithDetails(absl::InvalidArgumentError(message), details);
}

absl::Status NotFound(absl::string_view type, absl::string_view name) {
  ErrorDetails details;
  details.resource = ResourceInfo{std::string(type), std::string(name), ""};
  return WithDetails(absl::NotFoundError(absl::StrCat(type, " \"", name, "\" not found")), details);
}

absl::Status AlreadyExists(absl::string_view type, absl::string_view name) {
  ErrorDetails details;
  details.resource = ResourceInfo{std::string(type), std::string(name), ""};
  return WithDetails(absl::AlreadyExistsError(absl::StrCat(type, " \"", name, "\" already exists")), details);
}

absl::Status NotBuilt(absl::string_view what) {
  return absl::UnimplementedError(absl::StrCat(what, " is not available in this version"));
}

absl::Status WithRetryAfter(absl::Status status, absl::Duration retry_after) {
  ErrorDetails details = GetErrorDetails(status);
  details.retry_after = retry_after;
  return WithDetails(std::move(status), details);
}

absl::Status WithReason(absl::Status status, absl::string_view reason) {
  ErrorDetails details = GetErrorDetails(status);
  details.reason = std::string(reason);
  return WithDetails(std::move(status), details);
}

}  // namespace alcove
