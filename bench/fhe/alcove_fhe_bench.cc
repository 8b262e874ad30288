// Our side of the comparison with SEAL: reads the name of an operation from stdin, measures it, prints one JSON line
// {"us": …}; the driver asks in turns. Thread CPU time, lowest decile of the repetitions.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "libs/fhe/bfv/encoder.h"
#include "libs/fhe/bfv/multiply.h"
#include "libs/fhe/client/client.h"
#include "libs/fhe/client/query.h"
#include "libs/fhe/poly/isa.h"
#include "libs/fhe/search/expand.h"
#include "libs/fhe/search/noise.h"
#include "libs/fhe/search/score.h"

namespace alcove::fhe {
namespace {

constexpr size_t kDimensions = 384;

double ThreadMicroseconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

// `undo` runs after every repetition and is not timed.
double Measure(
    const std::function<void()>& work, int repetitions, const std::function<void()>& undo = [] {}) {
  for (int i = 0; i < std::min(repetitions, 3); ++i) {
    work();
    undo();
  }
  std::vector<double> us;
  for (int i = 0; i < repetitions; ++i) {
    const double begin = ThreadMicroseconds();
    work();
    us.push_back(ThreadMicroseconds() - begin);
    undo();
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
  std::shared_ptr<const Context> q50 = Make({50, 50}, 417793);
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

  double Ntt(const Context& context) {
    const class Ntt& ntt = context.ntt(0);
    Words a(4096);
    for (uint64_t& w : a) w = rng() % ntt.modulus().value();
    Words check = a;
    ntt.Forward(check.data());
    Words scalar = a;
    alcove::fhe::Ntt(ntt.modulus(), 4096, kScalarKernels).Forward(scalar.data());
    Require(check == scalar, "NTT");
    // The peer's interface transforms a ciphertext, two polynomials at every data prime, and has it back in
    // coefficients before the next: the same here, so that both read the clock equally often and find their tables
    // equally cold.
    std::vector<CoeffPoly> coefficients(2, CoeffPoly(context.data_rows(), 4096));
    for (CoeffPoly& poly : coefficients) {
      for (size_t j = 0; j < poly.rows(); ++j) {
        for (size_t i = 0; i < 4096; ++i) poly.Row(j)[i] = rng() % context.modulus(j).value();
      }
    }
    std::vector<EvalPoly> values(2);
    const double us = Measure(
        [&] {
          for (size_t p = 0; p < 2; ++p) values[p] = context.ToEval(std::move(coefficients[p]));
        },
        2000,
        [&] {
          for (size_t p = 0; p < 2; ++p) coefficients[p] = context.ToCoeff(std::move(values[p]));
        });
    return us / static_cast<double>(2 * context.data_rows());
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
    return Measure([&] { ApplyGalois(*small, *c, key, scratch, out); }, 300);
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

  // Reads a seeded ciphertext from an uncompressed file and expands its seed. The peer reads a file of the same kind.
  double LoadExpand() {
    const SecretKey secret = SecretKey::Generate(*small);
    const Ciphertext c = EncryptSymmetric(*small, secret, {1, 2, 3});
    std::ofstream("/dev/shm/alcove-fhe-bench", std::ios::binary) << WriteCiphertext(c, {{4, 3}, Compression::kNone});
    std::string bytes;
    Ciphertext out;
    const double us = Measure(
        [&] {
          const int fd = open("/dev/shm/alcove-fhe-bench", O_RDONLY | O_CLOEXEC);
          bytes.resize(CiphertextBytes(4096, 2, 2, true) + 1);
          const ssize_t n = read(fd, bytes.data(), bytes.size());
          close(fd);
          auto loaded = ReadCiphertext(absl::string_view(bytes).substr(0, static_cast<size_t>(n)), small->parameters());
          out = std::move(loaded->object);
          ExpandSeed(out, small->parameters());
        },
        300);
    Require(Decrypt(*small, secret, out)->coefficients[2] == 3, "load");
    return us;
  }

  // Writes, for the peer to read, the parameters and an uncompressed seeded ciphertext.
  void WriteForPeer(const std::string& folder) {
    const SecretKey secret = SecretKey::Generate(*small);
    std::ofstream(folder + "/seeded", std::ios::binary)
        << WriteCiphertext(EncryptSymmetric(*small, secret, {1, 2, 3}), {{4, 3}, Compression::kNone});
  }

  double MultiplyRelinearise() {
    const SecretKey secret = SecretKey::Generate(*small);
    const auto a = FromWire(*small, EncryptSymmetric(*small, secret, {1, 2, 3}));
    const auto b = FromWire(*small, EncryptSymmetric(*small, secret, {5, 7}));
    const Multiplier multiplier = Multiplier::Create(small, small->data_rows()).value();
    const SwitchKey key(*small, MakeRelinKeys(*small, secret).keys[0]);
    KeySwitchScratch scratch(*small);
    CoeffCiphertext out;
    const double us = Measure([&] { out = Relinearise(*small, multiplier.Multiply(*a, *b), key, scratch); }, 60);
    const auto got = Decrypt(*small, secret, ToWire(*small, out));
    const std::vector<uint64_t> head(got->coefficients.begin(), got->coefficients.begin() + 5);
    Require(head == std::vector<uint64_t>{5, 17, 29, 21, 0}, "multiply");
    return us;
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

  // What a search of one kind needs: rows of about unit length times the scale, a client, an encrypted query.
  struct Party {
    Party(Bench& bench, const Context& context, const Layout& layout, size_t rows)
        : context(context), layout(layout), secret(SecretKey::Generate(context)), query(bench.UnitRow(450, 450)) {
      std::vector<uint32_t> elements;
      // A client makes the keys of all nine doublings once, whatever a collection's layout needs.
      for (int j = 0; j < 9; ++j) elements.push_back(ExpansionElement(4096, j));
      const GaloisKeys galois = MakeGaloisKeys(context, secret, elements);
      key_bytes = WriteGaloisKeys(galois, context.parameters(), {{4, 1}, Compression::kZlib}).size();
      keys = std::make_unique<ExpansionKeys>(ExpansionKeys::Prepare(context, galois, layout.levels()).value());
      encrypted = EncryptSymmetric(context, secret, EncodeQuery(context, layout, query).value()[0]);
      query_bytes = WriteCiphertext(encrypted, {{4, 1}, Compression::kZlib}).size();
      for (size_t begin = 0; begin < rows; begin += layout.rows_per_block()) {
        const size_t count = std::min(layout.rows_per_block(), rows - begin);
        std::vector<int8_t> values(count * kDimensions);
        for (int8_t& v : values) {
          const uint64_t r = bench.rng();
          int sum = 0;
          for (int b = 0; b < 8; ++b) sum += static_cast<int>((r >> (8 * b)) & 0xff);
          v = static_cast<int8_t>((sum - 1020) / 10);  // deviation 21: length about 410
        }
        std::vector<int64_t> scores(count);
        for (size_t r = 0; r < count; ++r) {
          for (size_t d = 0; d < kDimensions; ++d) scores[r] += int64_t{values[r * kDimensions + d]} * query[d];
        }
        blocks.push_back(Block::Encode(context, layout, values, count).value());
        want.push_back(std::move(scores));
      }
      for (const Block& block : blocks) pointers.push_back(&block);
    }
    std::unique_ptr<ScoringQuery> Expanded() const {
      const CoeffCiphertext c = FromWire(context, encrypted).value();
      return std::make_unique<ScoringQuery>(context, c, *keys, layout);
    }
    void Check(const std::vector<CoeffCiphertext>& replies) const {
      Require(replies.size() == blocks.size(), "number of replies");
      for (size_t b = 0; b < blocks.size(); ++b) {
        const auto plain = Decrypt(context, secret, ToWire(context, replies[b]));
        Require(DecodeScores(context, plain->coefficients, layout, want[b].size()) == want[b], "search scores");
      }
    }
    const Context& context;
    const Layout layout;
    SecretKey secret;
    std::vector<int32_t> query;
    std::unique_ptr<ExpansionKeys> keys;
    Ciphertext encrypted;
    size_t key_bytes = 0, query_bytes = 0;
    std::vector<Block> blocks;
    std::vector<std::vector<int64_t>> want;
    std::vector<const Block*> pointers;
  };

  // A whole search of `rows` rows, from the query as read to the finished replies; every score checked.
  void Search(const Context& context, size_t rows, size_t max_blocks) {
    auto& party = parties[{&context, rows}];
    if (party == nullptr) {
      party = std::make_unique<Party>(*this, context, *Layout::ForRows(4096, kDimensions, rows, max_blocks), rows);
    }
    std::vector<CoeffCiphertext> replies;
    const double expand_us = Measure([&] { party->Expanded(); }, 9);
    const double us = Measure([&] { replies = Score(context, *party->Expanded(), party->pointers); }, 9);
    party->Check(replies);
    const TrimBits bits = FreeReplyBits(context.parameters(), party->layout, 450.0 * 450.0);
    size_t reply_bytes = 0;
    for (CoeffCiphertext& reply : replies) {
      TrimReply(context, bits.first, bits.second, reply);
      reply_bytes += WriteCiphertext(ToWire(context, reply), {{4, 1}, Compression::kZlib}).size();
    }
    party->Check(replies);
    std::printf(
        "{\"us\": %.3f, \"expand_us\": %.3f, \"blocks\": %zu, \"fold\": %zu, \"query_bytes\": %zu, "
        "\"key_bytes\": %zu, \"reply_bytes\": %zu, \"failure_log2\": %.0f}\n",
        us, expand_us, party->blocks.size(), party->layout.fold(), party->query_bytes, party->key_bytes, reply_bytes,
        BoundSearchNoise(context.parameters(), party->layout, 450.0 * 450.0).failure_log2);
  }

  // The same without folding, one query and eight at once (eight expansions, one pass).
  void SearchLarge(const Context& context, size_t rows) {
    auto& party = parties[{&context, rows}];
    if (party == nullptr) {
      party = std::make_unique<Party>(*this, context, *Layout::Full(4096, kDimensions), rows);
    }
    std::vector<CoeffCiphertext> replies;
    std::unique_ptr<ScoringQuery> expanded;
    const double expand_us = Measure([&] { expanded = party->Expanded(); }, 3);
    const double us = expand_us + Measure([&] { replies = Score(context, *expanded, party->pointers); }, 3);
    party->Check(replies);
    const std::vector<ScoringQuery> copies(8, *expanded);
    std::vector<const ScoringQuery*> eight;
    for (const ScoringQuery& copy : copies) eight.push_back(&copy);
    std::vector<std::vector<CoeffCiphertext>> batch;
    const double batch_us = expand_us + Measure([&] { batch = ScoreBatch(context, eight, party->pointers); }, 2) / 8;
    for (const auto& one : batch) Require(one == replies, "batched scores");
    size_t memory = 0;
    for (const Block& block : party->blocks) memory += block.MemoryBytes();
    std::printf("{\"us\": %.3f, \"expand_us\": %.3f, \"batch8_us\": %.3f, \"blocks\": %zu, \"memory_bytes\": %zu}\n",
                us, expand_us, batch_us, party->blocks.size(), memory);
  }

  std::map<std::pair<const Context*, size_t>, std::unique_ptr<Party>> parties;

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
      {"ntt", [&] { return bench.Ntt(*bench.q50); }},
      {"rotate", [&] { return bench.Rotate(); }},
      {"encrypt_save", [&] { return bench.EncryptSave(); }},
      {"encrypt", [&] { return bench.Encrypt(); }},
      {"load_expand", [&] { return bench.LoadExpand(); }},
      {"multiply_plain", [&] { return bench.MultiplyPlain(); }},
      {"multiply_relinearise", [&] { return bench.MultiplyRelinearise(); }},
      {"ntt_36", [&] { return bench.Ntt(*bench.small); }},
      {"prompt", [&] { return bench.Prompt(); }},
  };
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "isa") {
      std::printf("{\"isa\": \"%s\"}\n", std::string(alcove::fhe::IsaName(alcove::fhe::BestIsa())).c_str());
    } else if (line.rfind("write ", 0) == 0) {
      bench.WriteForPeer(line.substr(6));
      std::printf("{}\n");
    } else if (line.rfind("search ", 0) == 0) {
      bench.Search(*bench.q50, std::stoul(line.substr(7)), 16);
    } else if (line.rfind("search_s50 ", 0) == 0) {
      bench.Search(*bench.s50, std::stoul(line.substr(11)), 16);
    } else if (line.rfind("search_large ", 0) == 0) {
      bench.SearchLarge(*bench.q50, std::stoul(line.substr(13)));
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
