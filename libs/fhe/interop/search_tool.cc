// The server's part of an encrypted search as a command, so that real SEAL clients can be tried against it:
//
//   fhe_search_tool PARMS GALOIS_KEYS QUERY ROWS DIMENSIONS OUT_PREFIX
//
// PARMS, GALOIS_KEYS and QUERY are SEAL objects; ROWS holds signed bytes, row by row. Block b of the encrypted scores
// goes to OUT_PREFIX<b>, trimmed and stamped with the version the keys carry. It reads no secret key and could not.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "libs/fhe/search/expand.h"
#include "libs/fhe/search/noise.h"
#include "libs/fhe/search/score.h"

namespace alcove::fhe {
namespace {

std::string Contents(const char* path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", path);
    std::exit(1);
  }
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

template <class T>
T OrExit(absl::StatusOr<T> result, const char* what) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s: %s\n", what, std::string(result.status().message()).c_str());
    std::exit(1);
  }
  return *std::move(result);
}

void Run(char** argv) {
  const auto parameters = OrExit(ReadParameters(Contents(argv[1])), "parameters");
  const auto context = OrExit(Context::Create(parameters.object), "parameters");
  const auto keys = OrExit(ReadGaloisKeys(Contents(argv[2]), parameters.object, 32), "keys");
  const auto query = OrExit(ReadCiphertext(Contents(argv[3]), parameters.object, {.max_polynomials = 2}), "query");
  const std::string rows = Contents(argv[4]);
  const size_t dimensions = std::stoul(argv[5]);
  const Layout layout = OrExit(Layout::Full(context->degree(), dimensions), "dimensions");
  const auto expansion = OrExit(ExpansionKeys::Prepare(*context, keys.object, layout.levels()), "expansion keys");
  const CoeffCiphertext encrypted = OrExit(FromWire(*context, query.object), "query");
  const ScoringQuery scoring(*context, Expand(*context, encrypted, expansion, dimensions));
  const size_t count = rows.size() / dimensions;
  double energy = 1;
  for (size_t r = 0; r < count; ++r) {
    double sum = 0;
    for (size_t d = 0; d < dimensions; ++d) {
      const double v = static_cast<signed char>(rows[r * dimensions + d]);
      sum += v * v;
    }
    energy = std::max(energy, sum);
  }
  const TrimBits trim = FreeReplyBits(context->parameters(), layout, energy);
  for (size_t begin = 0, b = 0; begin < count; begin += context->degree(), ++b) {
    const size_t n = std::min<size_t>(context->degree(), count - begin);
    const absl::Span<const int8_t> values(reinterpret_cast<const int8_t*>(rows.data()) + begin * dimensions,
                                          n * dimensions);
    const Block block = OrExit(Block::Encode(*context, layout, values, n), "rows");
    std::vector<CoeffCiphertext> scores = Score(*context, scoring, {&block});
    TrimReply(*context, trim.first, trim.second, scores[0]);
    std::ofstream(argv[6] + std::to_string(b), std::ios::binary)
        << WriteCiphertext(ToWire(*context, scores[0]), {keys.version, Compression::kZlib});
  }
}

}  // namespace
}  // namespace alcove::fhe

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: %s PARMS GALOIS_KEYS QUERY ROWS DIMENSIONS OUT_PREFIX\n", argv[0]);
    return 2;
  }
  alcove::fhe::Run(argv);
  return 0;
}
