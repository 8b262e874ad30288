// The measured half of bench/embed: runs the model on one thread and prints CPU times, told what to do line by line.
// Arguments: the model's folder and the precision (auto).
//
//   run B S N FILE   embeds a batch of B sequences of S tokens N times; prints the CPU seconds of each run on one line
//                    and, when FILE is not "-", writes the vectors there as f32
//   tokenize FILE N  tokenizes the file N times; prints tokens and CPU seconds
//   mode             prints the backend
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "services/inference/engine/embedding_model.h"

namespace {

using namespace alcove::inference;  // NOLINT: a program, not a header

double CpuSeconds() {
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The same ids bench.py makes: [CLS], words spread over the vocabulary, [SEP].
std::vector<std::vector<int32_t>> MakeBatch(size_t batch, size_t tokens) {
  std::vector<std::vector<int32_t>> sequences(batch);
  for (size_t b = 0; b < batch; ++b) {
    for (size_t t = 0; t < tokens; ++t) {
      sequences[b].push_back(t == 0            ? 101
                             : t + 1 == tokens ? 102
                                               : static_cast<int32_t>(1000 + (b * 7919 + t * 104729) % 20000));
    }
  }
  return sequences;
}

void Run(const EmbeddingModel& model, std::istream& in) {
  size_t batch = 0, tokens = 0, repeats = 0;
  std::string file;
  in >> batch >> tokens >> repeats >> file;
  const std::vector<std::vector<int32_t>> ids = MakeBatch(batch, tokens);
  const std::vector<absl::Span<const int32_t>> sequences(ids.begin(), ids.end());
  std::vector<float> out(batch * model.dimension());
  static Workspace workspace;
  for (size_t i = 0; i < repeats; ++i) {
    const double begun = CpuSeconds();
    model.Embed(sequences, workspace, out.data());
    std::printf("%.9f ", CpuSeconds() - begun);
  }
  std::printf("\n");
  if (file != "-") {
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(float)));
  }
}

void Tokenize(const EmbeddingModel& model, std::istream& in) {
  std::string file;
  size_t repeats = 0;
  in >> file >> repeats;
  std::vector<std::string> lines;
  std::ifstream text(file);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  size_t tokens = 0;
  const double begun = CpuSeconds();
  for (size_t i = 0; i < repeats; ++i) {
    for (const std::string& line : lines) tokens += model.tokenizer().Encode(line, 0).ids.size();
  }
  std::printf("%zu %.9f\n", tokens, CpuSeconds() - begun);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s MODEL_FOLDER [PRECISION]\n", argv[0]);
    return 2;
  }
  const auto ops = MakeBestCpuOps(argc > 2 ? argv[2] : "auto");
  if (!ops.ok()) {
    std::fprintf(stderr, "%s\n", ops.status().ToString().c_str());
    return 1;
  }
  const auto model = EmbeddingModel::Load(argv[1], **ops);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().ToString().c_str());
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string command;
    in >> command;
    if (command == "run") {
      Run(**model, in);
    } else if (command == "tokenize") {
      Tokenize(**model, in);
    } else if (command == "mode") {
      std::printf("%s %s\n", std::string((*ops)->name()).c_str(), std::string((*ops)->precision()).c_str());
    }
    std::fflush(stdout);
  }
  return 0;
}
