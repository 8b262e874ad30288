// Roots and output blocks of BLAKE2Xb side by side, one per vector lane. V supplies vectors of 64-bit words; the
// instruction-set files instantiate it.
//
// V: type, kLanes, kLockStep, Set1, Iota (0, 1, …), Add, Xor, Xor3, Ror<bits>, StoreBlocks(out, words[8]) which writes
// lane l's eight words as 64 bytes at out + 64 * l.
//
// Limit: a compression is 12 rounds of 8 mixings of 12 instructions and 96 additions of message words (half of them are
// zero), 1,250 on two ports for eight output blocks.
#pragma once

#include <cstdint>
#include <utility>

#include "libs/fhe/random/blake2b_constants.h"
#include "libs/fhe/random/blake2xb.h"

namespace alcove::fhe::blake2xb {

// Words 0 … 2 of an output block's parameters: digest 64, leaf_length 64, xof_length 4096, inner_length 64. The low
// half of word 1 is the block's number.
inline constexpr uint64_t kLeafWord0 = 64 | (static_cast<uint64_t>(64) << 32);
inline constexpr uint64_t kLeafWord1 = static_cast<uint64_t>(4096) << 32;
inline constexpr uint64_t kLeafWord2 = static_cast<uint64_t>(64) << 8;
inline constexpr uint64_t kLeavesPerRoot = kBytes / 64;
// Bytes hashed so far: a root's key block and counter, an output block's root.
inline constexpr uint64_t kRootCount = 128 + 8;
inline constexpr uint64_t kLeafCount = 64;

template <class V>
struct Lanes {
  using T = typename V::type;
  // What all output blocks of a counter share: the root, and their working words after the three of the first four
  // mixings that the block's number does not reach.
  struct Root {
    uint64_t message[8];
    uint64_t start[16];
  };

  // Four mixings, of columns or diagonals, kLockStep of them side by side, as many as the registers let go on without
  // being stored: b, c and d of mixing i are words 4 + (i + kShift) % 4 and so on. Those whose bits are set in kSkip
  // are left out.
  template <int kShift, int kSkip>
  [[gnu::always_inline]] static void Mix4(T* v, const T* x, const T* y) {
    constexpr int kStep = V::kLockStep;
#pragma GCC unroll 4
    for (int first = 0; first < 4; first += kStep) {
      const auto each = [first](auto step) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int i = first; i < first + kStep; ++i) {
          if ((kSkip >> i & 1) == 0) step(i, 4 + (i + kShift) % 4, 8 + (i + 2 * kShift) % 4, 12 + (i + 3 * kShift) % 4);
        }
      };
      each([&](int i, int b, int, int) __attribute__((always_inline)) { v[i] = V::Add(V::Add(v[i], x[i]), v[b]); });
      each([&](int i, int, int, int d)
               __attribute__((always_inline)) { v[d] = V::template Ror<32>(V::Xor(v[d], v[i])); });
      each([&](int, int, int c, int d) __attribute__((always_inline)) { v[c] = V::Add(v[c], v[d]); });
      each([&](int, int b, int c, int)
               __attribute__((always_inline)) { v[b] = V::template Ror<24>(V::Xor(v[b], v[c])); });
      each([&](int i, int b, int, int) __attribute__((always_inline)) { v[i] = V::Add(V::Add(v[i], y[i]), v[b]); });
      each([&](int i, int, int, int d)
               __attribute__((always_inline)) { v[d] = V::template Ror<16>(V::Xor(v[d], v[i])); });
      each([&](int, int, int c, int d) __attribute__((always_inline)) { v[c] = V::Add(v[c], v[d]); });
      each([&](int, int b, int c, int)
               __attribute__((always_inline)) { v[b] = V::template Ror<63>(V::Xor(v[b], v[c])); });
    }
  }
  // Rounds are unrolled so that the schedule is known at compile time: words from kWords on are zero. kStarted leaves
  // out what Root::start has done.
  template <int kWords, size_t kRound, bool kStarted>
  [[gnu::always_inline]] static void Round(T* v, const T* message) {
    constexpr const uint8_t* s = kBlake2bSigma[kRound];
    const T zero = V::Set1(0);
    const auto word = [&](uint8_t index) __attribute__((always_inline)) {
      return index < kWords ? message[index] : zero;
    };
    const T x[8] = {word(s[0]), word(s[2]), word(s[4]), word(s[6]), word(s[8]), word(s[10]), word(s[12]), word(s[14])};
    const T y[8] = {word(s[1]), word(s[3]), word(s[5]), word(s[7]), word(s[9]), word(s[11]), word(s[13]), word(s[15])};
    Mix4<0, kStarted && kRound == 0 ? 0b1101 : 0>(v, x, y);
    Mix4<1, 0>(v, x + 4, y + 4);
  }
  template <int kWords, bool kStarted>
  [[gnu::always_inline]] static void Rounds(T* v, const T* message) {
    [&]<size_t... kRounds>(std::index_sequence<kRounds...>) __attribute__((always_inline)) {
      (Round<kWords, kRounds, kStarted>(v, message), ...);
    }
    (std::make_index_sequence<12>{});
  }

  static uint64_t Rotate(uint64_t x, int bits) { return (x >> bits) | (x << (64 - bits)); }

  // Roots of the counters from `counter` on, one a lane.
  static void Roots(const uint64_t* keyed, uint64_t counter, Root* out) {
    T h[8], v[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      h[i] = v[i] = V::Set1(keyed[i]);
      v[i + 8] = V::Set1(kBlake2bIv[i]);
    }
    v[12] = V::Set1(kBlake2bIv[4] ^ kRootCount);
    v[14] = V::Set1(~kBlake2bIv[6]);
    const T message[1] = {V::Add(V::Set1(counter), V::Iota())};
    Rounds<1, false>(v, message);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) h[i] = V::Xor3(h[i], v[i], v[i + 8]);
    alignas(64) uint8_t words[V::kLanes * 64];
    V::StoreBlocks(words, h);
    for (uint64_t l = 0; l < V::kLanes; ++l) Start(words + 64 * l, out[l]);
  }

  static void Start(const uint8_t* root, Root& out) {
    __builtin_memcpy(out.message, root, 64);
    const uint64_t* m = out.message;
    uint64_t* v = out.start;
    for (int i = 0; i < 8; ++i) v[i] = v[i + 8] = kBlake2bIv[i];
    v[0] ^= kLeafWord0;
    v[1] ^= kLeafWord1;
    v[2] ^= kLeafWord2;
    v[12] ^= kLeafCount;
    v[14] = ~v[14];
    const auto mix = [v](int a, int b, int c, int d, uint64_t x, uint64_t y) {
      v[a] += v[b] + x;
      v[d] = Rotate(v[d] ^ v[a], 32);
      v[c] += v[d];
      v[b] = Rotate(v[b] ^ v[c], 24);
      v[a] += v[b] + y;
      v[d] = Rotate(v[d] ^ v[a], 16);
      v[c] += v[d];
      v[b] = Rotate(v[b] ^ v[c], 63);
    };
    mix(0, 4, 8, 12, m[0], m[1]);
    mix(2, 6, 10, 14, m[4], m[5]);
    mix(3, 7, 11, 15, m[6], m[7]);
  }

  // Output blocks `block` … block + kLanes - 1 of a root.
  [[gnu::always_inline]] static void Leaves(const Root& root, uint64_t block, uint8_t* out) {
    T message[8], v[16], h[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) message[i] = V::Set1(root.message[i]);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) v[i] = V::Set1(root.start[i]);
    const T number = V::Add(V::Set1(block), V::Iota());
    v[1] = V::Xor(v[1], number);
    Rounds<8, true>(v, message);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) h[i] = V::Set1(kBlake2bIv[i]);
    h[0] = V::Set1(kBlake2bIv[0] ^ kLeafWord0);
    h[1] = V::Xor(V::Set1(kBlake2bIv[1] ^ kLeafWord1), number);
    h[2] = V::Set1(kBlake2bIv[2] ^ kLeafWord2);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) h[i] = V::Xor3(h[i], v[i], v[i + 8]);
    V::StoreBlocks(out, h);
  }

  static void Blocks(const uint64_t* keyed, uint64_t counter, size_t count, uint8_t* out) {
    constexpr size_t kTogether = 16;
    static_assert(kTogether % V::kLanes == 0 && kLeavesPerRoot % V::kLanes == 0);
    Root roots[kTogether];
    for (size_t now; count > 0; counter += now, out += now * kBytes, count -= now) {
      now = count < kTogether ? count : kTogether;
      for (size_t r = 0; r < now; r += V::kLanes) Roots(keyed, counter + r, roots + r);
      for (size_t leaf = 0; leaf < now * kLeavesPerRoot; leaf += V::kLanes) {
        Leaves(roots[leaf / kLeavesPerRoot], leaf % kLeavesPerRoot, out + 64 * leaf);
      }
    }
  }
};

}  // namespace alcove::fhe::blake2xb
