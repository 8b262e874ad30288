// Random polynomials for keys and encryption: AES-256 in counter mode under a key from libcrypto's private generator,
// fresh for every call. Time and memory access do not depend on the sampled values; temporary bytes are wiped.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "libs/fhe/random/stream.h"

namespace alcove::fhe {

// Wipes memory in a way the compiler keeps.
void Wipe(void* data, size_t bytes);

// A fresh seed for public randomness.
Seed RandomSeed();

// Uniform in {-1, 0, 1}.
std::vector<int8_t> SampleTernary(size_t count);

// Centred binomial, 21 against 21 coin flips: variance 10.5, magnitude at most 21.
void SampleError(absl::Span<int8_t> out);

}  // namespace alcove::fhe
