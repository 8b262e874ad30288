// Embeds a file of texts with the suite's own sentence model, for the data set `wordnet` of bench/vector.
//
//   alcove_embed_texts MODEL_FOLDER texts.txt out.f32 [threads]
//
// One text a line in, f32 [lines, dimension] out; progress on stderr. The output appears only when it is complete.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "libs/common/task_pool.h"
#include "services/inference/engine/embedding_model.h"

namespace {

using namespace alcove::inference;  // NOLINT: a program, not a header

constexpr size_t kBatch = 32;

std::vector<std::string> ReadLines(const char* path) {
  std::vector<std::string> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s MODEL_FOLDER texts.txt out.f32 [threads]\n", argv[0]);
    return 2;
  }
  const auto ops = MakeCpuOps(*SupportedKernels().entries[0]);
  const auto model = EmbeddingModel::Load(argv[1], *ops);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().ToString().c_str());
    return 1;
  }
  const std::vector<std::string> texts = ReadLines(argv[2]);
  const size_t dim = (*model)->dimension();
  std::vector<float> out(texts.size() * dim);
  // Texts of one length share a batch, so that none is padded.
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return texts[a].size() > texts[b].size(); });

  const int threads = argc > 4 ? std::max(1, std::atoi(argv[4])) : alcove::AvailableCpus();
  alcove::TaskPool pool(threads - 1, "embed-texts");
  std::atomic<size_t> done{0};
  pool.ParallelForRange(texts.size(), kBatch, [&](size_t begin, size_t end) {
    thread_local Workspace workspace;
    std::vector<std::vector<int32_t>> ids;
    for (size_t i = begin; i < end; ++i) {
      ids.push_back((*model)->Tokenize(texts[order[i]], InputKind::kDocument).ids);
    }
    const std::vector<absl::Span<const int32_t>> sequences(ids.begin(), ids.end());
    std::vector<float> vectors(ids.size() * dim);
    (*model)->Embed(sequences, workspace, vectors.data());
    for (size_t i = begin; i < end; ++i) {
      std::copy_n(vectors.data() + (i - begin) * dim, dim, out.data() + order[i] * dim);
    }
    const size_t before = done.fetch_add(end - begin), now = before + (end - begin);
    if (before / 2048 != now / 2048) std::fprintf(stderr, "\rembedded %zu of %zu texts", now, texts.size());
  });
  std::fprintf(stderr, "\rembedded %zu of %zu texts\n", texts.size(), texts.size());

  const std::string path = argv[3], partial = path + ".partial";
  std::ofstream file(partial, std::ios::binary);
  file.write(reinterpret_cast<const char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(float)));
  file.close();
  if (!file || std::rename(partial.c_str(), path.c_str()) != 0) {
    std::fprintf(stderr, "cannot write %s\n", path.c_str());
    return 1;
  }
  return 0;
}
