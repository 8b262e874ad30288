// Runs one index configuration over files of vectors and prints one JSON object a line. bench/vector/run.py drives it
// beside the peers.
//
//   alcove_ann_bench base.f32 queries.f32 truth.i32 dim k key=value…
//
// Files are raw little-endian arrays: f32 [rows, dim], f32 [queries, dim], i32 [queries, k]. Keys: metric, m, efc,
// codes, vectors, threads, optimize, ef (comma separated), rerank (comma separated), rounds, batch.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "libs/ann/index.h"
#include "libs/common/cpu_features.h"
#include "libs/common/memory.h"

namespace {

using alcove::ann::HnswOptions;
using alcove::ann::Metric;
using alcove::ann::Neighbor;
using alcove::ann::RowId;
using alcove::ann::SearchParams;
using alcove::ann::Storage;

double CpuSeconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

template <typename T>
std::vector<T> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(1);
  }
  std::vector<T> out(static_cast<size_t>(in.tellg()) / sizeof(T));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(T)));
  return out;
}

Storage ParseStorage(const std::string& name) {
  if (name == "f32") return Storage::kF32;
  if (name == "f16") return Storage::kF16;
  if (name == "int8") return Storage::kInt8;
  if (name == "int4") return Storage::kInt4;
  return Storage::kNone;
}

std::vector<size_t> ParseList(const std::string& text) {
  std::vector<size_t> out;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    size_t value = 0;
    if (absl::SimpleAtoi(part, &value)) out.push_back(value);
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: alcove_ann_bench base queries truth dim k [key=value…]\n");
    return 2;
  }
  const std::vector<float> base = ReadFile<float>(argv[1]);
  const std::vector<float> queries = ReadFile<float>(argv[2]);
  const std::vector<int32_t> truth = ReadFile<int32_t>(argv[3]);
  const size_t dim = static_cast<size_t>(std::atoi(argv[4])), k = static_cast<size_t>(std::atoi(argv[5]));
  std::map<std::string, std::string> args = {
      {"metric", "cosine"}, {"m", "16"},      {"efc", "128"},    {"codes", "int4"},
      {"vectors", "f16"},   {"threads", "1"}, {"optimize", "1"}, {"ef", "10,20,40,80,160"},
      {"rerank", "0"},      {"rounds", "2"},  {"batch", "0"}};
  for (int i = 6; i < argc; ++i) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    args[pair.first] = pair.second;
  }
  const size_t rows = base.size() / dim, count = queries.size() / dim;

  HnswOptions options;
  options.dim = dim;
  options.metric = args["metric"] == "l2" ? Metric::kL2 : args["metric"] == "dot" ? Metric::kDot : Metric::kCosine;
  options.m = ParseList(args["m"]).at(0);
  options.ef_construction = ParseList(args["efc"]).at(0);
  options.codes = ParseStorage(args["codes"]);
  options.vectors = ParseStorage(args["vectors"]);
  const uint64_t resident = alcove::ResidentBytes();
  auto made = alcove::ann::MakeHnswIndex(options);
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", made.status().ToString().c_str());
    return 1;
  }
  alcove::ann::VectorIndex& index = **made;
  std::vector<RowId> ids(rows);
  for (size_t i = 0; i < rows; ++i) ids[i] = static_cast<RowId>(i);
  double cpu = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID);
  if (const auto status = index.AddBatch(ids, base, ParseList(args["threads"]).at(0)); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  const double build = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  cpu = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID);
  if (args["optimize"] == "1" && !index.Optimize().ok()) return 1;
  const double optimize = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  const auto memory = index.MemoryUsage();
  const double n = static_cast<double>(rows);
  std::printf(
      "{\"build_cpu_s\":%.3f,\"optimize_cpu_s\":%.3f,\"rows\":%zu,\"bytes_per_vector\":%.1f,\"rss_per_vector\":%.1f,"
      "\"vectors\":%.1f,\"codes\":%.1f,\"links\":%.1f,\"mapping\":%.1f,\"cpu\":\"%s\"}\n",
      build, optimize, rows, static_cast<double>(memory.total()) / n,
      static_cast<double>(alcove::ResidentBytes() - resident) / n, static_cast<double>(memory.vectors) / n,
      static_cast<double>(memory.codes) / n, static_cast<double>(memory.links) / n,
      static_cast<double>(memory.mapping) / n, alcove::GetCpuFeatures().Name().c_str());
  std::fflush(stdout);

  const size_t batch = ParseList(args["batch"]).at(0);
  for (size_t rerank : ParseList(args["rerank"])) {
    for (size_t ef : ParseList(args["ef"])) {
      const SearchParams params{.k = k, .ef = ef, .rerank = rerank};
      double best = 0;
      size_t found = 0;
      for (size_t round = 0; round <= ParseList(args["rounds"]).at(0); ++round) {
        found = 0;
        std::vector<std::vector<Neighbor>> results;
        results.reserve(count);
        const double start = CpuSeconds(CLOCK_THREAD_CPUTIME_ID);
        if (batch > 0) {
          for (size_t q = 0; q < count; q += batch) {
            const size_t part = std::min(batch, count - q);
            auto got = index.SearchBatch(absl::MakeConstSpan(queries).subspan(q * dim, part * dim), params);
            for (auto& result : *got) results.push_back(std::move(result));
          }
        } else {
          for (size_t q = 0; q < count; ++q) {
            results.push_back(*index.Search(absl::MakeConstSpan(queries).subspan(q * dim, dim), params));
          }
        }
        const double rate = static_cast<double>(count) / (CpuSeconds(CLOCK_THREAD_CPUTIME_ID) - start);
        if (round > 0 && rate > best) best = rate;
        for (size_t q = 0; q < count; ++q) {
          std::unordered_set<RowId> got;
          for (const Neighbor& neighbor : results[q]) got.insert(neighbor.row);
          for (size_t i = 0; i < k; ++i) found += got.count(static_cast<RowId>(truth[q * k + i]));
        }
      }
      std::printf("{\"ef\":%zu,\"rerank\":%zu,\"qps\":%.1f,\"recall\":%.5f}\n", ef, rerank, best,
                  static_cast<double>(found) / static_cast<double>(count * k));
      std::fflush(stdout);
    }
  }
  return 0;
}
