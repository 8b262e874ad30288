#include "libs/fhe/search/noise.h"

#include <algorithm>
#include <cmath>

#include "libs/fhe/search/expand.h"

namespace alcove::fhe {
namespace {

constexpr double kErrorVariance = 10.5;        // centred binomial, 21 against 21
constexpr double kSecretVariance = 2.0 / 3.0;  // uniform ternary
// Given a key, the variance of what is multiplied by its error or by the secret is a mean over N/2 frequencies of the
// product of two energies: of that polynomial and, thanks to their signs, of the rows. Each energy is exponentially
// distributed, so the mean has a deviation of sqrt(3 / (N/2)) (0.04 at N = 4096); that it exceeds its expectation by a
// half needs thirteen deviations, or one product of at least N/4, which has a probability of e^(-2 sqrt(N/4)) = 2^-92.
constexpr double kSharedMargin = 1.5;

// Variance of one coefficient of a reply's noise after `levels` doublings and a sum over `rows` rows.
double ReplyVariance(const EncryptionParameters& p, int levels, size_t rows, double row_energy) {
  const double n = static_cast<double>(p.degree);
  const double q = static_cast<double>(p.primes[0]);
  const double special = static_cast<double>(p.primes.back());
  // One key switch: its only digit, centred and uniform modulo q, times the key's error, divided by P; and the rounding
  // of that division in both polynomials, the second times s.
  const double key_switch =
      kSharedMargin * (n * (q * q / 12) * kErrorVariance / (special * special) + (1 + n * kSecretVariance) / 12);
  // Noise energy of a coefficient, on average. A doubling keeps every second coefficient, twice as large (energy times
  // two), and adds a key switch. The encoded message adds a rounding error of at most one half.
  double energy = kErrorVariance + 0.25;
  for (int level = 0; level < levels; ++level) energy = 2 * energy + key_switch;
  // A coefficient of the sum over ciphertexts of noise times rows meets every row once.
  return energy * static_cast<double>(rows) * row_energy;
}

double Limit(const EncryptionParameters& p) {
  return static_cast<double>(p.primes[0]) / (2 * static_cast<double>(p.plain_modulus));
}

// P(|x| > limit) <= 2 exp(-limit^2 / 2 variance), for each of N coefficients.
double FailureLog2(const EncryptionParameters& p, double variance) {
  return std::log2(2 * static_cast<double>(p.degree)) - Limit(p) * Limit(p) / (2 * variance) / std::log(2.0);
}

SearchNoise Bound(const EncryptionParameters& p, double variance) {
  return {std::log2(variance) / 2, std::log2(Limit(p)), FailureLog2(p, variance)};
}

}  // namespace

SearchNoise BoundSearchNoise(const EncryptionParameters& p, size_t dimensions, double row_energy) {
  return Bound(p, ReplyVariance(p, ExpansionLevels(dimensions), p.degree, row_energy));
}

SearchNoise BoundSearchNoise(const EncryptionParameters& p, const Layout& layout, double row_energy) {
  return Bound(p, ReplyVariance(p, layout.levels(), layout.rows_per_block(), row_energy));
}

TrimBits FreeReplyBits(const EncryptionParameters& p, const Layout& layout, double row_energy) {
  const double variance = ReplyVariance(p, layout.levels(), layout.rows_per_block(), row_energy);
  // Rounding to multiples of 2^b has variance 4^b / 12, at the coefficient that keeps the one below q 4^b / 3; in the
  // second polynomial it meets s, N coefficients of variance 2/3.
  const double share = variance / 8;
  TrimBits out;
  out.first = static_cast<int>(std::floor(std::log2(share * 3) / 2));
  out.second =
      static_cast<int>(std::floor(std::log2(share * 3 / (static_cast<double>(p.degree) * kSecretVariance)) / 2));
  out.first = std::max(out.first, 0);
  out.second = std::max(out.second, 0);
  out.failure_log2 = FailureLog2(p, variance * 1.25);
  if (out.failure_log2 > kMaxFailureLog2) return {0, 0, FailureLog2(p, variance)};
  return out;
}

}  // namespace alcove::fhe
