// The text normalisation of BERT tokenizers ("BertNormalizer" in tokenizer.json): clean, separate ideographs, strip
// accents, lower-case, in that order.
#pragma once

#include <optional>
#include <string>

#include <absl/strings/string_view.h>

namespace alcove::inference {

struct BertNormalizerOptions {
  bool clean_text = true;             // drop control characters, turn white space into U+0020
  bool handle_chinese_chars = true;   // put a space on each side of a CJK ideograph
  std::optional<bool> strip_accents;  // decompose canonically and drop non-spacing marks; absent: as `lowercase`
  bool lowercase = true;
};

// Immutable, thread safe.
class BertNormalizer {
 public:
  explicit BertNormalizer(const BertNormalizerOptions& options);

  // Appends the normalised form of `text` to `out`. Bytes that are not UTF-8 count as U+FFFD. Cost: linear, about one
  // table look-up per ASCII byte.
  void Append(absl::string_view text, std::string& out) const;

 private:
  void AppendNonAscii(absl::string_view text, std::string& out) const;

  bool clean_;
  bool separate_cjk_;
  bool strip_;
  bool lower_;
  unsigned char ascii_[128];  // what an ASCII byte becomes; 0 drops it
};

}  // namespace alcove::inference
