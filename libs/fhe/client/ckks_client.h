// CKKS encryption and decryption. A decryption carries noise that depends on the secret key: it is for its owner only,
// and nothing derived from it may be sent to a server (ckks/evaluator.h).
#pragma once

#include <absl/status/statusor.h>

#include "libs/fhe/ckks/encoder.h"
#include "libs/fhe/client/secret_key.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe {

// At the plaintext's level; seeded.
Ciphertext EncryptSymmetric(const Context& context, const SecretKey& secret, const CkksPlaintext& plain);
// `key` was read or made under the context's parameters.
Ciphertext EncryptPublic(const Context& context, const PublicKey& key, const CkksPlaintext& plain);

// Two or three polynomials at a data level, perhaps seeded; FaultError for others. Constant time in secret and message.
absl::StatusOr<CkksPlaintext> DecryptCkks(const Context& context, const SecretKey& secret, const Ciphertext& wire);

}  // namespace alcove::fhe
