// What a client does with its secret key: evaluation keys for the server, encryption, decryption.
#pragma once

#include <vector>

#include <absl/types/span.h>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/client/secret_key.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe {

// Seeded keys for the given odd elements below 2N, in rising order. The context must have a special prime.
GaloisKeys MakeGaloisKeys(const Context& context, const SecretKey& secret, absl::Span<const uint32_t> elements);

// The public key, and the key for s^2 with which products are relinearised; both seeded.
PublicKey MakePublicKey(const Context& context, const SecretKey& secret);
RelinKeys MakeRelinKeys(const Context& context, const SecretKey& secret);

// BFV under a public key that was read or made under the context's parameters; otherwise as EncryptSymmetric.
Ciphertext EncryptPublic(const Context& context, const PublicKey& key, absl::Span<const uint64_t> coefficients);

// Seeded encryption of coefficients in [0, t), at most N of them, at the data level.
Ciphertext EncryptSymmetric(const Context& context, const SecretKey& secret, absl::Span<const uint64_t> coefficients);

struct Decrypted {
  std::vector<uint64_t> coefficients;  // N values in [0, t)
  // log2 of how many times larger the noise could grow before decryption fails; zero or less: the coefficients are
  // wrong. For tests and tuning on the client; never to be sent anywhere.
  double noise_budget_bits = 0;
};

// `ciphertext` was read under the context's parameters: two or three polynomials at a data level in coefficient form,
// perhaps seeded (FaultError otherwise). Constant time in the secret and in the message.
absl::StatusOr<Decrypted> Decrypt(const Context& context, const SecretKey& secret, const Ciphertext& ciphertext);

}  // namespace alcove::fhe
