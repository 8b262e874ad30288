#include "libs/fhe/random/blake2b.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <absl/strings/escaping.h>

#include "libs/fhe/random/blake2b_constants.h"

namespace alcove::fhe {

Blake2bHasher::Blake2bHasher(size_t digest_bytes) : digest_bytes_(digest_bytes) {
  std::copy(std::begin(kBlake2bIv), std::end(kBlake2bIv), state_);
  state_[0] ^= 0x01010000 ^ digest_bytes;
}

void Blake2bCompress(uint64_t* state8, const uint8_t* block128, uint64_t count, bool last) {
  uint64_t m[16];
  std::memcpy(m, block128, sizeof m);
  uint64_t v[16];
  std::copy_n(state8, 8, v);
  std::copy(std::begin(kBlake2bIv), std::end(kBlake2bIv), v + 8);
  v[12] ^= count;
  if (last) v[14] = ~v[14];
  const auto mix = [&](int a, int b, int c, int d, uint64_t x, uint64_t y) {
    v[a] += v[b] + x;
    v[d] = std::rotr(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = std::rotr(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = std::rotr(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = std::rotr(v[b] ^ v[c], 63);
  };
  for (const auto& s : kBlake2bSigma) {
    mix(0, 4, 8, 12, m[s[0]], m[s[1]]);
    mix(1, 5, 9, 13, m[s[2]], m[s[3]]);
    mix(2, 6, 10, 14, m[s[4]], m[s[5]]);
    mix(3, 7, 11, 15, m[s[6]], m[s[7]]);
    mix(0, 5, 10, 15, m[s[8]], m[s[9]]);
    mix(1, 6, 11, 12, m[s[10]], m[s[11]]);
    mix(2, 7, 8, 13, m[s[12]], m[s[13]]);
    mix(3, 4, 9, 14, m[s[14]], m[s[15]]);
  }
  for (int i = 0; i < 8; ++i) state8[i] ^= v[i] ^ v[i + 8];
}

void Blake2bHasher::Update(absl::Span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    // A full buffer is compressed only when more follows: the last block is marked as such.
    if (buffered_ == sizeof buffer_) {
      count_ += sizeof buffer_;
      Blake2bCompress(state_, buffer_, count_, false);
      buffered_ = 0;
    }
    const size_t take = std::min(bytes.size(), sizeof buffer_ - buffered_);
    std::memcpy(buffer_ + buffered_, bytes.data(), take);
    buffered_ += take;
    bytes.remove_prefix(take);
  }
}

void Blake2bHasher::Update(absl::string_view bytes) {
  Update(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

void Blake2bHasher::Finish(absl::Span<uint8_t> digest) {
  count_ += buffered_;
  std::memset(buffer_ + buffered_, 0, sizeof buffer_ - buffered_);
  Blake2bCompress(state_, buffer_, count_, true);
  std::memcpy(digest.data(), state_, std::min(digest.size(), digest_bytes_));
}

void Blake2b(absl::Span<const uint8_t> message, absl::Span<uint8_t> digest) {
  Blake2bHasher hasher(digest.size());
  hasher.Update(message);
  hasher.Finish(digest);
}

std::string Blake2bHex(absl::string_view message) {
  std::string digest(32, '\0');
  Blake2bHasher hasher(digest.size());
  hasher.Update(message);
  hasher.Finish(absl::MakeSpan(reinterpret_cast<uint8_t*>(digest.data()), digest.size()));
  return absl::BytesToHexString(digest);
}

}  // namespace alcove::fhe
