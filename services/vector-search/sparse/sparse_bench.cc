// BM25 over texts whose words follow a Zipf distribution: block-max search against scoring every posting.
#include <cmath>
#include <cstdlib>
#include <random>

#include <absl/strings/str_cat.h>
#include <benchmark/benchmark.h>

#include "services/vector-search/sparse/sparse_index.h"

namespace alcove::vector_search {
namespace {

constexpr Row kTexts = 100'000;

WordCounts RandomWords(std::mt19937_64& rng, size_t words) {
  std::string text;
  for (size_t i = 0; i < words; ++i) {
    const double u = std::uniform_real_distribution<double>(0, 1)(rng);
    absl::StrAppend(&text, " w", static_cast<size_t>(std::pow(50'000.0, u)));
  }
  return CountWords(Tokenizer::Plain(), {text});
}

const TextIndex& Texts() {
  static const TextIndex* const index = [] {
    auto* made = new TextIndex({});
    std::mt19937_64 rng(1);
    for (Row row = 0; row < kTexts; ++row) made->Add(row, RandomWords(rng, 5 + rng() % 30));
    return made;
  }();
  return *index;
}

void BM_Insert(benchmark::State& state) {
  std::mt19937_64 rng(2);
  std::vector<WordCounts> texts;
  for (int i = 0; i < 10'000; ++i) texts.push_back(RandomWords(rng, 5 + rng() % 30));
  TextIndex index({});
  Row row = 0;
  for (auto _ : state) {
    index.Add(row, texts[row % texts.size()]);
    ++row;
  }
  state.counters["bytes/text"] = static_cast<double>(index.MemoryBytes()) / row;
}
BENCHMARK(BM_Insert);

void BM_Tokenize(benchmark::State& state) {
  const std::string text = "Graphviz is a rich set of graph drawing tools, for instance in software engineering.";
  for (auto _ : state) benchmark::DoNotOptimize(CountWords(Tokenizer::Plain(), {text}));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(BM_Tokenize);

// range(0) words in the query, the best range(1) rows.
void BM_Search(benchmark::State& state) {
  const TextIndex& index = Texts();
  std::mt19937_64 rng(3);
  std::vector<WordCounts> queries;
  for (int i = 0; i < 100; ++i) queries.push_back(RandomWords(rng, static_cast<size_t>(state.range(0))));
  const auto k = static_cast<size_t>(state.range(1));
  // The answer is checked against that of a search that can pass over nothing.
  for (const WordCounts& query : queries) {
    auto all = index.Search(query, nullptr, kTexts, nullptr, [] { return false; });
    if (all.size() > k) all.resize(k);
    if (index.Search(query, nullptr, k, nullptr, [] { return false; }) != all) {
      state.SkipWithError("the answer is wrong");
      return;
    }
  }
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(index.Search(queries[i++ % queries.size()], nullptr, k, nullptr, [] { return false; }));
  }
}
BENCHMARK(BM_Search)->ArgsProduct({{2, 5, 12}, {10, 100, kTexts}})->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace alcove::vector_search

BENCHMARK_MAIN();
