// One inverted index: rows by the terms they hold. Of a text, terms are words with how often each occurs, scored by
// BM25; of a sparse vector, terms are component numbers with weights, scored by the inner product.
//
// BM25 (S. Robertson, H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009), as Lucene has it:
//   idf(t)  = ln(1 + (N - n_t + 0.5) / (n_t + 0.5))
//   score   = sum over words t of the query: count of t in the query * idf(t) * f (k1 + 1) / (f + k1 (1 - b + b L / A))
// f is how often the row has t, L the row's length in words, A the mean length of rows. N, n_t and A belong to the
// whole collection, not to one shard: Statistics() of all shards are added up and given to Search(), so that a row's
// score does not depend on how the collection is cut.
//
// Cost: an insertion rewrites a few hundred bytes for each term; a search reads the blocks that can matter. Memory:
// MemoryBytes(), kept up to date by every change.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/functional/function_ref.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>
#include <absl/types/span.h>

#include "services/vector-search/collection/row_set.h"
#include "services/vector-search/collection/sparse_values.h"
#include "services/vector-search/sparse/block_max_search.h"
#include "services/vector-search/sparse/posting_list.h"
#include "services/vector-search/text/tokenizer.h"

namespace alcove::vector_search {

// A word and how often it occurs.
struct WordCount {
  std::string word;
  uint32_t count = 0;
  friend bool operator==(const WordCount&, const WordCount&) = default;
};
using WordCounts = std::vector<WordCount>;  // ascending by word, each once

// The words of some texts together.
WordCounts CountWords(const Tokenizer& tokenizer, absl::Span<const absl::string_view> texts);

struct SparseOptions {
  float k1 = 1.2f;   // of BM25: how soon further occurrences count less
  float b = 0.75f;   // of BM25: how much long texts count less, 0 to 1
  bool idf = false;  // vectors: multiply the query's weights by idf
};

// What both kinds share. Thread safety: any number of readers beside one writer; a change of one row keeps readers
// waiting for microseconds.
class SparseIndex {
 public:
  using Stop = absl::FunctionRef<bool()>;

  size_t size() const;  // rows with at least one term
  size_t MemoryBytes() const;

 protected:
  SparseIndex(SparseOptions options, uint32_t smallest_value) : options_(options), smallest_(smallest_value) {}
  uint32_t NewList() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void InsertPosting(uint32_t list, Row row, uint32_t value, PostingList::Impact impact)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the list is empty now and was given back.
  bool RemovePosting(uint32_t list, Row row, PostingList::Impact impact) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SparseOptions options_;
  const uint32_t smallest_;
  mutable absl::Mutex mutex_;
  std::vector<PostingList> lists_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_lists_ ABSL_GUARDED_BY(mutex_);
  size_t documents_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t posting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t other_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // dictionary and stored vectors
};

// idf as above; also for vectors with SparseOptions::idf.
float InverseFrequency(uint64_t documents, uint64_t frequency);
// The part of BM25 that depends on the row: f (k1 + 1) / (f + k1 (1 - b + b L / A)).
float Bm25Saturation(const SparseOptions& options, float mean_length, uint32_t frequency, uint32_t length);

class TextIndex final : public SparseIndex {
 public:
  explicit TextIndex(SparseOptions options) : SparseIndex(options, 1) {}

  // `row` is not in the index. Without words nothing happens.
  void Add(Row row, const WordCounts& words);
  // Takes exactly what Add(row, words) put in.
  void Remove(Row row, const WordCounts& words);
  // Remove and Add that no search sees between.
  void Replace(Row row, const WordCounts& before, const WordCounts& after);

  SparseStatistics Statistics(const WordCounts& query) const;
  // The best rows that hold a word of the query, best first, equal scores by row. `statistics` as Statistics(query)
  // of all shards gives them; null takes this index's own. `filter` null means every row.
  std::vector<SparseHit> Search(const WordCounts& query, const SparseStatistics* statistics, size_t k,
                                const RowBitmap* filter, Stop stop) const;

 private:
  void AddRow(Row row, const WordCounts& words) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveRow(Row row, const WordCounts& words) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  float MeanLength() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void KeepBoundsTight() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::flat_hash_map<std::string, uint32_t> dictionary_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> lengths_ ABSL_GUARDED_BY(mutex_);  // by row
  uint64_t total_length_ ABSL_GUARDED_BY(mutex_) = 0;
  float reference_mean_ ABSL_GUARDED_BY(mutex_) = 0;  // mean length the lists' bounds were computed with
};

class SparseVectorIndex final : public SparseIndex {
 public:
  explicit SparseVectorIndex(SparseOptions options) : SparseIndex(options, 0) {}

  // The row's vector from now on; without components it has none.
  void Set(Row row, const SparseComponents& vector);
  void Remove(Row row) { Set(row, {}); }
  // The row's vector as it was given; empty when it has none.
  SparseComponents Get(Row row) const;

  SparseStatistics Statistics(const SparseComponents& query) const;
  // As TextIndex::Search; statistics matter only with SparseOptions::idf.
  std::vector<SparseHit> Search(const SparseComponents& query, const SparseStatistics* statistics, size_t k,
                                const RowBitmap* filter, Stop stop) const;

 private:
  void RemoveRow(Row row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::flat_hash_map<uint32_t, uint32_t> dictionary_ ABSL_GUARDED_BY(mutex_);
  // By row: indices, then values; empty when the row has no vector.
  std::vector<std::string> stored_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace alcove::vector_search
