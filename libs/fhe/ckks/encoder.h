// Complex numbers as CKKS plaintexts and back, as SEAL's CKKSEncoder does: N/2 slots, slot i the value of the
// polynomial at zeta^(3^i), zeta = exp(i pi / N), divided by the scale. Thread safe.
#pragma once

#include <complex>
#include <memory>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe {

// Residues of every prime of a level as transform values, times a scale.
struct CkksPlaintext {
  EvalPoly poly;
  double scale = 1;
};

class CkksEncoder {
 public:
  // kUnknownScheme unless the context is a CKKS one.
  static absl::StatusOr<CkksEncoder> Create(std::shared_ptr<const Context> context);
  size_t slots() const { return context_->degree() / 2; }

  // At most slots() values, the rest zero; at the level of `rows` primes. OUT_OF_RANGE when a scaled coefficient does
  // not fit the level's primes or 62 bits, or is not a number.
  absl::StatusOr<CkksPlaintext> Encode(absl::Span<const std::complex<double>> values, double scale, size_t rows) const;
  absl::StatusOr<CkksPlaintext> Encode(absl::Span<const double> values, double scale, size_t rows) const;
  std::vector<std::complex<double>> Decode(const CkksPlaintext& plain) const;

 private:
  explicit CkksEncoder(std::shared_ptr<const Context> context);
  std::shared_ptr<const Context> context_;
  std::vector<std::complex<double>> root_;  // zeta^brev(i), as the transforms' twiddles
  std::vector<uint32_t> position_;          // slot i's place, then its conjugate's
};

// The wire forms. FaultError for a plaintext that is not at a data level in NTT form.
absl::StatusOr<CkksPlaintext> CkksFromWire(const Context& context, const Plaintext& wire);
Plaintext ToWire(const Context& context, const CkksPlaintext& plain);

}  // namespace alcove::fhe
