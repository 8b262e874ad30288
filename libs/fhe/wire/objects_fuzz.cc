// Feeds bytes to every reader. The first byte selects the reader; whatever is accepted must survive a round trip.

#include <cstdint>
#include <cstdlib>

#include "libs/fhe/fault.h"
#include "libs/fhe/params/modulus.h"
#include "libs/fhe/wire/objects.h"

namespace {

using namespace alcove::fhe;

void Check(bool holds) {
  if (!holds) std::abort();
}

// Small parameters keep an input's cost low; degree 2048 with two small primes is the least that switches keys.
const EncryptionParameters& Small() {
  static const EncryptionParameters p = {Scheme::kBfv, 2048, *CreatePrimes(2048, {14, 16}), 257};
  return p;
}

template <class T, class Write>
void RoundTrip(const absl::StatusOr<Stamped<T>>& read, Write write, auto again) {
  if (!read.ok()) {
    // Every refusal is named, except running out of memory inside a codec.
    Check(FaultOf(read.status()).has_value() || read.status().code() == absl::StatusCode::kResourceExhausted);
    return;
  }
  const auto back = again(write(read->object, WireFormat{read->version, Compression::kNone}));
  Check(back.ok() && back->version == read->version);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const EncryptionParameters& p = Small();
  const auto read_ciphertext = [&](absl::string_view b) { return ReadCiphertext(b, p); };
  const auto read_plaintext = [&](absl::string_view b) { return ReadPlaintext(b, p); };
  const auto read_public = [&](absl::string_view b) { return ReadPublicKey(b, p); };
  const auto read_galois = [&](absl::string_view b) { return ReadGaloisKeys(b, p, 3); };
  const auto read_relin = [&](absl::string_view b) { return ReadRelinKeys(b, p); };
  switch (data[0] % 6) {
    case 0:
      RoundTrip(ReadParameters(bytes), WriteParameters, [](absl::string_view b) { return ReadParameters(b); });
      break;
    case 1: RoundTrip(read_ciphertext(bytes), WriteCiphertext, read_ciphertext); break;
    case 2: RoundTrip(read_plaintext(bytes), WritePlaintext, read_plaintext); break;
    case 3: RoundTrip(read_public(bytes), WritePublicKey, read_public); break;
    case 4:
      RoundTrip(
          read_galois(bytes), [&](const GaloisKeys& k, const WireFormat& f) { return WriteGaloisKeys(k, p, f); },
          read_galois);
      break;
    case 5:
      RoundTrip(
          read_relin(bytes), [&](const RelinKeys& k, const WireFormat& f) { return WriteRelinKeys(k, p, f); },
          read_relin);
      break;
  }
  return 0;
}
