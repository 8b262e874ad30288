#include "services/vector-search/query/highlight.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

namespace alcove::vector_search {
namespace {

struct Hit {
  size_t begin, end;
  std::string word;
};
struct Window {
  size_t first, last;  // hits
  size_t different;
};

// Moves `at` to the border of a word that is near and on the outer side of it, at most `reach` bytes away.
size_t BackToSpace(absl::string_view text, size_t at, size_t limit) {
  for (size_t i = at; i > limit; --i) {
    if (text[i - 1] == ' ' || text[i - 1] == '\n') return i;
  }
  // No space near: at least no character is cut.
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  return at;
}
size_t ForwardToSpace(absl::string_view text, size_t at, size_t limit) {
  for (size_t i = at; i < limit; ++i) {
    if (text[i] == ' ' || text[i] == '\n') return i;
  }
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  return at;
}

}  // namespace

std::vector<std::string> Highlight(const Tokenizer& tokenizer, const absl::flat_hash_set<std::string>& words,
                                   absl::string_view text, const HighlightOptions& options) {
  std::vector<Hit> hits;
  tokenizer.ForEach(text, [&](const Token& token) {
    if (words.contains(token.text)) hits.push_back({token.begin, token.end, std::string(token.text)});
    return true;
  });
  const size_t size = options.fragment_bytes;
  std::vector<Window> windows;
  for (size_t first = 0; first < hits.size(); ++first) {
    absl::flat_hash_set<absl::string_view> different;
    size_t last = first;
    for (size_t i = first; i < hits.size() && hits[i].end - hits[first].begin <= size; ++i) {
      different.insert(hits[i].word);
      last = i;
    }
    windows.push_back({first, last, std::max<size_t>(1, different.size())});
  }
  // The richest windows that do not overlap.
  std::stable_sort(windows.begin(), windows.end(), [](const Window& a, const Window& b) {
    return a.different != b.different ? a.different > b.different : a.last - a.first > b.last - b.first;
  });
  std::vector<Window> chosen;
  for (const Window& window : windows) {
    if (chosen.size() == options.fragments) break;
    const bool overlaps = std::any_of(chosen.begin(), chosen.end(), [&](const Window& other) {
      return window.first <= other.last && other.first <= window.last;
    });
    if (!overlaps) chosen.push_back(window);
  }
  std::sort(chosen.begin(), chosen.end(), [](const Window& a, const Window& b) { return a.first < b.first; });

  std::vector<std::string> out;
  size_t before = 0;  // the end of the fragment before
  for (const Window& window : chosen) {
    const size_t begin_hit = hits[window.first].begin, end_hit = hits[window.last].end;
    const size_t spare = size > end_hit - begin_hit ? (size - (end_hit - begin_hit)) / 2 : 0;
    size_t begin = begin_hit - std::min(spare, begin_hit);
    size_t end = std::min(text.size(), end_hit + spare);
    begin = begin == 0 ? 0 : std::min(begin_hit, ForwardToSpace(text, begin, begin_hit));
    while (begin < begin_hit && (text[begin] == ' ' || text[begin] == '\n')) ++begin;
    end = end == text.size() ? end : std::max(end_hit, BackToSpace(text, end, end_hit));
    while (end > end_hit && (text[end - 1] == ' ' || text[end - 1] == '\n')) --end;
    begin = std::max(begin, std::min(before, begin_hit));
    std::string fragment;
    size_t at = begin;
    for (size_t i = window.first; i < hits.size() && hits[i].end <= end; ++i) {
      absl::StrAppend(&fragment, text.substr(at, hits[i].begin - at));
      fragment += options.pre;
      absl::StrAppend(&fragment, text.substr(hits[i].begin, hits[i].end - hits[i].begin));
      fragment += options.post;
      at = hits[i].end;
    }
    absl::StrAppend(&fragment, text.substr(at, end - at));
    before = end;
    out.push_back(std::move(fragment));
  }
  return out;
}

}  // namespace alcove::vector_search
