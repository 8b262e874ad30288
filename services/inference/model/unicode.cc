#include "services/inference/model/unicode.h"

#include <algorithm>
#include <iterator>

#include <utf8proc.h>

namespace alcove::inference {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};
struct ShiftedRange {
  char32_t first;
  char32_t last;
  int32_t shift;
};
#include "services/inference/model/unicode_exceptions.inc"

template <typename R, size_t N>
const R* FindRange(const R (&ranges)[N], char32_t c) {
  const R* found = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                                    [](const R& range, char32_t value) { return range.last < value; });
  return found != std::end(ranges) && found->first <= c ? found : nullptr;
}

utf8proc_category_t Category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

}  // namespace

char32_t TakeCodePoint(absl::string_view& text) {
  const auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continuation = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    text.remove_prefix(1);
    return lead;
  }
  char32_t value = 0xfffd;
  size_t length = 1;
  if (lead >= 0xc2 && lead <= 0xdf && continuation(1)) {
    value = (lead & 0x1fu) << 6 | (byte(1) & 0x3fu);
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef && continuation(1) && continuation(2)) {
    const char32_t candidate = (lead & 0x0fu) << 12 | (byte(1) & 0x3fu) << 6 | (byte(2) & 0x3fu);
    if (candidate >= 0x800 && (candidate < 0xd800 || candidate > 0xdfff)) {
      value = candidate;
      length = 3;
    }
  } else if (lead >= 0xf0 && lead <= 0xf4 && continuation(1) && continuation(2) && continuation(3)) {
    const char32_t candidate =
        (lead & 0x07u) << 18 | (byte(1) & 0x3fu) << 12 | (byte(2) & 0x3fu) << 6 | (byte(3) & 0x3fu);
    if (candidate >= 0x10000 && candidate <= 0x10ffff) {
      value = candidate;
      length = 4;
    }
  }
  text.remove_prefix(length);
  return value;
}

void AppendUtf8(char32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xc0 | c >> 6));
    out.push_back(static_cast<char>(0x80 | (c & 0x3f)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | c >> 12));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3f)));
  } else {
    out.push_back(static_cast<char>(0xf0 | c >> 18));
    out.push_back(static_cast<char>(0x80 | (c >> 12 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3f)));
  }
}

bool IsWhitespace(char32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool IsControl(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO: return true;
    case UTF8PROC_CATEGORY_CF: return FindRange(kNotFormat, c) == nullptr;
    default: return false;
  }
}

bool IsPunctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  }
  const utf8proc_category_t category = Category(c);
  if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO) {
    return FindRange(kNotPunctuation, c) == nullptr;
  }
  return FindRange(kAlsoPunctuation, c) != nullptr;
}

bool IsNonspacingMark(char32_t c) {
  const utf8proc_category_t category = Category(c);
  if (category == UTF8PROC_CATEGORY_MN) return FindRange(kNotNonspacing, c) == nullptr;
  return category == UTF8PROC_CATEGORY_MC && FindRange(kAlsoNonspacing, c) != nullptr;
}

bool IsCjkIdeograph(char32_t c) {
  // The ranges are the reference's, gaps included (its extension E starts at U+2B920).
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
         (c >= 0x2a700 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) ||
         (c >= 0x2f800 && c <= 0x2fa1f);
}

int CombiningClass(char32_t c) { return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class; }

void AppendLower(char32_t c, std::string& out) {
  if (c == 0x130) {
    out.append("i\xcc\x87");
    return;
  }
  if (const ShiftedRange* range = FindRange(kLowerShift, c)) {
    AppendUtf8(static_cast<char32_t>(static_cast<int32_t>(c) + range->shift), out);
    return;
  }
  AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
}

void AppendCanonicalDecomposition(char32_t c, CodePoints& out) {
  if (FindRange(kNotDecomposed, c) != nullptr) {
    out.push_back(c);
    return;
  }
  utf8proc_int32_t parts[8];
  int boundary_class = 0;
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 8, UTF8PROC_DECOMPOSE, &boundary_class);
  if (count <= 0 || count > 8) {
    out.push_back(c);
    return;
  }
  for (utf8proc_ssize_t i = 0; i < count; ++i) out.push_back(static_cast<char32_t>(parts[i]));
}

}  // namespace alcove::inference
