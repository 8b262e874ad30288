// Pieces that keys and encryptions are made of. Internal to the client target.
#pragma once

#include <vector>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/client/sampler.h"
#include "libs/fhe/client/secret_key.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe {

// Fresh errors, or a fresh ternary polynomial, as residues of the first `rows` primes; the samples themselves are
// wiped.
CoeffPoly ErrorPoly(const Context& context, size_t rows);
CoeffPoly TernaryPoly(const Context& context, size_t rows);

std::vector<Modulus> Primes(const Context& context, size_t rows);

template <Form F>
void WipePoly(Poly<F>& poly) {
  Wipe(poly.words().data(), poly.words().size() * sizeof(uint64_t));
}

// A seeded encryption of zero in NTT form, (-(a s + e), a), of `rows` primes: all of them for keys.
Ciphertext EncryptZeroEval(const Context& context, const SecretKey& secret, size_t rows);

// The digits that switch from `target` (transform values at the data rows) to the secret key; seeded.
KeySwitchKey MakeSwitchKey(const Context& context, const SecretKey& secret, size_t index, const EvalPoly& target);

// c0 = pk0 u + e0 and c1 = pk1 u + e1 at the first `rows` primes, as transform values: an encryption of zero.
struct EvalPair {
  EvalPoly c0, c1;
};
EvalPair EncryptZeroPublic(const Context& context, const PublicKey& key, size_t rows);

}  // namespace alcove::fhe
