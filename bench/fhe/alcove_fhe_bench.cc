// Our side of the comparison with SEAL: reads the name of an operation from stdin, measures it, prints one JSON line
// {"us": …}; the driver asks in turns. Thread CPU time, lowest decile of the repetitions.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <string>

#include <time.h>

#include "libs/fhe/bfv/encoder.h"
#include "libs/fhe/client/client.h"
#include "libs/fhe/client/query.h"
#include "libs/fhe/poly/isa.h"
#include "libs/fhe/search/expand.h"
#include "libs/fhe/search/score.h"

namespace alcove::fhe {
namespace {

constexpr size_t kDimensions = 384;
constexpr size_t kRows = 4096;

double ThreadMicroseconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

double Measure(const std::function<void()>& work, int repetitions) {
  for (int i = 0; i < std::min(repetitions, 3); ++i) work();
  std::vector<double> us;
  for (int i = 0; i < repetitions; ++i) {
    const double begin = ThreadMicroseconds();
    work();
    us.push_back(ThreadMicroseconds() - begin);
  }
  std::sort(us.begin(), us.end());
  return us[us.size() / 10];
}

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "alcove_fhe_bench: wrong answer: %s\n", what);
  std::exit(1);
}

std::shared_ptr<const Context> Make(std::vector<int> bits, uint64_t t) {
  return *Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, bits), t});
}

// What the operations share, made on first use.
struct Bench {
  std::shared_ptr<const Context> s50 = Make({50, 59}, 417793);
  std::shared_ptr<const Context> q50 = Make({50, 50}, 65537);
  std::shared_ptr<const Context> small = Make({36, 36, 37}, 1032193);
  std::mt19937_64 rng{7};

  std::vector<int32_t> UnitRow(double scale, int32_t limit) {
    std::normal_distribution<float> normal;
    for (;;) {
      std::vector<float> v(kDimensions);
      double norm = 0;
      for (float& x : v) {
        x = normal(rng);
        norm += x * x;
      }
      for (float& x : v) x /= static_cast<float>(std::sqrt(norm));
      auto row = Quantise(v, scale, limit);
      if (row.ok()) return *row;
    }
  }

  double Ntt() {
    const class Ntt& ntt = s50->ntt(0);
    Words a(4096);
    for (uint64_t& w : a) w = rng() % ntt.modulus().value();
    Words check = a;
    ntt.Forward(check.data());
    Words scalar = a;
    alcove::fhe::Ntt(ntt.modulus(), 4096, kScalarKernels).Forward(scalar.data());
    Require(check == scalar, "NTT");
    return Measure([&] { ntt.Forward(a.data()); }, 2000);
  }

  double Rotate() {
    const SecretKey secret = SecretKey::Generate(*small);
    std::vector<uint64_t> message(4096);
    for (uint64_t& m : message) m = rng() % 1032193;
    const auto c = FromWire(*small, EncryptSymmetric(*small, secret, message));
    const GaloisKey key(*small, MakeGaloisKeys(*small, secret, {3}).keys[0]);
    KeySwitchScratch scratch(*small);
    CoeffCiphertext out = ApplyGalois(*small, *c, key, scratch);
    std::vector<uint64_t> want(4096);
    Automorphism(3, 4096).ApplyCoeff(message.data(), want.data(), small->plain_modulus());
    Require(Decrypt(*small, secret, ToWire(*small, out))->coefficients == want, "rotate");
    return Measure([&] { out = ApplyGalois(*small, *c, key, scratch); }, 300);
  }

  // Encrypts a full plaintext and writes the object to a file, zstd-compressed as the peer's interface does.
  double EncryptSave() {
    const SecretKey secret = SecretKey::Generate(*small);
    std::vector<uint64_t> message(4096);
    for (uint64_t& m : message) m = rng() % 1032193;
    const Ciphertext once = EncryptSymmetric(*small, secret, message);
    Require(Decrypt(*small, secret, once)->coefficients == message, "encrypt");
    return Measure(
        [&] {
          const std::string bytes =
              WriteCiphertext(EncryptSymmetric(*small, secret, message), {{4, 3}, Compression::kZstd});
          std::ofstream("/dev/shm/alcove-fhe-bench", std::ios::binary) << bytes;
        },
        200);
  }

  // The encryption alone, without compression and file.
  double Encrypt() {
    const SecretKey secret = SecretKey::Generate(*small);
    std::vector<uint64_t> message(4096, 5);
    std::string bytes;
    return Measure([&] { bytes = WriteCiphertext(EncryptSymmetric(*small, secret, message), {}); }, 300);
  }

  // Reads a seeded ciphertext from a file and expands its seed.
  double LoadExpand() {
    const SecretKey secret = SecretKey::Generate(*small);
    const Ciphertext c = EncryptSymmetric(*small, secret, {1, 2, 3});
    std::ofstream("/dev/shm/alcove-fhe-bench", std::ios::binary) << WriteCiphertext(c, {{4, 3}, Compression::kZstd});
    return Measure(
        [&] {
          std::ifstream in("/dev/shm/alcove-fhe-bench", std::ios::binary);
          std::string bytes(std::istreambuf_iterator<char>(in), {});
          auto read = ReadCiphertext(bytes, small->parameters());
          ExpandSeed(read->object, small->parameters());
        },
        300);
  }

  double MultiplyPlain() {
    const SecretKey secret = SecretKey::Generate(*small);
    auto c = ToEval(*small, *FromWire(*small, EncryptSymmetric(*small, secret, {1, 2, 3})));
    const PlainOperand plain(*small, LiftPlaintext(*small, {3, 1}));
    auto once = c;
    MultiplyPlainInPlace(*small, once, plain);
    const auto got = Decrypt(*small, secret, ToWire(*small, ToCoeff(*small, once)));
    Require(got->coefficients[0] == 3 && got->coefficients[1] == 7, "multiply_plain");
    return Measure([&] { MultiplyPlainInPlace(*small, c, plain); }, 2000);
  }

  // Query expansion plus scoring of `rows` rows; every score checked. Returns microseconds of the expansion and of one
  // block.
  void Search(const Context& context, double scale, size_t rows) {
    const SecretKey secret = SecretKey::Generate(context);
    std::vector<uint32_t> elements;
    for (int j = 0; j < 9; ++j) elements.push_back(ExpansionElement(4096, j));
    const GaloisKeys galois = MakeGaloisKeys(context, secret, elements);
    const std::string key_bytes = WriteGaloisKeys(galois, context.parameters(), {{4, 1}, Compression::kZlib});
    const ExpansionKeys keys = ExpansionKeys::Prepare(context, galois, 9).value();
    const std::vector<int32_t> query = UnitRow(scale, 450);
    const Ciphertext encrypted = EncryptSymmetric(context, secret, *EncodeQuery(context, query));
    const std::string query_bytes = WriteCiphertext(encrypted, {{4, 1}, Compression::kZlib});

    std::vector<Block> blocks;
    std::vector<std::vector<int64_t>> want;
    for (size_t begin = 0; begin < rows; begin += kRows) {
      const size_t count = std::min(kRows, rows - begin);
      std::vector<int8_t> values;
      std::vector<int64_t> scores;
      for (size_t r = 0; r < count; ++r) {
        const auto row = UnitRow(scale, 127);
        int64_t score = 0;
        for (size_t d = 0; d < kDimensions; ++d) score += int64_t{row[d]} * query[d];
        scores.push_back(score);
        values.insert(values.end(), row.begin(), row.end());
      }
      blocks.push_back(Block::Encode(context, values, count, kDimensions).value());
      want.push_back(scores);
    }
    std::vector<const Block*> pointers;
    for (const Block& block : blocks) pointers.push_back(&block);

    std::unique_ptr<ScoringQuery> expanded;
    const double expand_us = Measure(
        [&] {
          const CoeffCiphertext c = FromWire(context, encrypted).value();
          expanded = std::make_unique<ScoringQuery>(context, Expand(context, c, keys, kDimensions));
        },
        5);
    std::vector<CoeffCiphertext> replies;
    const double score_us = Measure([&] { replies = Score(context, *expanded, pointers); }, 5);
    // Copies, so that eight queries take the cache of eight.
    const std::vector<ScoringQuery> copies(8, *expanded);
    std::vector<const ScoringQuery*> eight;
    for (const ScoringQuery& copy : copies) eight.push_back(&copy);
    const double batch_us = Measure([&] { ScoreBatch(context, eight, pointers); }, 3);
    double reply_bytes = 0;
    for (size_t b = 0; b < blocks.size(); ++b) {
      const Ciphertext wire = ToWire(context, replies[b]);
      reply_bytes += static_cast<double>(WriteCiphertext(wire, {}).size());
      const auto plain = Decrypt(context, secret, wire);
      Require(DecodeScores(context, plain->coefficients, want[b].size()) == want[b], "search scores");
    }
    std::printf(
        "{\"us\": %.3f, \"expand_us\": %.3f, \"score_us\": %.3f, \"batch8_us\": %.3f, \"blocks\": %zu, "
        "\"query_bytes\": %zu, "
        "\"key_bytes\": %zu, \"reply_bytes\": %.0f}\n",
        expand_us + score_us, expand_us, score_us, batch_us, blocks.size(), query_bytes.size(), key_bytes.size(),
        reply_bytes);
  }

  // A prompt of 1,024 x 768 numbers in 192 ciphertexts, serialised uncompressed: 95th percentile of `n` prompts.
  double Prompt() {
    const SecretKey secret = SecretKey::Generate(*s50);
    std::vector<uint64_t> message(4096);
    for (uint64_t& m : message) m = rng() % 417793;
    std::vector<double> us;
    for (int i = 0; i < 20; ++i) {
      const double begin = ThreadMicroseconds();
      size_t bytes = 0;
      for (int c = 0; c < 192; ++c) bytes += WriteCiphertext(EncryptSymmetric(*s50, secret, message), {}).size();
      Require(bytes > 0, "prompt");
      us.push_back(ThreadMicroseconds() - begin);
    }
    std::sort(us.begin(), us.end());
    return us[18];
  }
};

}  // namespace
}  // namespace alcove::fhe

int main() {
  using alcove::fhe::Bench;
  Bench bench;
  const std::vector<std::pair<std::string, std::function<double()>>> operations = {
      {"ntt", [&] { return bench.Ntt(); }},
      {"rotate", [&] { return bench.Rotate(); }},
      {"encrypt_save", [&] { return bench.EncryptSave(); }},
      {"encrypt", [&] { return bench.Encrypt(); }},
      {"load_expand", [&] { return bench.LoadExpand(); }},
      {"multiply_plain", [&] { return bench.MultiplyPlain(); }},
      {"prompt", [&] { return bench.Prompt(); }},
  };
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "isa") {
      std::printf("{\"isa\": \"%s\"}\n", std::string(alcove::fhe::IsaName(alcove::fhe::BestIsa())).c_str());
    } else if (line.rfind("search ", 0) == 0) {
      bench.Search(*bench.s50, 450, std::stoul(line.substr(7)));
    } else if (line.rfind("search_q50 ", 0) == 0) {
      bench.Search(*bench.q50, 180, std::stoul(line.substr(11)));
    } else {
      const auto it =
          std::find_if(operations.begin(), operations.end(), [&](const auto& o) { return o.first == line; });
      if (it == operations.end()) {
        std::printf("{\"error\": \"unknown operation\"}\n");
      } else {
        std::printf("{\"us\": %.3f}\n", it->second());
      }
    }
    std::fflush(stdout);
  }
  return 0;
}
