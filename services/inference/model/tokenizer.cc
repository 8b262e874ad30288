#include "services/inference/model/tokenizer.h"

#include <algorithm>
#include <utility>

#include "libs/common/status.h"
#include "services/inference/model/unicode.h"

namespace alcove::inference {
namespace {

size_t CountSpecials(const std::vector<TemplatePiece>& pieces) {
  size_t count = 0;
  for (const TemplatePiece& piece : pieces) count += piece.special_ids.size();
  return count;
}

std::vector<AddedToken> Select(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> selected;
  for (const AddedToken& token : tokens) {
    if (token.normalized == normalized) selected.push_back(token);
  }
  return selected;
}

// Matched against normalised text, so their own content is normalised once here.
std::vector<AddedToken> Normalized(std::vector<AddedToken> tokens, const std::optional<BertNormalizer>& normalizer) {
  if (!normalizer) return tokens;
  for (AddedToken& token : tokens) {
    std::string content;
    normalizer->Append(token.content, content);
    token.content = std::move(content);
  }
  return tokens;
}

enum class CharClass : unsigned char { kWord, kSpace, kPunctuation };

struct AsciiClasses {
  CharClass of[128];
  AsciiClasses() {
    for (int c = 0; c < 128; ++c) {
      of[c] = IsWhitespace(c) ? CharClass::kSpace : IsPunctuation(c) ? CharClass::kPunctuation : CharClass::kWord;
    }
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Create(TokenizerSpec spec) {
  // Added tokens outside the model's own vocabulary never become pieces of words, so the pieces come first.
  ALCOVE_ASSIGN_OR_RETURN(WordPiece wordpiece, WordPiece::Create(spec.vocabulary, spec.wordpiece));
  for (const AddedToken& token : spec.added_tokens) {
    const auto id = static_cast<size_t>(token.id);
    if (id >= spec.vocabulary.size()) spec.vocabulary.resize(id + 1);
    if (spec.vocabulary[id].empty()) spec.vocabulary[id] = token.content;
  }
  return std::unique_ptr<const Tokenizer>(new Tokenizer(std::move(spec), std::move(wordpiece)));
}

Tokenizer::Tokenizer(TokenizerSpec spec, WordPiece wordpiece)
    : vocabulary_(std::move(spec.vocabulary)),
      wordpiece_(std::move(wordpiece)),
      normalizer_(spec.normalizer ? std::optional<BertNormalizer>(*spec.normalizer) : std::nullopt),
      raw_tokens_(Select(spec.added_tokens, false)),
      normalized_tokens_(Normalized(Select(spec.added_tokens, true), normalizer_)),
      single_(std::move(spec.single)),
      pair_(std::move(spec.pair)) {
  using Kind = TemplatePiece::Kind;
  if (single_.empty()) single_ = {{Kind::kFirst, {}, 0}};
  if (pair_.empty()) pair_ = {{Kind::kFirst, {}, 0}, {Kind::kSecond, {}, 1}};
  single_specials_ = CountSpecials(single_);
  pair_specials_ = CountSpecials(pair_);
}

void Tokenizer::AppendWords(absl::string_view text, std::vector<int32_t>& ids) const {
  static const AsciiClasses ascii;
  size_t word_begin = 0;
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = static_cast<unsigned char>(text[i]);
    CharClass kind;
    size_t length = 1;
    if (byte < 0x80) {
      kind = ascii.of[byte];
    } else {
      absl::string_view rest = text.substr(i);
      const char32_t c = TakeCodePoint(rest);
      length = text.size() - i - rest.size();
      kind = IsWhitespace(c) ? CharClass::kSpace : IsPunctuation(c) ? CharClass::kPunctuation : CharClass::kWord;
    }
    if (kind != CharClass::kWord) {
      if (word_begin < i) wordpiece_.AppendWord(text.substr(word_begin, i - word_begin), ids);
      if (kind == CharClass::kPunctuation) wordpiece_.AppendWord(text.substr(i, length), ids);
      word_begin = i + length;
    }
    i += length;
  }
  if (word_begin < text.size()) wordpiece_.AppendWord(text.substr(word_begin), ids);
}

void Tokenizer::AppendNormalized(absl::string_view text, std::vector<int32_t>& ids) const {
  std::string normalized;
  if (normalizer_) {
    normalizer_->Append(text, normalized);
    text = normalized;
  }
  if (normalized_tokens_.empty()) {
    AppendWords(text, ids);
    return;
  }
  normalized_tokens_.Split(
      text, [&](absl::string_view part) { AppendWords(part, ids); },
      [&](const AddedToken& token) { ids.push_back(token.id); });
}

void Tokenizer::AppendText(absl::string_view text, std::vector<int32_t>& ids) const {
  if (raw_tokens_.empty()) {
    AppendNormalized(text, ids);
    return;
  }
  raw_tokens_.Split(
      text, [&](absl::string_view part) { AppendNormalized(part, ids); },
      [&](const AddedToken& token) { ids.push_back(token.id); });
}

std::vector<int32_t> Tokenizer::EncodeWithoutSpecialTokens(absl::string_view text) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 2);
  AppendText(text, ids);
  return ids;
}

Encoding Tokenizer::Assemble(const std::vector<TemplatePiece>& pieces, const std::vector<int32_t>& first,
                             const std::vector<int32_t>& second) {
  Encoding encoding;
  encoding.ids.reserve(first.size() + second.size() + 4);
  for (const TemplatePiece& piece : pieces) {
    const std::vector<int32_t>& part = piece.kind == TemplatePiece::Kind::kSpecial ? piece.special_ids
                                       : piece.kind == TemplatePiece::Kind::kFirst ? first
                                                                                   : second;
    encoding.ids.insert(encoding.ids.end(), part.begin(), part.end());
    encoding.type_ids.resize(encoding.ids.size(), piece.type_id);
  }
  return encoding;
}

Encoding Tokenizer::Encode(absl::string_view text, size_t max_tokens) const {
  std::vector<int32_t> ids = EncodeWithoutSpecialTokens(text);
  bool truncated = false;
  if (max_tokens > 0) {
    const size_t room = max_tokens > single_specials_ ? max_tokens - single_specials_ : 0;
    truncated = ids.size() > room;
    if (truncated) ids.resize(room);
  }
  Encoding encoding = Assemble(single_, ids, {});
  encoding.truncated = truncated;
  return encoding;
}

Encoding Tokenizer::EncodePair(absl::string_view first, absl::string_view second, size_t max_tokens) const {
  std::vector<int32_t> a = EncodeWithoutSpecialTokens(first);
  std::vector<int32_t> b = EncodeWithoutSpecialTokens(second);
  bool truncated = false;
  if (max_tokens > 0) {
    const size_t room = max_tokens > pair_specials_ ? max_tokens - pair_specials_ : 0;
    if (a.size() + b.size() > room) {
      truncated = true;
      // The longer text gives way until both have half; an odd token goes to the longer one.
      std::vector<int32_t>& shorter = a.size() > b.size() ? b : a;
      std::vector<int32_t>& longer = a.size() > b.size() ? a : b;
      size_t keep_short = shorter.size();
      size_t keep_long = keep_short > room ? keep_short : std::max(keep_short, room - keep_short);
      if (keep_short + keep_long > room) {
        keep_short = room / 2;
        keep_long = keep_short + room % 2;
      }
      shorter.resize(std::min(shorter.size(), keep_short));
      longer.resize(std::min(longer.size(), keep_long));
    }
  }
  Encoding encoding = Assemble(pair_, a, b);
  encoding.truncated = truncated;
  return encoding;
}

absl::string_view Tokenizer::TokenText(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= vocabulary_.size()) return {};
  return vocabulary_[id];
}

size_t Tokenizer::memory_bytes() const {
  size_t bytes = wordpiece_.memory_bytes() + vocabulary_.size() * sizeof(std::string);
  for (const std::string& token : vocabulary_) bytes += token.capacity() > 15 ? token.capacity() + 1 : 0;
  return bytes;
}

}  // namespace alcove::inference
