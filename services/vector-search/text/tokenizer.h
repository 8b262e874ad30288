// Cuts a text into the words that are searched.
//
// A word is a run of letters, marks and digits (Unicode categories L, M, N); everything else separates. Scripts written
// without spaces are cut finer: each Han and Hiragana character, and each Thai, Lao, Myanmar and Khmer letter with its
// marks, is a word of its own. A word is normalised to NFKC with case folding (so "ﬁ" is "fi", "É" is "é", "ß" is
// "ss"); a word in the stop list is left out; what remains loses its ending by the Snowball algorithm of the language,
// if one is set, and is cut to 64 bytes. Deterministic; part of what a text index means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_set.h>
#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>

struct sb_stemmer;

namespace alcove::vector_search {

inline constexpr size_t kMaxWordBytes = 64;  // longer words are cut to it
inline constexpr size_t kMaxStopWords = 1024;
inline constexpr size_t kMaxStopWordBytes = 64;

struct TextSettings {
  std::string language;                 // Snowball algorithm: "english", "german" …; empty keeps endings
  std::vector<std::string> stop_words;  // compared with words before their endings are removed

  friend bool operator==(const TextSettings&, const TextSettings&) = default;
};

// INVALID_ARGUMENT naming what is wrong: an unknown language (with those there are), too many or too long stop words.
absl::Status ValidateTextSettings(absl::string_view field, const TextSettings& settings);

struct Token {
  absl::string_view text;  // normalised; valid during the visit only
  size_t begin = 0;        // bytes of the original text: [begin, end)
  size_t end = 0;
  uint32_t position = 0;  // counts words, left-out ones too
};

// Thread-safe.
class Tokenizer {
 public:
  // As ValidateTextSettings.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Make(const TextSettings& settings);
  // Without language and stop words: what payload fields of type text are cut with.
  static const Tokenizer& Plain();
  ~Tokenizer();

  // Calls visit(token) from left to right until it returns false. Bytes that are not UTF-8 separate words.
  void ForEach(absl::string_view text, absl::FunctionRef<bool(const Token&)> visit) const;
  // The words of a text in order.
  std::vector<std::string> Words(absl::string_view text) const;

 private:
  explicit Tokenizer(const TextSettings& settings);
  sb_stemmer* TakeStemmer() const;
  void GiveStemmer(sb_stemmer* stemmer) const;

  const std::string language_;
  absl::flat_hash_set<std::string> stop_words_;  // normalised
  // A stemmer serves one thread at a time; idle ones wait here.
  mutable absl::Mutex mutex_;
  mutable std::vector<sb_stemmer*> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace alcove::vector_search
