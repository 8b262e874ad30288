// How far an encrypted search stays from a wrong answer. The noise of a reply is a sum of many independent bounded
// terms; its variance follows from the parameters, and a sub-Gaussian tail turns it into a probability. Terms that
// share the key's error or the secret key are covered by a margin that presumes rows with signs (search/signs.h); all
// others are treated as independent, as the parameter literature does. Tests compare the bound with measured noise,
// also of rows that are all alike.
#pragma once

#include <cstddef>

#include "libs/fhe/params/parameters.h"
#include "libs/fhe/search/layout.h"

namespace alcove::fhe {

struct SearchNoise {
  double sigma_bits = 0;    // log2 of the standard deviation of a reply's noise
  double limit_bits = 0;    // log2 of the noise at which a coefficient decrypts wrongly: Q / 2t
  double failure_log2 = 0;  // log2 of a bound on the probability that any coefficient of one reply is wrong
};

// A query of `dimensions` numbers, freshly encrypted under a symmetric key, expanded, and scored against a block whose
// rows each have sum of squares at most `row_energy` (unit vectors quantised with scale S: S^2; anything in int8: 127^2
// dimensions). BFV with one data prime.
SearchNoise BoundSearchNoise(const EncryptionParameters& parameters, size_t dimensions, double row_energy);
// The same for any layout: fewer doublings and fewer rows a block make less noise.
SearchNoise BoundSearchNoise(const EncryptionParameters& parameters, const Layout& layout, double row_energy);

// The failure probability this library promises a reply stays under.
inline constexpr double kMaxFailureLog2 = -64;

// Low bits that TrimReply may round away, adding at most a quarter to the noise's variance and keeping the failure
// probability under 2^kMaxFailureLog2; zero when there is no room.
struct TrimBits {
  int first = 0;
  int second = 0;
  double failure_log2 = 0;  // with those bits gone
};
TrimBits FreeReplyBits(const EncryptionParameters& parameters, const Layout& layout, double row_energy);

}  // namespace alcove::fhe
