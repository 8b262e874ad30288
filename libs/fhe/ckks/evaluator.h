// Computation on CKKS ciphertexts without any secret: sums, products, relinearisation, rotation, rescaling. Ciphertexts
// are kept as transform values, as on the wire; the number of rows is the level. Reference: Cheon, Kim, Kim, Song,
// 2017, in the RNS form of Cheon, Han, Kim, Kim, Song, 2018, with SEAL's conventions.
//
// CKKS decryptions carry noise that depends on the secret: results are for the key's owner only, and what is derived
// from them must never come back to a server (SEAL's SECURITY.md; Li, Micciancio, 2021).
#pragma once

#include "libs/fhe/bfv/evaluator.h"
#include "libs/fhe/ckks/encoder.h"

namespace alcove::fhe {

struct CkksCiphertext {
  EvalPoly c0, c1;
  double scale = 1;
  size_t rows() const { return c0.rows(); }
};

struct CkksProduct {
  EvalPoly c0, c1, c2;
  double scale = 1;
};

// From a ciphertext of two polynomials read under the context's parameters, at any data level; expands its seed.
absl::StatusOr<CkksCiphertext> CkksFromWire(const Context& context, const Ciphertext& wire);
Ciphertext ToWire(const Context& context, const CkksCiphertext& ciphertext);
Ciphertext ToWire(const Context& context, const CkksProduct& product);

// INVALID_ARGUMENT when the levels differ, kBadScale when the scales of a sum do.
absl::StatusOr<CkksCiphertext> Add(const Context& context, const CkksCiphertext& a, const CkksCiphertext& b);
absl::StatusOr<CkksCiphertext> AddPlain(const Context& context, const CkksCiphertext& a, const CkksPlaintext& b);
absl::StatusOr<CkksCiphertext> MultiplyPlain(const Context& context, const CkksCiphertext& a, const CkksPlaintext& b);
absl::StatusOr<CkksProduct> Multiply(const Context& context, const CkksCiphertext& a, const CkksCiphertext& b);
// `key` is the one for s^2, RelinKeys index 0.
CkksCiphertext Relinearise(const Context& context, CkksProduct product, const SwitchKey& key,
                           KeySwitchScratch& scratch);
// X -> X^g and back to the original key: slots rotate left by k for g = 3^k mod 2N, conjugate for g = 2N - 1.
CkksCiphertext ApplyGalois(const Context& context, const CkksCiphertext& in, const GaloisKey& key,
                           KeySwitchScratch& scratch);
// Divides by the last prime with rounding, and the scale with it. kWrongLevel on the last level.
absl::StatusOr<CkksCiphertext> Rescale(const Context& context, const CkksCiphertext& in);
// Drops the last prime; message and scale stay. kWrongLevel on the last level.
absl::StatusOr<CkksCiphertext> ModSwitchDown(const Context& context, const CkksCiphertext& in);

}  // namespace alcove::fhe
