#include "services/inference/model/bert_normalizer.h"

#include <algorithm>
#include <cstddef>

#include "services/inference/model/unicode.h"

namespace alcove::inference {
namespace {

// Canonical ordering (Unicode Standard, section 3.11, D109): runs of code points with a non-zero combining class are
// sorted by class, stably.
void ReorderMarks(CodePoints& points) {
  for (size_t begin = 0; begin < points.size();) {
    if (CombiningClass(points[begin]) == 0) {
      ++begin;
      continue;
    }
    size_t end = begin + 1;
    while (end < points.size() && CombiningClass(points[end]) != 0) ++end;
    std::stable_sort(points.begin() + begin, points.begin() + end,
                     [](char32_t a, char32_t b) { return CombiningClass(a) < CombiningClass(b); });
    begin = end;
  }
}

}  // namespace

BertNormalizer::BertNormalizer(const BertNormalizerOptions& options)
    : clean_(options.clean_text),
      separate_cjk_(options.handle_chinese_chars),
      strip_(options.strip_accents.value_or(options.lowercase)),
      lower_(options.lowercase) {
  for (int c = 0; c < 128; ++c) {
    int mapped = c;
    if (clean_) {
      if (c == '\t' || c == '\n' || c == '\r') {
        mapped = ' ';
      } else if (c < 32 || c == 127) {
        mapped = 0;
      }
    }
    if (lower_ && c >= 'A' && c <= 'Z') mapped = c - 'A' + 'a';
    ascii_[c] = static_cast<unsigned char>(mapped);
  }
}

void BertNormalizer::Append(absl::string_view text, std::string& out) const {
  out.reserve(out.size() + text.size());
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      const unsigned char mapped = ascii_[byte];
      // NUL is dropped by cleaning and kept otherwise.
      if (mapped != 0 || !clean_) out.push_back(static_cast<char>(mapped));
      ++i;
      continue;
    }
    // A run of non-ASCII bytes: marks reorder only among themselves, and no ASCII character takes part.
    size_t end = i + 1;
    while (end < text.size() && static_cast<unsigned char>(text[end]) >= 0x80) ++end;
    AppendNonAscii(text.substr(i, end - i), out);
    i = end;
  }
}

void BertNormalizer::AppendNonAscii(absl::string_view text, std::string& out) const {
  CodePoints points;
  while (!text.empty()) {
    char32_t c = TakeCodePoint(text);
    if (clean_) {
      if (c == 0xfffd || IsControl(c)) continue;
      if (IsWhitespace(c)) c = ' ';
    }
    const bool separate = separate_cjk_ && IsCjkIdeograph(c);
    if (separate) points.push_back(' ');
    if (strip_) {
      AppendCanonicalDecomposition(c, points);
    } else {
      points.push_back(c);
    }
    if (separate) points.push_back(' ');
  }
  if (strip_) ReorderMarks(points);
  for (char32_t c : points) {
    if (strip_ && IsNonspacingMark(c)) continue;
    if (lower_) {
      AppendLower(c, out);
    } else {
      AppendUtf8(c, out);
    }
  }
}

}  // namespace alcove::inference
