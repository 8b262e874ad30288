// Writes the seed corpora of the readers' fuzz targets (reader_fuzz.cc): a small valid object of every kind in every
// version, compressed with zlib and zstd, and members to be framed.
// usage: fhe_make_corpus CORPUS_DIR

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <absl/strings/str_cat.h>

#include "libs/fhe/wire/samples_for_fuzz.h"

namespace alcove::fhe {
namespace {

using Sample = std::string (*)(const WireFormat&);

void WriteAll(const std::string& folder, const std::string& target, const std::string& name, Sample sample) {
  const std::string corpus = absl::StrCat(folder, "/fhe_", target, "_fuzz");
  std::filesystem::create_directories(corpus);
  const auto put = [&](const std::string& file, char how, const std::string& bytes) {
    std::ofstream(absl::StrCat(corpus, "/", name, "_", file), std::ios::binary) << how << bytes;
  };
  for (size_t v = 0; v < std::size(samples::kVersions); ++v) {
    const SealVersion version = samples::kVersions[v];
    const std::string stamp = absl::StrCat(version.major, ".", version.minor);
    put(absl::StrCat(stamp, "_zlib"), 0, sample({version, Compression::kZlib}));
    put(absl::StrCat(stamp, "_zstd"), 0, sample({version, Compression::kZstd}));
    // Two bytes written over the valid object, by each way of framing.
    put(absl::StrCat(stamp, "_overlay"), static_cast<char>((1 + v % 3) | v << 2 | 32), std::string("\x21\0\1\0", 4));
  }
  if (const std::string whole = sample({{4, 1}, Compression::kNone}); whole.size() < 256) {
    put("4.1_none", 0, whole);
    put("4.1_members", 1 | 3 << 2, whole.substr(kHeaderBytes));
  }
}

void WriteEverything(const std::string& folder) {
  WriteAll(folder, "parameters", "parameters", samples::Parameters);
  WriteAll(folder, "ciphertext", "full", samples::FullCiphertext);
  WriteAll(folder, "ciphertext", "seeded", samples::SeededCiphertext);
  WriteAll(folder, "plaintext", "plaintext", samples::PlaintextObject);
  WriteAll(folder, "public_key", "public_key", samples::PublicKeyObject);
  WriteAll(folder, "galois_keys", "seeded", samples::GaloisObject);
  WriteAll(folder, "relin_keys", "full", samples::RelinObject);
  WriteAll(folder, "secret_key", "zero", samples::SecretObject);
}

}  // namespace
}  // namespace alcove::fhe

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIR\n", argv[0]);
    return 2;
  }
  alcove::fhe::WriteEverything(argv[1]);
  return 0;
}
