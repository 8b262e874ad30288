#include "libs/fhe/random/blake2xb.h"

#include <algorithm>
#include <cstring>

#include "libs/fhe/poly/isa.h"
#include "libs/fhe/random/blake2b.h"
#include "libs/fhe/random/blake2b_constants.h"
#include "libs/fhe/random/blake2xb_lanes.h"

namespace alcove::fhe::blake2xb {

void Root(const uint8_t* key64, uint64_t counter, uint64_t* root8) {
  uint64_t state[8];
  std::copy(std::begin(kBlake2bIv), std::end(kBlake2bIv), state);
  state[0] ^= 64 | (64 << 8) | (1 << 16) | (1 << 24);  // digest, key, fanout 1, depth 1
  state[1] ^= static_cast<uint64_t>(4096) << 32;       // xof_length
  Blake2bHasher hasher(state, 64);
  uint8_t padded_key[128] = {};
  std::memcpy(padded_key, key64, 64);
  hasher.Update(absl::MakeConstSpan(padded_key));
  uint8_t message[8];
  std::memcpy(message, &counter, 8);
  hasher.Update(absl::MakeConstSpan(message));
  hasher.Finish(absl::MakeSpan(reinterpret_cast<uint8_t*>(root8), 64));
}

void ExpandScalar(const uint64_t* root8, uint8_t* out) {
  for (uint64_t block = 0; block < 64; ++block) {
    uint64_t state[8];
    std::copy(std::begin(kBlake2bIv), std::end(kBlake2bIv), state);
    state[0] ^= kLeafWord0;
    state[1] ^= kLeafWord1 | block;
    state[2] ^= kLeafWord2;
    Blake2bHasher hasher(state, 64);
    hasher.Update(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(root8), 64));
    hasher.Finish(absl::MakeSpan(out + 64 * block, 64));
  }
}

ExpandFn Best() {
  switch (BestIsa()) {
    case Isa::kAvx512Ifma:
    case Isa::kAvx512: return ExpandAvx512;
    case Isa::kAvx2: return ExpandAvx2;
    case Isa::kScalar: break;
  }
  return ExpandScalar;
}

}  // namespace alcove::fhe::blake2xb
