#include "services/vector-search/text/tokenizer.h"

#include <cstdlib>
#include <utility>

#include <absl/strings/str_cat.h>
#include <libstemmer.h>
#include <utf8proc.h>

#include "libs/common/status.h"
#include "libs/common/text.h"

namespace alcove::vector_search {
namespace {

// What is looked at of one run of letters; more cannot reach a token of kMaxWordBytes, except through marks that
// vanish, which no word needs so many of.
constexpr size_t kMaxRunBytes = 4 * kMaxWordBytes;

enum class CharClass : uint8_t { kSeparator, kLetter, kMark, kSingle, kSyllable };

// Letters of scripts without spaces between words.
bool IsSyllabic(int32_t c) {
  return (c >= 0x0e00 && c <= 0x0eff) || (c >= 0x1000 && c <= 0x109f) || (c >= 0x1780 && c <= 0x17ff);
}
bool IsHanOrHiragana(int32_t c) {
  return (c >= 0x3041 && c <= 0x309f) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}

CharClass Classify(int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return CharClass::kMark;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      if (IsHanOrHiragana(c)) return CharClass::kSingle;
      return IsSyllabic(c) ? CharClass::kSyllable : CharClass::kLetter;
    default: return CharClass::kSeparator;
  }
}

bool IsAsciiWord(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// One character at `at`: its class and size in bytes; ill-formed bytes separate, one at a time.
CharClass Next(absl::string_view text, size_t at, size_t* size) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) {
    *size = 1;
    return IsAsciiWord(byte) ? CharClass::kLetter : CharClass::kSeparator;
  }
  utf8proc_int32_t c = 0;
  const utf8proc_ssize_t n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                              static_cast<utf8proc_ssize_t>(text.size() - at), &c);
  if (n <= 0) {
    *size = 1;
    return CharClass::kSeparator;
  }
  *size = static_cast<size_t>(n);
  return Classify(c);
}

// Puts the normalised form of a run into `out`.
void Normalise(absl::string_view run, std::string& out) {
  out.clear();
  if (run.size() > kMaxRunBytes) run = TruncateUtf8(run, kMaxRunBytes);
  bool ascii = true;
  for (const char c : run) {
    ascii = ascii && static_cast<unsigned char>(c) < 0x80;
    out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c);
  }
  if (ascii) return;
  utf8proc_uint8_t* folded = nullptr;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE |
                                                      UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
  const utf8proc_ssize_t n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(run.data()),
                                          static_cast<utf8proc_ssize_t>(run.size()), &folded, options);
  if (n >= 0) out.assign(reinterpret_cast<const char*>(folded), static_cast<size_t>(n));
  std::free(folded);
}

}  // namespace

absl::Status ValidateTextSettings(absl::string_view field, const TextSettings& settings) {
  if (!settings.language.empty()) {
    std::string known;
    bool found = false;
    for (const char** name = sb_stemmer_list(); *name != nullptr; ++name) {
      found = found || settings.language == *name;
      absl::StrAppend(&known, known.empty() ? "" : ", ", *name);
    }
    if (!found) {
      return InvalidField(absl::StrCat(field, ".language"),
                          absl::StrCat("\"", settings.language.substr(0, 64), "\" is none of ", known));
    }
  }
  if (settings.stop_words.size() > kMaxStopWords) {
    return InvalidField(absl::StrCat(field, ".stop_words"), absl::StrCat("must be at most ", kMaxStopWords, " words"));
  }
  for (const std::string& word : settings.stop_words) {
    if (word.empty() || word.size() > kMaxStopWordBytes || !IsValidUtf8(word)) {
      return InvalidField(absl::StrCat(field, ".stop_words"),
                          absl::StrCat("each word must be UTF-8 of 1 to ", kMaxStopWordBytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Make(const TextSettings& settings) {
  ALCOVE_RETURN_IF_ERROR(ValidateTextSettings("text", settings));
  return std::unique_ptr<const Tokenizer>(new Tokenizer(settings));
}

const Tokenizer& Tokenizer::Plain() {
  static const Tokenizer* const plain = new Tokenizer(TextSettings());
  return *plain;
}

Tokenizer::Tokenizer(const TextSettings& settings) : language_(settings.language) {
  std::string normal;
  for (const std::string& word : settings.stop_words) {
    Normalise(word, normal);
    stop_words_.insert(normal);
  }
}

Tokenizer::~Tokenizer() {
  for (sb_stemmer* stemmer : idle_) sb_stemmer_delete(stemmer);
}

sb_stemmer* Tokenizer::TakeStemmer() const {
  {
    absl::MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      sb_stemmer* const stemmer = idle_.back();
      idle_.pop_back();
      return stemmer;
    }
  }
  return sb_stemmer_new(language_.c_str(), "UTF_8");
}

void Tokenizer::GiveStemmer(sb_stemmer* stemmer) const {
  absl::MutexLock lock(&mutex_);
  idle_.push_back(stemmer);
}

void Tokenizer::ForEach(absl::string_view text, absl::FunctionRef<bool(const Token&)> visit) const {
  sb_stemmer* const stemmer = language_.empty() ? nullptr : TakeStemmer();
  std::string word;
  Token token;
  bool going = true;
  const auto emit = [&](size_t begin, size_t end) {
    Normalise(text.substr(begin, end - begin), word);
    if (word.empty()) return;
    const uint32_t position = token.position++;
    if (!stop_words_.empty() && stop_words_.contains(word)) return;
    absl::string_view out = word;
    if (stemmer != nullptr) {
      const sb_symbol* const stem =
          sb_stemmer_stem(stemmer, reinterpret_cast<const sb_symbol*>(word.data()), static_cast<int>(word.size()));
      if (stem != nullptr && sb_stemmer_length(stemmer) > 0) {
        out = {reinterpret_cast<const char*>(stem), static_cast<size_t>(sb_stemmer_length(stemmer))};
      }
    }
    if (out.size() > kMaxWordBytes) out = TruncateUtf8(out, kMaxWordBytes);
    going = visit(Token{out, begin, end, position});
  };
  size_t at = 0;
  size_t size = 0;
  while (going && at < text.size()) {
    const CharClass first = Next(text, at, &size);
    const size_t begin = at;
    at += size;
    // A mark without a letter before it begins no word.
    if (first == CharClass::kSeparator || first == CharClass::kMark) continue;
    while (at < text.size()) {
      const CharClass next = Next(text, at, &size);
      if (next != CharClass::kMark && !(first == CharClass::kLetter && next == CharClass::kLetter)) break;
      at += size;
    }
    emit(begin, at);
  }
  if (stemmer != nullptr) GiveStemmer(stemmer);
}

std::vector<std::string> Tokenizer::Words(absl::string_view text) const {
  std::vector<std::string> words;
  ForEach(text, [&](const Token& token) {
    words.emplace_back(token.text);
    return true;
  });
  return words;
}

}  // namespace alcove::vector_search
