// From numbers to plaintext polynomials modulo t and on to residues.
#pragma once

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/context.h"

namespace alcove::fhe {

// SEAL's batching: N slots in two rows of N/2; needs t prime and 1 modulo 2N. Immutable, thread safe.
class BatchEncoder {
 public:
  // Fails with kPlainModulusOutOfRange when t does not allow batching.
  static absl::StatusOr<BatchEncoder> Create(const Context& context);

  // Plaintext coefficients in [0, t) whose slots hold `values` (at most N, missing ones are 0, each below t).
  std::vector<uint64_t> Encode(absl::Span<const uint64_t> values) const;
  std::vector<uint64_t> Decode(absl::Span<const uint64_t> coefficients) const;

 private:
  BatchEncoder(const Modulus& t, size_t degree);
  Ntt ntt_;
  std::vector<uint32_t> position_;  // of slot i among the transform values
};

// The plaintext as residues modulo the data primes, centred: a coefficient of (t+1)/2 or more means a negative number.
// At most N coefficients below t.
EvalPoly LiftPlaintext(const Context& context, absl::Span<const uint64_t> coefficients);

// Signed numbers straight into residues modulo the data primes, without passing through t.
EvalPoly LiftSigned(const Context& context, absl::Span<const int8_t> coefficients);

}  // namespace alcove::fhe
