#include "libs/store/internal/text.h"

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/common/status.h"

namespace alcove::store::internal {
namespace {

// Length of the well-formed sequence at the start of `s`, 0 if it is malformed (overlong, surrogate, too large).
size_t SequenceLength(absl::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto continues = [&](size_t i) { return i < s.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!continues(1) || !continues(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) > 0x9f) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

absl::Status Check(absl::string_view field, absl::string_view text, size_t min_bytes, size_t max_bytes,
                   bool free_text) {
  if (text.size() < min_bytes) return InvalidField(field, "must not be empty");
  if (text.size() > max_bytes) {
    return InvalidField(field, absl::StrCat("has ", text.size(), " bytes; at most ", max_bytes, " are allowed"));
  }
  for (absl::string_view rest = text; !rest.empty();) {
    const size_t length = SequenceLength(rest);
    if (length == 0) return InvalidField(field, "is not valid UTF-8");
    const unsigned char c = static_cast<unsigned char>(rest[0]);
    const bool control = c < 0x20 || c == 0x7f;
    if (control && !(free_text && (c == '\n' || c == '\r' || c == '\t'))) {
      return InvalidField(field, "holds a control character");
    }
    rest.remove_prefix(length);
  }
  return absl::OkStatus();
}

}  // namespace

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

absl::Status CheckName(absl::string_view field, absl::string_view text, size_t min_bytes, size_t max_bytes) {
  return Check(field, text, min_bytes, max_bytes, false);
}

absl::Status CheckText(absl::string_view field, absl::string_view text, size_t max_bytes) {
  return Check(field, text, 0, max_bytes, true);
}

std::string MakePageToken(absl::string_view listing, absl::string_view last) {
  return absl::WebSafeBase64Escape(absl::StrCat(listing, ":", last));
}

absl::StatusOr<std::string> ReadPageToken(absl::string_view listing, absl::string_view token) {
  if (token.empty()) return std::string();
  std::string plain;
  absl::string_view rest;
  if (token.size() <= 2048 && absl::WebSafeBase64Unescape(token, &plain)) {
    rest = plain;
    if (absl::ConsumePrefix(&rest, listing) && absl::ConsumePrefix(&rest, ":") && IsUtf8(rest) &&
        rest.find('\0') == absl::string_view::npos) {
      return std::string(rest);
    }
  }
  return InvalidField("page_token", "is not a token of this listing; begin again without one");
}

absl::StatusOr<int64_t> ReadPageNumber(absl::string_view listing, absl::string_view token, int64_t start) {
  if (token.empty()) return start;
  ALCOVE_ASSIGN_OR_RETURN(const std::string text, ReadPageToken(listing, token));
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) return InvalidField("page_token", "is not a token of this listing");
  return number;
}

absl::StatusOr<int64_t> PageSize(const PageRequest& page) {
  if (page.page_size == 0) return 100;
  if (page.page_size < 0 || page.page_size > 1000) return InvalidField("page_size", "must be 1 to 1000, or 0 for 100");
  return page.page_size;
}

}  // namespace alcove::store::internal
