#include "services/inference/model/added_tokens.h"

#include <algorithm>
#include <utility>

#include <absl/strings/match.h>
#include <utf8proc.h>

#include "services/inference/model/unicode.h"

namespace alcove::inference {
namespace {

// \w of UTS #18: letters, marks, decimal digits, letter numbers, connector punctuation, joiners.
bool IsWordCharacter(char32_t c) {
  if (c == 0x200c || c == 0x200d) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return false;
  }
}

// Where the last code point of `text` (not empty) begins.
size_t LastCodePoint(absl::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && text.size() - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  return begin;
}

bool EndsWithWordCharacter(absl::string_view text) {
  if (text.empty()) return false;
  absl::string_view last = text.substr(LastCodePoint(text));
  return IsWordCharacter(TakeCodePoint(last));
}

bool StartsWithWordCharacter(absl::string_view text) { return !text.empty() && IsWordCharacter(TakeCodePoint(text)); }

size_t WithoutTrailingSpace(absl::string_view text) {
  while (!text.empty()) {
    const size_t begin = LastCodePoint(text);
    absl::string_view last = text.substr(begin);
    if (!IsWhitespace(TakeCodePoint(last))) break;
    text = text.substr(0, begin);
  }
  return text.size();
}

size_t LeadingSpace(absl::string_view text) {
  const size_t size = text.size();
  while (!text.empty()) {
    absl::string_view rest = text;
    if (!IsWhitespace(TakeCodePoint(rest))) break;
    text = rest;
  }
  return size - text.size();
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.content.size() > b.content.size(); });
  for (const AddedToken& token : tokens_) starts_token_[static_cast<unsigned char>(token.content[0])] = true;
}

const AddedToken* AddedTokenMatcher::MatchAt(absl::string_view text) const {
  for (const AddedToken& token : tokens_) {
    if (absl::StartsWith(text, token.content)) return &token;
  }
  return nullptr;
}

void AddedTokenMatcher::Split(absl::string_view text, const std::function<void(absl::string_view)>& text_part,
                              const std::function<void(const AddedToken&)>& token) const {
  size_t done = 0;
  if (!tokens_.empty()) {
    for (size_t i = 0; i < text.size();) {
      const AddedToken* match = starts_token_[static_cast<unsigned char>(text[i])] ? MatchAt(text.substr(i)) : nullptr;
      if (match == nullptr) {
        ++i;
        continue;
      }
      size_t begin = i;
      size_t end = i + match->content.size();
      i = end;
      if (match->single_word &&
          (EndsWithWordCharacter(text.substr(0, begin)) || StartsWithWordCharacter(text.substr(end)))) {
        continue;
      }
      if (match->lstrip) begin = std::max(done, WithoutTrailingSpace(text.substr(0, begin)));
      if (match->rstrip) end += LeadingSpace(text.substr(end));
      begin = std::max(begin, done);
      if (done < begin) text_part(text.substr(done, begin - done));
      token(*match);
      done = end;
    }
  }
  if (done < text.size()) text_part(text.substr(done));
}

}  // namespace alcove::inference
