// Why an object or a parameter set from outside was refused. Every refusal of this library carries exactly one Fault,
// so that a client, a log line and a metric can name the reason without parsing text.
#pragma once

#include <optional>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>

namespace alcove::fhe {

// The reasons, grouped by where they arise. FaultName() gives the stable snake_case name shown to clients.
enum class Fault {
  // The container: header, nesting, compression.
  kTruncated,               // the bytes end before the object does
  kTrailingBytes,           // the object ends before the bytes do
  kBadMagic,                // the first two bytes are not 5E A1
  kBadHeader,               // header size or reserved field differs from the format
  kUnsupportedVersion,      // written by a SEAL outside 3.6 … 4.4
  kMixedVersions,           // a nested object carries another version than its container
  kUnsupportedCompression,  // compression byte unknown, or a nested object is compressed
  kBadCompressedData,       // the zlib or zstd stream is damaged, or needs a window above 8 MiB
  kTooLarge,                // more bytes than such an object can have under its parameters, or than the caller allows
  kSizeMismatch,            // the header's size differs from the bytes the object takes

  // The encryption parameters.
  kUnknownScheme,           // scheme byte is not BFV, CKKS or BGV
  kDegreeOutOfRange,        // polynomial degree is not a power of two in 1024 … 32768
  kPrimeCountOutOfRange,    // no coefficient prime, or more than 64
  kPrimeOutOfRange,         // a coefficient prime outside 2 … 60 bits
  kPrimeNotPrime,           // a coefficient modulus that is composite
  kPrimeNotNttFriendly,     // a coefficient prime that is not 1 modulo 2N
  kPrimeRepeated,           // the same coefficient prime twice
  kInsecure,                // the primes together exceed the 128-bit security table
  kPlainModulusOutOfRange,  // plain modulus outside 2 … 60 bits (BFV, BGV), or not zero (CKKS)
  kPlainModulusNotCoprime,  // plain modulus shares a factor with a coefficient prime
  kPlainModulusTooLarge,    // plain modulus not below the product of the coefficient primes
  kParametersNotOffered,    // valid, but none of the sets this server computes with

  // Ciphertexts, plaintexts and keys.
  kParmsIdMismatch,       // made under other parameters
  kWrongLevel,            // right parameters, but not at the level this object must have
  kWrongForm,             // NTT flag differs from what scheme and object require
  kWrongPolynomialCount,  // ciphertext size is not what is expected here
  kWrongDegree,           // the object's N differs from its parameters
  kWrongPrimeCount,       // the object's number of primes differs from its level
  kBadScale,              // scale is not 1 (BFV, BGV), or not positive and normal (CKKS)
  kBadCorrectionFactor,   // not 1 (BFV, CKKS), or outside 1 … t-1 (BGV)
  kCountMismatch,         // number of words differs from the object's dimensions
  kResidueOutOfRange,     // a residue not below its prime, or a plain coefficient not below t
  kTransparent,           // every polynomial but the first is zero: not encrypted at all
  kUnknownGenerator,      // seed for a generator other than Blake2xb and SHAKE256
  kSeedNotAllowed,        // a seed where the object cannot have one
  kBadKeyCount,           // number of key-switching keys or digits differs from the parameters
  kNoKeys,                // a key set without a single key
  kMissingKey,            // the operation needs a key that the set lacks
};

// The stable name, e.g. "residue_out_of_range".
absl::string_view FaultName(Fault fault);

// An INVALID_ARGUMENT status "<name>: <detail>" that remembers the fault.
absl::Status FaultError(Fault fault, absl::string_view detail);

// The fault a status carries, if it came from FaultError (annotations keep it).
std::optional<Fault> FaultOf(const absl::Status& status);

// `status` with "<where>: " put before its message; code and fault stay.
absl::Status Within(absl::string_view where, const absl::Status& status);

}  // namespace alcove::fhe
