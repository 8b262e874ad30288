#include "services/vector-search/sparse/sparse_index.h"

#include <atomic>
#include <cmath>
#include <map>
#include <random>
#include <thread>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::vector_search {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

bool Never() { return false; }

WordCounts Count(absl::string_view text) { return CountWords(Tokenizer::Plain(), {text}); }

// Zipf-like words, now and then one text that repeats a word a lot.
std::string RandomText(std::mt19937& rng, size_t vocabulary) {
  std::string out;
  const size_t n = rng() % 12 == 0 ? rng() % 200 : rng() % 20;
  for (size_t i = 0; i < n; ++i) {
    const double u = std::uniform_real_distribution<double>(0, 1)(rng);
    absl::StrAppend(&out, " w", static_cast<size_t>(std::pow(static_cast<double>(vocabulary), u)) - 1);
  }
  return out;
}

// Scores every text, one after the other, from the definition.
std::vector<SparseHit> Exhaustive(const std::map<Row, WordCounts>& texts, const SparseOptions& options,
                                  const WordCounts& query, const SparseStatistics& statistics, size_t k,
                                  const RowBitmap* filter) {
  const float mean =
      static_cast<float>(static_cast<double>(statistics.total_length) / static_cast<double>(statistics.documents));
  std::vector<SparseHit> all;
  for (const auto& [row, words] : texts) {
    if (filter != nullptr && !filter->Contains(row)) continue;
    uint32_t length = 0;
    for (const WordCount& word : words) length += word.count;
    float score = 0;
    bool any = false;
    for (size_t i = 0; i < query.size(); ++i) {
      for (const WordCount& word : words) {
        if (word.word != query[i].word) continue;
        any = true;
        score += static_cast<float>(query[i].count) *
                 InverseFrequency(statistics.documents, statistics.frequencies[i]) *
                 Bm25Saturation(options, mean, word.count, length);
      }
    }
    if (any) all.push_back({row, score});
  }
  std::sort(all.begin(), all.end(), HitRanksBefore);
  if (all.size() > k) all.resize(k);
  return all;
}

SparseStatistics StatisticsOf(const std::map<Row, WordCounts>& texts, const WordCounts& query) {
  SparseStatistics out;
  out.frequencies.resize(query.size());
  for (const auto& [row, words] : texts) {
    if (words.empty()) continue;
    ++out.documents;
    for (const WordCount& word : words) {
      out.total_length += word.count;
      for (size_t i = 0; i < query.size(); ++i) out.frequencies[i] += word.word == query[i].word;
    }
  }
  return out;
}

RowBitmap RandomFilter(std::mt19937& rng, size_t rows, uint32_t one_in) {
  RowBitmap filter(rows);
  for (Row row = 0; row < rows; ++row) {
    if (rng() % one_in == 0) filter.Add(row);
  }
  return filter;
}

TEST(TextIndex, EqualsScoringEveryTextThroughInsertsAndRemovals) {
  std::mt19937 rng(1);
  for (const SparseOptions& options :
       {SparseOptions{}, SparseOptions{.k1 = 0.5f, .b = 0}, SparseOptions{.k1 = 3, .b = 1}}) {
    TextIndex index(options);
    std::map<Row, WordCounts> texts;
    for (int round = 0; round < 7; ++round) {
      for (int i = 0; i < 400; ++i) {
        const Row row = rng() % 3000;
        // Lengths drift, so that bounds computed earlier are put to the test.
        WordCounts words = Count(absl::StrCat(RandomText(rng, 500), round > 3 ? RandomText(rng, 500) : ""));
        if (const auto at = texts.find(row); at == texts.end()) {
          index.Add(row, words);
        } else if (rng() % 3 != 0) {
          index.Replace(row, at->second, words);
        } else {
          index.Remove(row, at->second);
          texts.erase(at);
          continue;
        }
        texts[row] = std::move(words);
      }
      for (int query_number = 0; query_number < 8; ++query_number) {
        const WordCounts query = Count(absl::StrCat("w", rng() % 40, RandomText(rng, 500)));
        const SparseStatistics statistics = StatisticsOf(texts, query);
        const SparseStatistics own = index.Statistics(query);
        ASSERT_EQ(own.documents, statistics.documents);
        ASSERT_EQ(own.total_length, statistics.total_length);
        ASSERT_EQ(own.frequencies, statistics.frequencies);
        for (const size_t k : {1u, 10u, 5000u}) {
          ASSERT_EQ(index.Search(query, nullptr, k, nullptr, Never),
                    Exhaustive(texts, options, query, statistics, k, nullptr));
        }
        const RowBitmap filter = RandomFilter(rng, 3000, 1 + rng() % 50);
        ASSERT_EQ(index.Search(query, nullptr, 10, &filter, Never),
                  Exhaustive(texts, options, query, statistics, 10, &filter));
      }
    }
    for (const auto& [row, words] : texts) index.Remove(row, words);
    EXPECT_EQ(index.size(), 0u);
    EXPECT_EQ(index.Statistics(Count("w1")).total_length, 0u);
  }
}

TEST(TextIndex, ScoresDoNotDependOnHowTextsAreSpreadOverShards) {
  std::mt19937 rng(2);
  TextIndex whole({});
  std::vector<std::unique_ptr<TextIndex>> shards;
  for (int i = 0; i < 3; ++i) shards.push_back(std::make_unique<TextIndex>(SparseOptions{}));
  for (Row row = 0; row < 900; ++row) {
    const WordCounts words = Count(RandomText(rng, 200));
    whole.Add(row, words);
    shards[row % 3]->Add(row, words);
  }
  for (int i = 0; i < 30; ++i) {
    const WordCounts query = Count(RandomText(rng, 200));
    SparseStatistics sum;
    for (const auto& shard : shards) sum.Add(shard->Statistics(query));
    std::vector<SparseHit> merged;
    for (const auto& shard : shards) {
      const auto hits = shard->Search(query, &sum, 15, nullptr, Never);
      merged.insert(merged.end(), hits.begin(), hits.end());
    }
    std::sort(merged.begin(), merged.end(), HitRanksBefore);
    merged.resize(std::min<size_t>(merged.size(), 15));
    EXPECT_EQ(merged, whole.Search(query, nullptr, 15, nullptr, Never));
  }
}

TEST(TextIndex, RanksARareWordAboveACommonOneAndShortTextsAboveLongOnes) {
  TextIndex index({});
  index.Add(0, Count("common words here common"));
  index.Add(1, Count("common rare"));
  index.Add(2, Count("common and many many many other words that make it long"));
  index.Add(3, Count(""));
  EXPECT_EQ(index.size(), 3u);
  std::vector<Row> rows;
  for (const SparseHit& hit : index.Search(Count("rare common"), nullptr, 10, nullptr, Never)) rows.push_back(hit.row);
  EXPECT_THAT(rows, ElementsAre(1, 0, 2));
  EXPECT_THAT(index.Search(Count("nowhere"), nullptr, 10, nullptr, Never), IsEmpty());
  EXPECT_THAT(index.Search(Count(""), nullptr, 10, nullptr, Never), IsEmpty());
}

TEST(TextIndex, GivesMemoryBack) {
  std::mt19937 rng(4);
  TextIndex index({});
  std::vector<WordCounts> texts;
  for (Row row = 0; row < 2000; ++row) texts.push_back(Count(RandomText(rng, 3000)));
  for (Row row = 0; row < 2000; ++row) index.Add(row, texts[row]);
  const size_t full = index.MemoryBytes();
  for (Row row = 0; row < 2000; ++row) index.Remove(row, texts[row]);
  // Tables keep their size for the next texts.
  EXPECT_LT(index.MemoryBytes(), full / 2);
  const size_t empty = index.MemoryBytes();
  for (int i = 0; i < 3; ++i) {
    for (Row row = 0; row < 2000; ++row) index.Add(row, texts[row]);
    for (Row row = 0; row < 2000; ++row) index.Remove(row, texts[row]);
  }
  EXPECT_LT(index.MemoryBytes(), empty + empty / 20);
}

SparseComponents RandomVector(std::mt19937& rng, uint32_t dimensions, bool signs) {
  std::map<uint32_t, float> values;
  const size_t n = rng() % 20;
  for (size_t i = 0; i < n; ++i) {
    const double u = std::uniform_real_distribution<double>(0, 1)(rng);
    float value = std::uniform_real_distribution<float>(0, 2)(rng);
    if (signs && rng() % 3 == 0) value = -value;
    values[static_cast<uint32_t>(std::pow(dimensions, u)) * 77] = value;
  }
  SparseComponents out;
  for (const auto& [index, value] : values) {
    out.indices.push_back(index);
    out.values.push_back(value);
  }
  return out;
}

TEST(SparseVectorIndex, EqualsScoringEveryVectorAlsoWithNegativeWeights) {
  std::mt19937 rng(6);
  for (const bool signs : {false, true}) {
    for (const bool idf : {false, true}) {
      SparseVectorIndex index({.idf = idf});
      std::map<Row, SparseComponents> vectors;
      for (int round = 0; round < 8; ++round) {
        for (int i = 0; i < 400; ++i) {
          const Row row = rng() % 2000;
          vectors.erase(row);
          if (rng() % 4 == 0) {
            index.Remove(row);
            continue;
          }
          SparseComponents vector = RandomVector(rng, 300, signs);
          index.Set(row, vector);
          if (!vector.empty()) vectors[row] = std::move(vector);
        }
        ASSERT_EQ(index.size(), vectors.size());
        for (int q = 0; q < 20; ++q) {
          const SparseComponents query = RandomVector(rng, 300, signs);
          const SparseStatistics statistics = index.Statistics(query);
          const RowBitmap filter = RandomFilter(rng, 2000, 1 + rng() % 20);
          std::vector<SparseHit> all;
          for (const auto& [row, vector] : vectors) {
            if (!filter.Contains(row)) continue;
            float score = 0;
            bool any = false;
            for (size_t i = 0; i < query.indices.size(); ++i) {
              const auto at = std::lower_bound(vector.indices.begin(), vector.indices.end(), query.indices[i]);
              if (at == vector.indices.end() || *at != query.indices[i]) continue;
              any = true;
              const float weight =
                  query.values[i] * (idf ? InverseFrequency(statistics.documents, statistics.frequencies[i]) : 1);
              score += weight * vector.values[static_cast<size_t>(at - vector.indices.begin())];
            }
            if (any) all.push_back({row, score});
          }
          std::sort(all.begin(), all.end(), HitRanksBefore);
          for (const size_t k : {3u, 20u, 3000u}) {
            std::vector<SparseHit> best(all.begin(), all.begin() + static_cast<ptrdiff_t>(std::min(k, all.size())));
            ASSERT_EQ(index.Search(query, nullptr, k, &filter, Never), best);
          }
        }
      }
      for (const auto& [row, vector] : vectors) ASSERT_EQ(index.Get(row), vector);
      EXPECT_TRUE(index.Get(1'000'000).empty());
    }
  }
}

TEST(SparseIndex, StopsWhenAsked) {
  TextIndex index({});
  for (Row row = 0; row < 20'000; ++row) index.Add(row, Count("same words"));
  int asked = 0;
  (void)index.Search(Count("same"), nullptr, 20'000, nullptr, [&] { return ++asked == 2; });
  EXPECT_EQ(asked, 2);
}

TEST(SparseIndex, ServesReadersWhileItIsWritten) {
  TextIndex index({});
  std::atomic<bool> stop{false};
  std::atomic<int> searches{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop.load()) {
        // Every text has the word once and four words in all.
        for (const SparseHit& hit : index.Search(Count("every"), nullptr, 50, nullptr, Never)) {
          ASSERT_GT(hit.score, 0);
          ASSERT_LT(hit.row, 500u);
        }
        searches.fetch_add(1);
      }
    });
  }
  std::map<Row, WordCounts> texts;
  std::mt19937 rng(8);
  for (int i = 0; i < 20'000 || searches.load() < 100; ++i) {
    const Row row = rng() % 500;
    if (const auto at = texts.find(row); at != texts.end()) {
      index.Remove(row, at->second);
      texts.erase(at);
    } else {
      texts[row] = Count(absl::StrCat("every text a", rng() % 50, " b", rng() % 50));
      index.Add(row, texts[row]);
    }
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace alcove::vector_search
