// Runs a libFuzzer entry point without libFuzzer: every file of the corpus folder as it is, then a fixed number of
// seeded mutations of each (bit flips, truncations, splices), so that ordinary test runs exercise the parsers too.
//
// usage: x_fuzz_replay CORPUS_DIR

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kMutationsPerSeed = 2000;

void RunOne(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string Mutate(std::string bytes, std::mt19937_64& rng) {
  const int edits = 1 + static_cast<int>(rng() % 4);
  for (int e = 0; e < edits; ++e) {
    if (bytes.empty()) {
      bytes.push_back(static_cast<char>(rng()));
      continue;
    }
    const size_t at = rng() % bytes.size();
    switch (rng() % 5) {
      case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << (rng() % 8))); break;
      case 1: bytes[at] = static_cast<char>(rng()); break;
      case 2: bytes.resize(at); break;
      case 3: bytes.insert(at, bytes.substr(at, rng() % 16)); break;
      case 4: bytes.erase(at, rng() % 16); break;
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIR\n", argv[0]);
    return 2;
  }
  std::vector<std::string> seeds = {""};
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1], ignored)) {
    std::ifstream in(entry.path(), std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  std::mt19937_64 rng(42);
  size_t runs = 0;
  for (const std::string& seed : seeds) {
    RunOne(seed);
    for (int i = 0; i < kMutationsPerSeed; ++i) RunOne(Mutate(seed, rng));
    runs += 1 + kMutationsPerSeed;
  }
  std::printf("replayed %zu seeds, %zu inputs\n", seeds.size(), runs);
  return 0;
}
