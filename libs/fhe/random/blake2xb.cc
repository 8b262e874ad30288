#include "libs/fhe/random/blake2xb.h"

#include <algorithm>
#include <cstring>

#include "libs/fhe/poly/isa.h"
#include "libs/fhe/random/blake2b.h"
#include "libs/fhe/random/blake2b_constants.h"
#include "libs/fhe/random/blake2xb_lanes.h"

namespace alcove::fhe::blake2xb {

void CompressKey(const uint8_t* key64, uint64_t* state8) {
  std::copy(std::begin(kBlake2bIv), std::end(kBlake2bIv), state8);
  state8[0] ^= 64 | (64 << 8) | (1 << 16) | (1 << 24);  // digest, key, fanout 1, depth 1
  state8[1] ^= static_cast<uint64_t>(kBytes) << 32;     // xof_length
  uint8_t padded_key[128] = {};
  std::memcpy(padded_key, key64, 64);
  Blake2bCompress(state8, padded_key, sizeof padded_key, /*last=*/false);
}

void BlocksScalar(const uint64_t* keyed_state8, uint64_t counter, size_t count, uint8_t* out) {
  for (size_t b = 0; b < count; ++b, ++counter) {
    uint64_t root[16] = {};
    uint64_t message[16] = {counter};
    std::copy_n(keyed_state8, 8, root);
    Blake2bCompress(root, reinterpret_cast<const uint8_t*>(message), kRootCount, /*last=*/true);
    for (uint64_t leaf = 0; leaf < kLeavesPerRoot; ++leaf, out += 64) {
      uint64_t state[8];
      std::copy(std::begin(kBlake2bIv), std::end(kBlake2bIv), state);
      state[0] ^= kLeafWord0;
      state[1] ^= kLeafWord1 | leaf;
      state[2] ^= kLeafWord2;
      Blake2bCompress(state, reinterpret_cast<const uint8_t*>(root), kLeafCount, /*last=*/true);
      std::memcpy(out, state, sizeof state);
    }
  }
}

BlocksFn Best() {
  switch (BestIsa()) {
    case Isa::kAvx512Ifma:
    case Isa::kAvx512: return BlocksAvx512;
    case Isa::kAvx2: return BlocksAvx2;
    case Isa::kScalar: break;
  }
  return BlocksScalar;
}

}  // namespace alcove::fhe::blake2xb
