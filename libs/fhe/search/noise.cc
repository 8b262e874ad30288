#include "libs/fhe/search/noise.h"

#include <cmath>

#include "libs/fhe/search/expand.h"

namespace alcove::fhe {

SearchNoise BoundSearchNoise(const EncryptionParameters& p, size_t dimensions, double row_energy) {
  constexpr double kErrorVariance = 10.5;        // centred binomial, 21 against 21
  constexpr double kSecretVariance = 2.0 / 3.0;  // uniform ternary
  const double n = static_cast<double>(p.degree);
  const double q = static_cast<double>(p.primes[0]);
  const double special = static_cast<double>(p.primes.back());
  // One key switch: its only digit, uniform in [0, q), times the key's error, divided by P; and the rounding of that
  // division in both polynomials, the second times s.
  const double key_switch = n * (q * q / 3) * kErrorVariance / (special * special) + (1 + n * kSecretVariance) / 12;
  // Noise energy of a ciphertext, summed over its coefficients. A doubling keeps every second coefficient, twice as
  // large (energy times two), and adds a key switch. The encoded message adds a rounding error of at most one half.
  double energy = n * (kErrorVariance + 0.25);
  for (int level = 0; level < ExpansionLevels(dimensions); ++level) energy = 2 * energy + n * key_switch;
  // Coefficient r of the sum over dimensions of noise times rows meets every row once: variance = (energy / N) times
  // the energy of all rows of the block.
  const double variance = energy / n * n * row_energy;
  const double limit = q / (2 * static_cast<double>(p.plain_modulus));
  SearchNoise out;
  out.sigma_bits = std::log2(variance) / 2;
  out.limit_bits = std::log2(limit);
  // P(|x| > limit) <= 2 exp(-limit^2 / 2 variance), for each of N coefficients.
  out.failure_log2 = std::log2(2 * n) - limit * limit / (2 * variance) / std::log(2.0);
  return out;
}

}  // namespace alcove::fhe
