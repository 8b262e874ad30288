#include "services/vector-search/sparse/sparse_index.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

namespace alcove::vector_search {
namespace {

using sparse_internal::Leg;

// Bounds are computed with the mean length of the moment. They stay correct as it moves (see TextIndex::Search), only
// less tight; past this factor they are computed anew.
constexpr float kMeanDrift = 1.25f;

struct TextScorer {
  const SparseOptions& options;
  float mean_length;
  // How much a row's impact can exceed the one its list's bound was computed with.
  double growth;
  const std::vector<uint32_t>& lengths;

  double Bound(float weight, float low, float high) const { return double{weight} * high * growth; }
  uint32_t Row(alcove::vector_search::Row row) const { return lengths[row]; }
  float Score(uint32_t length, float weight, uint32_t frequency) const {
    return weight * Bm25Saturation(options, mean_length, frequency, length);
  }
};

struct VectorScorer {
  double Bound(float weight, float low, float high) const {
    return std::max(0.0, std::max(double{weight} * high, double{weight} * low));
  }
  int Row(alcove::vector_search::Row) const { return 0; }
  float Score(int, float weight, uint32_t value) const { return weight * std::bit_cast<float>(value); }
};

float VectorImpact(Row, uint32_t value) { return std::bit_cast<float>(value); }

size_t DictionaryEntryBytes(absl::string_view word) {
  // A slot of a flat table that is about three quarters full, and what a long word takes beside it.
  return (sizeof(std::pair<std::string, uint32_t>) + 1) * 4 / 3 + (word.size() > 15 ? word.size() + 17 : 0);
}
constexpr size_t kIndexEntryBytes = (sizeof(std::pair<uint32_t, uint32_t>) + 1) * 4 / 3;

std::string EncodeComponents(const SparseComponents& vector) {
  const size_t n = vector.indices.size() * sizeof(uint32_t);
  std::string out(2 * n, '\0');
  std::memcpy(out.data(), vector.indices.data(), n);
  std::memcpy(out.data() + n, vector.values.data(), n);
  return out;
}

SparseComponents DecodeComponents(absl::string_view bytes) {
  const size_t n = bytes.size() / (2 * sizeof(uint32_t));
  SparseComponents out{std::vector<uint32_t>(n), std::vector<float>(n)};
  if (n == 0) return out;
  std::memcpy(out.indices.data(), bytes.data(), n * sizeof(uint32_t));
  std::memcpy(out.values.data(), bytes.data() + n * sizeof(uint32_t), n * sizeof(float));
  return out;
}

}  // namespace

WordCounts CountWords(const Tokenizer& tokenizer, absl::Span<const absl::string_view> texts) {
  absl::flat_hash_map<std::string, uint32_t> counts;
  for (const absl::string_view text : texts) {
    tokenizer.ForEach(text, [&](const Token& token) {
      ++counts[token.text];
      return true;
    });
  }
  WordCounts out;
  out.reserve(counts.size());
  for (const auto& [word, count] : counts) out.push_back({word, count});
  std::sort(out.begin(), out.end(), [](const WordCount& a, const WordCount& b) { return a.word < b.word; });
  return out;
}

float InverseFrequency(uint64_t documents, uint64_t frequency) {
  const auto n = static_cast<double>(frequency);
  // Statistics are gathered a moment before the search, so a frequency may have outgrown the number of documents.
  const double others = std::max(0.0, static_cast<double>(documents) - n);
  return static_cast<float>(std::log1p((others + 0.5) / (n + 0.5)));
}

float Bm25Saturation(const SparseOptions& options, float mean_length, uint32_t frequency, uint32_t length) {
  const auto f = static_cast<float>(frequency);
  const float norm = options.k1 * (1 - options.b + options.b * static_cast<float>(length) / mean_length);
  return f * (options.k1 + 1) / (f + norm);
}

size_t SparseIndex::size() const {
  absl::ReaderMutexLock lock(&mutex_);
  return documents_;
}

size_t SparseIndex::MemoryBytes() const {
  absl::ReaderMutexLock lock(&mutex_);
  return posting_bytes_ + other_bytes_ + lists_.capacity() * sizeof(PostingList) +
         free_lists_.capacity() * sizeof(uint32_t);
}

uint32_t SparseIndex::NewList() {
  if (!free_lists_.empty()) {
    const uint32_t list = free_lists_.back();
    free_lists_.pop_back();
    return list;
  }
  lists_.emplace_back(smallest_);
  return static_cast<uint32_t>(lists_.size() - 1);
}

void SparseIndex::InsertPosting(uint32_t list, Row row, uint32_t value, PostingList::Impact impact) {
  posting_bytes_ -= lists_[list].MemoryBytes();
  lists_[list].Insert(row, value, impact);
  posting_bytes_ += lists_[list].MemoryBytes();
}

bool SparseIndex::RemovePosting(uint32_t list, Row row, PostingList::Impact impact) {
  posting_bytes_ -= lists_[list].MemoryBytes();
  lists_[list].Remove(row, impact);
  if (lists_[list].empty()) {
    lists_[list] = PostingList(smallest_);
    free_lists_.push_back(list);
    return true;
  }
  posting_bytes_ += lists_[list].MemoryBytes();
  return false;
}

float TextIndex::MeanLength() const {
  return documents_ == 0 ? 1 : static_cast<float>(static_cast<double>(total_length_) / static_cast<double>(documents_));
}

void TextIndex::AddRow(Row row, const WordCounts& words) {
  uint32_t length = 0;
  for (const WordCount& word : words) length += word.count;
  if (row >= lengths_.size()) {
    other_bytes_ -= lengths_.capacity() * sizeof(uint32_t);
    lengths_.resize(row + 1);
    other_bytes_ += lengths_.capacity() * sizeof(uint32_t);
  }
  lengths_[row] = length;
  ++documents_;
  total_length_ += length;
  KeepBoundsTight();
  const auto impact = [this](Row r, uint32_t frequency) {
    mutex_.AssertHeld();
    return Bm25Saturation(options_, reference_mean_, frequency, lengths_[r]);
  };
  for (const WordCount& word : words) {
    auto at = dictionary_.find(word.word);
    if (at == dictionary_.end()) {
      at = dictionary_.emplace(word.word, NewList()).first;
      other_bytes_ += DictionaryEntryBytes(word.word);
    }
    InsertPosting(at->second, row, word.count, impact);
  }
}

void TextIndex::Add(Row row, const WordCounts& words) {
  if (words.empty()) return;
  absl::MutexLock lock(&mutex_);
  AddRow(row, words);
}

void TextIndex::Remove(Row row, const WordCounts& words) {
  if (words.empty()) return;
  absl::MutexLock lock(&mutex_);
  RemoveRow(row, words);
}

void TextIndex::Replace(Row row, const WordCounts& before, const WordCounts& after) {
  absl::MutexLock lock(&mutex_);
  if (!before.empty()) RemoveRow(row, before);
  if (!after.empty()) AddRow(row, after);
}

void TextIndex::RemoveRow(Row row, const WordCounts& words) {
  const auto impact = [this](Row r, uint32_t frequency) {
    mutex_.AssertHeld();
    return Bm25Saturation(options_, reference_mean_, frequency, lengths_[r]);
  };
  uint32_t length = 0;
  for (const WordCount& word : words) {
    length += word.count;
    const auto at = dictionary_.find(word.word);
    if (at == dictionary_.end()) continue;
    if (RemovePosting(at->second, row, impact)) {
      other_bytes_ -= DictionaryEntryBytes(word.word);
      dictionary_.erase(at);
    }
  }
  --documents_;
  total_length_ -= length;
}

void TextIndex::KeepBoundsTight() {
  const float mean = MeanLength();
  if (reference_mean_ > 0 && mean < reference_mean_ * kMeanDrift && mean * kMeanDrift > reference_mean_) return;
  reference_mean_ = mean;
  for (PostingList& list : lists_) {
    list.Rescore([this](Row row, uint32_t frequency) {
      mutex_.AssertHeld();
      return Bm25Saturation(options_, reference_mean_, frequency, lengths_[row]);
    });
  }
}

SparseStatistics TextIndex::Statistics(const WordCounts& query) const {
  SparseStatistics out;
  absl::ReaderMutexLock lock(&mutex_);
  out.documents = documents_;
  out.total_length = total_length_;
  for (const WordCount& word : query) {
    const auto at = dictionary_.find(word.word);
    out.frequencies.push_back(at == dictionary_.end() ? 0 : lists_[at->second].size());
  }
  return out;
}

std::vector<SparseHit> TextIndex::Search(const WordCounts& query, const SparseStatistics* statistics, size_t k,
                                         const RowBitmap* filter, Stop stop) const {
  SparseStatistics own;
  if (statistics == nullptr) {
    own = Statistics(query);
    statistics = &own;
  }
  absl::ReaderMutexLock lock(&mutex_);
  const float mean = statistics->documents == 0
                         ? MeanLength()
                         : static_cast<float>(static_cast<double>(std::max<uint64_t>(1, statistics->total_length)) /
                                              static_cast<double>(statistics->documents));
  // With mean length A' instead of A, f / (f + c(A')) <= f / (f + c(A)) * max(1, A' / A), because the part c of the
  // denominator shrinks by no more than A / A'.
  TextScorer scorer{options_, mean, std::max(1.0, double{mean} / std::max(reference_mean_, 1e-6f)), lengths_};
  std::vector<Leg> legs;
  for (size_t i = 0; i < query.size(); ++i) {
    const auto at = dictionary_.find(query[i].word);
    if (at == dictionary_.end()) continue;
    const PostingList& list = lists_[at->second];
    const uint64_t frequency = i < statistics->frequencies.size() ? statistics->frequencies[i] : list.size();
    const float weight = static_cast<float>(query[i].count) * InverseFrequency(statistics->documents, frequency);
    legs.push_back({PostingCursor(list), weight, scorer.Bound(weight, list.low(), list.high())});
  }
  return BlockMaxSearch(legs, scorer, k, filter, stop);
}

void SparseVectorIndex::Set(Row row, const SparseComponents& vector) {
  absl::MutexLock lock(&mutex_);
  RemoveRow(row);
  if (vector.empty()) return;
  if (row >= stored_.size()) {
    other_bytes_ -= stored_.capacity() * sizeof(std::string);
    stored_.resize(row + 1);
    other_bytes_ += stored_.capacity() * sizeof(std::string);
  }
  stored_[row] = EncodeComponents(vector);
  other_bytes_ += stored_[row].capacity();
  ++documents_;
  for (size_t i = 0; i < vector.indices.size(); ++i) {
    auto at = dictionary_.find(vector.indices[i]);
    if (at == dictionary_.end()) {
      at = dictionary_.emplace(vector.indices[i], NewList()).first;
      other_bytes_ += kIndexEntryBytes;
    }
    InsertPosting(at->second, row, std::bit_cast<uint32_t>(vector.values[i]), VectorImpact);
  }
}

void SparseVectorIndex::RemoveRow(Row row) {
  if (row >= stored_.size() || stored_[row].empty()) return;
  const SparseComponents vector = DecodeComponents(stored_[row]);
  for (const uint32_t index : vector.indices) {
    const auto at = dictionary_.find(index);
    if (at == dictionary_.end()) continue;
    if (RemovePosting(at->second, row, VectorImpact)) {
      other_bytes_ -= kIndexEntryBytes;
      dictionary_.erase(at);
    }
  }
  other_bytes_ -= stored_[row].capacity();
  std::string().swap(stored_[row]);
  --documents_;
}

SparseComponents SparseVectorIndex::Get(Row row) const {
  absl::ReaderMutexLock lock(&mutex_);
  return row < stored_.size() ? DecodeComponents(stored_[row]) : SparseComponents();
}

SparseStatistics SparseVectorIndex::Statistics(const SparseComponents& query) const {
  SparseStatistics out;
  absl::ReaderMutexLock lock(&mutex_);
  out.documents = documents_;
  for (const uint32_t index : query.indices) {
    const auto at = dictionary_.find(index);
    out.frequencies.push_back(at == dictionary_.end() ? 0 : lists_[at->second].size());
  }
  return out;
}

std::vector<SparseHit> SparseVectorIndex::Search(const SparseComponents& query, const SparseStatistics* statistics,
                                                 size_t k, const RowBitmap* filter, Stop stop) const {
  SparseStatistics own;
  if (statistics == nullptr && options_.idf) {
    own = Statistics(query);
    statistics = &own;
  }
  absl::ReaderMutexLock lock(&mutex_);
  const VectorScorer scorer;
  std::vector<Leg> legs;
  for (size_t i = 0; i < query.indices.size(); ++i) {
    const auto at = dictionary_.find(query.indices[i]);
    if (at == dictionary_.end()) continue;
    const PostingList& list = lists_[at->second];
    float weight = query.values[i];
    if (options_.idf) {
      const uint64_t frequency = i < statistics->frequencies.size() ? statistics->frequencies[i] : list.size();
      weight *= InverseFrequency(statistics->documents, frequency);
    }
    legs.push_back({PostingCursor(list), weight, scorer.Bound(weight, list.low(), list.high())});
  }
  return BlockMaxSearch(legs, scorer, k, filter, stop);
}

}  // namespace alcove::vector_search
