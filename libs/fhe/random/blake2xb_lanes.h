// Several output blocks of BLAKE2Xb side by side, one per vector lane. V supplies a vector of kLanes 64-bit words; the
// instruction-set files instantiate it. The output blocks share their message (the root) and differ in node_offset
// only.
#pragma once

#include <cstdint>
#include <utility>

#include "libs/fhe/random/blake2b_constants.h"

namespace alcove::fhe::blake2xb {

// Words 0 … 2 of a leaf's parameter block: digest 64, leaf_length 64, xof_length 4096, inner_length 64.
inline constexpr uint64_t kLeafWord0 = 64 | (static_cast<uint64_t>(64) << 32);
inline constexpr uint64_t kLeafWord1 = static_cast<uint64_t>(4096) << 32;
inline constexpr uint64_t kLeafWord2 = static_cast<uint64_t>(64) << 8;

// V: type, kLanes, Set1, Iota (0, 1, …), Add, Xor, Ror<bits>, StoreBlocks(out, words[8]) which writes lane l's eight
// words as 64 bytes at out + 64 * l.
template <class V>
[[gnu::always_inline]] inline void ExpandLanes(const uint64_t* root8, uint8_t* out) {
  using T = typename V::type;
  T message[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) message[i] = V::Set1(root8[i]);
  const T zero = V::Set1(0);
  for (uint64_t block = 0; block < 64; block += V::kLanes) {
    T h[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) h[i] = V::Set1(kBlake2bIv[i]);
    h[0] = V::Xor(h[0], V::Set1(kLeafWord0));
    h[1] = V::Xor(h[1], V::Xor(V::Set1(kLeafWord1), V::Add(V::Set1(block), V::Iota())));
    h[2] = V::Xor(h[2], V::Set1(kLeafWord2));
    T v[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      v[i] = h[i];
      v[i + 8] = V::Set1(kBlake2bIv[i]);
    }
    v[12] = V::Xor(v[12], V::Set1(64));  // bytes hashed
    v[14] = V::Xor(v[14], V::Set1(~uint64_t{0}));
    const auto mix = [&](int a, int b, int c, int d, T x, T y) __attribute__((always_inline)) {
      v[a] = V::Add(V::Add(v[a], v[b]), x);
      v[d] = V::template Ror<32>(V::Xor(v[d], v[a]));
      v[c] = V::Add(v[c], v[d]);
      v[b] = V::template Ror<24>(V::Xor(v[b], v[c]));
      v[a] = V::Add(V::Add(v[a], v[b]), y);
      v[d] = V::template Ror<16>(V::Xor(v[d], v[a]));
      v[c] = V::Add(v[c], v[d]);
      v[b] = V::template Ror<63>(V::Xor(v[b], v[c]));
    };
    // Rounds are unrolled so that the schedule is known at compile time: half the message words are zero.
    const auto round = [&]<size_t kRound>() __attribute__((always_inline)) {
      constexpr const uint8_t* s = kBlake2bSigma[kRound];
      const auto word = [&](uint8_t index) __attribute__((always_inline)) { return index < 8 ? message[index] : zero; };
      mix(0, 4, 8, 12, word(s[0]), word(s[1]));
      mix(1, 5, 9, 13, word(s[2]), word(s[3]));
      mix(2, 6, 10, 14, word(s[4]), word(s[5]));
      mix(3, 7, 11, 15, word(s[6]), word(s[7]));
      mix(0, 5, 10, 15, word(s[8]), word(s[9]));
      mix(1, 6, 11, 12, word(s[10]), word(s[11]));
      mix(2, 7, 8, 13, word(s[12]), word(s[13]));
      mix(3, 4, 9, 14, word(s[14]), word(s[15]));
    };
    [&]<size_t... kRounds>(std::index_sequence<kRounds...>) __attribute__((always_inline)) {
      (round.template operator()<kRounds>(), ...);
    }
    (std::make_index_sequence<12>{});
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) h[i] = V::Xor(h[i], V::Xor(v[i], v[i + 8]));
    V::StoreBlocks(out + 64 * block, h);
  }
}

}  // namespace alcove::fhe::blake2xb
