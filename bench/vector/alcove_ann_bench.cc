// Builds one index configuration over a file of vectors and answers commands, one JSON object a line.
// bench/vector/run.py drives it beside the peers.
//
//   alcove_ann_bench base.f32 queries.f32 truth.i32 dim k key=value…
//
// Files are raw little-endian arrays: f32 [rows, dim], f32 [queries, dim], i32 [queries, k]. Keys: metric, m, efc,
// codes, vectors, threads, disk (directory for the vectors), hold (rows of the end that are not inserted at first),
// rows (only the first ones), save, load. Commands on stdin:
//
//   search EF RERANK    all queries once in one batch on this thread: rate per CPU second, recall against the truth
//   filter SELECTIVITY  see scenarios.h; the first 200 queries
//   mixed EF            see scenarios.h; inserts the rows held back
//   churn EF            see scenarios.h; an index of its own
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <time.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "bench/vector/scenarios.h"
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
using alcove::ann::VectorIndex;

double ProcessSeconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "alcove_ann_bench: %s\n", message.c_str());
  std::exit(1);
}

template <typename T>
std::vector<T> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) Fail("cannot read " + path);
  std::vector<T> out(static_cast<size_t>(in.tellg()) / sizeof(T));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(T)));
  return out;
}

Storage ParseStorage(const std::string& name) {
  const std::map<std::string, Storage> names = {
      {"none", Storage::kNone}, {"f32", Storage::kF32},   {"f16", Storage::kF16},  {"int8", Storage::kInt8},
      {"int6", Storage::kInt6}, {"int4", Storage::kInt4}, {"bit1", Storage::kBit1}};
  const auto found = names.find(name);
  if (found == names.end()) Fail("unknown storage " + name);
  return found->second;
}

class FileSink final : public alcove::ann::ByteSink {
 public:
  explicit FileSink(const std::string& path) : out_(path, std::ios::binary) {}
  absl::Status Append(std::string_view bytes) override {
    out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return out_ ? absl::OkStatus() : absl::DataLossError("cannot write the snapshot");
  }

 private:
  std::ofstream out_;
};

class FileSource final : public alcove::ann::ByteSource {
 public:
  explicit FileSource(const std::string& path) : in_(path, std::ios::binary) {}
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    in_.read(out, static_cast<std::streamsize>(size));
    return static_cast<size_t>(in_.gcount());
  }

 private:
  std::ifstream in_;
};

class Bench {
 public:
  Bench(int argc, char** argv)
      : base_(ReadFile<float>(argv[1])),
        queries_(ReadFile<float>(argv[2])),
        truth_(ReadFile<int32_t>(argv[3])),
        dim_(static_cast<size_t>(std::atoi(argv[4]))),
        k_(static_cast<size_t>(std::atoi(argv[5]))) {
    for (int i = 6; i < argc; ++i) {
      const std::pair<std::string, std::string> pair = absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
      if (args_.count(pair.first) == 0) Fail("unknown key " + pair.first);
      args_[pair.first] = pair.second;
    }
    if (const size_t most = Number("rows") * dim_; most > 0 && most < base_.size()) base_.resize(most);
    const std::string& metric = args_["metric"];
    options_.dim = dim_;
    options_.metric = metric == "l2" ? Metric::kL2 : metric == "dot" ? Metric::kDot : Metric::kCosine;
    options_.m = Number("m");
    options_.ef_construction = Number("efc");
    options_.codes = ParseStorage(args_["codes"]);
    options_.vectors = ParseStorage(args_["vectors"]);
    options_.max_threads = Number("threads");
    options_.vectors_directory = args_["disk"];
    options_.max_rows = base_.size() / dim_ + 1024;
    rows_ = base_.size() / dim_ - Number("hold");
  }

  void Build() {
    const uint64_t resident = alcove::ResidentBytes();
    double build = 0, optimize = 0;
    if (!args_["load"].empty()) {
      FileSource source(args_["load"]);
      auto loaded = alcove::ann::LoadIndex(source, {.vectors_directory = args_["disk"]});
      if (!loaded.ok()) Fail(loaded.status().ToString());
      index_ = *std::move(loaded);
    } else {
      auto made = alcove::ann::MakeHnswIndex(options_);
      if (!made.ok()) Fail(made.status().ToString());
      index_ = *std::move(made);
      std::vector<RowId> ids(rows_);
      for (size_t i = 0; i < rows_; ++i) ids[i] = static_cast<RowId>(i);
      const double start = ProcessSeconds();
      const auto status = index_->AddBatch(ids, absl::MakeConstSpan(base_).first(rows_ * dim_));
      if (!status.ok()) Fail(status.ToString());
      build = ProcessSeconds() - start;
      if (!index_->Optimize().ok()) Fail("Optimize failed");
      optimize = ProcessSeconds() - start - build;
    }
    if (!args_["save"].empty()) {
      FileSink sink(args_["save"]);
      if (!index_->SaveTo(sink).ok()) Fail("cannot save the index");
    }
    const auto memory = index_->MemoryUsage();
    const auto each = [&](size_t bytes) { return static_cast<double>(bytes) / static_cast<double>(rows_); };
    std::printf(
        "{\"build_cpu_s\":%.3f,\"optimize_cpu_s\":%.3f,\"rows\":%zu,\"bytes_per_vector\":%.1f,\"rss_per_vector\":%.1f,"
        "\"vectors\":%.1f,\"codes\":%.1f,\"links\":%.1f,\"mapping\":%.1f,\"cpu\":\"%s\"}\n",
        build, optimize, rows_, each(memory.total()), each(alcove::ResidentBytes() - resident), each(memory.vectors),
        each(memory.codes), each(memory.links), each(memory.mapping), alcove::GetCpuFeatures().Name().c_str());
    std::fflush(stdout);
  }

  void Answer(const std::string& line) {
    std::istringstream in(line);
    std::string command;
    double value = 0;
    size_t rerank = 0;
    in >> command >> value >> rerank;
    const SearchParams params{.k = k_, .ef = std::max<size_t>(1, static_cast<size_t>(value)), .rerank = rerank};
    if (command == "search") {
      Search(params);
    } else if (command == "filter") {
      std::puts(alcove::bench::RunFiltered(*index_, Queries(200), k_, value, 0.95).c_str());
    } else if (command == "mixed") {
      std::vector<RowId> ids;
      for (size_t row = rows_; row < base_.size() / dim_; ++row) ids.push_back(static_cast<RowId>(row));
      const auto vectors = absl::MakeConstSpan(base_).subspan(rows_ * dim_);
      std::puts(alcove::bench::RunMixed(*index_, queries_, params, ids, vectors).c_str());
    } else if (command == "churn") {
      std::puts(alcove::bench::RunChurn(options_, base_, queries_, params).c_str());
    } else {
      Fail("unknown command " + command);
    }
    std::fflush(stdout);
  }

 private:
  size_t Number(const std::string& key) const {
    size_t value = 0;
    if (!absl::SimpleAtoi(args_.at(key), &value)) Fail(key + " is not a number");
    return value;
  }
  absl::Span<const float> Queries(size_t most) const {
    return absl::MakeConstSpan(queries_).first(std::min(queries_.size(), most * dim_));
  }

  void Search(const SearchParams& params) const {
    const double start = alcove::bench::ThreadSeconds();
    const auto results = index_->SearchBatch(queries_, params);
    const double seconds = alcove::bench::ThreadSeconds() - start;
    if (!results.ok()) Fail(results.status().ToString());
    std::vector<std::vector<Neighbor>> truth(results->size());
    for (size_t q = 0; q < truth.size(); ++q) {
      for (size_t i = 0; i < k_; ++i) truth[q].push_back({static_cast<RowId>(truth_[q * k_ + i]), 0});
    }
    std::printf("{\"ef\":%zu,\"rerank\":%zu,\"qps\":%.1f,\"recall\":%.5f}\n", params.ef, params.rerank,
                static_cast<double>(results->size()) / seconds, alcove::bench::RecallOf(*results, truth));
  }

  std::vector<float> base_;
  std::vector<float> queries_;
  std::vector<int32_t> truth_;
  size_t dim_, k_, rows_ = 0;
  std::map<std::string, std::string> args_ = {{"metric", "cosine"}, {"m", "16"},      {"efc", "128"}, {"codes", "int4"},
                                              {"vectors", "f16"},   {"threads", "1"}, {"hold", "0"},  {"rows", "0"},
                                              {"save", ""},         {"load", ""},     {"disk", ""}};
  HnswOptions options_;
  std::unique_ptr<VectorIndex> index_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: alcove_ann_bench base queries truth dim k [key=value…]\n");
    return 2;
  }
  Bench bench(argc, argv);
  bench.Build();
  for (std::string line; std::getline(std::cin, line);) bench.Answer(line);
  return 0;
}
