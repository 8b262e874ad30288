// Feeds bytes to one reader of SEAL objects, ALCOVE_FUZZ_READER; whatever it accepts must survive a round trip.
//
// The first byte says what the others are. Bits 0 and 1 clear: a whole object. Otherwise the members of one, framed
// here in a version (bits 2 to 4) without compression, with zlib or with zstd, so that mutations get past header and
// checksums; with bit 5 they are written over those of a valid object, from the place that two more bytes name.

#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>

#include "libs/fhe/fault.h"
#include "libs/fhe/wire/samples_for_fuzz.h"
#ifdef ALCOVE_FUZZ_SECRET_KEY
#include "libs/fhe/client/secret_key.h"
#endif

namespace {

using namespace alcove::fhe;
using samples::Small;

void Check(bool holds) {
  if (!holds) std::abort();
}

template <class T>
void CheckRefusal(const absl::StatusOr<T>& read) {
  // Every refusal is named, except running out of memory inside a codec.
  Check(FaultOf(read.status()).has_value() || read.status().code() == absl::StatusCode::kResourceExhausted);
}

template <class T, class Read, class Write>
void RoundTrip(const absl::StatusOr<Stamped<T>>& read, Read again, Write write) {
  if (!read.ok()) return CheckRefusal(read);
  const auto back = again(write(read->object, WireFormat{read->version, Compression::kNone}));
  Check(back.ok() && back->version == read->version);
}

struct parameters {
  [[maybe_unused]] static constexpr auto kSample = samples::Parameters;
  static void Try(absl::string_view bytes) {
    const auto read = [](absl::string_view b) { return ReadParameters(b); };
    RoundTrip(read(bytes), read, WriteParameters);
  }
};
struct ciphertext {
  [[maybe_unused]] static constexpr auto kSample = samples::FullCiphertext;
  static void Try(absl::string_view bytes) {
    const auto read = [](absl::string_view b) { return ReadCiphertext(b, Small()); };
    RoundTrip(read(bytes), read, WriteCiphertext);
  }
};
struct plaintext {
  [[maybe_unused]] static constexpr auto kSample = samples::PlaintextObject;
  static void Try(absl::string_view bytes) {
    const auto read = [](absl::string_view b) { return ReadPlaintext(b, Small()); };
    RoundTrip(read(bytes), read, WritePlaintext);
  }
};
struct public_key {
  [[maybe_unused]] static constexpr auto kSample = samples::PublicKeyObject;
  static void Try(absl::string_view bytes) {
    const auto read = [](absl::string_view b) { return ReadPublicKey(b, Small()); };
    RoundTrip(read(bytes), read, WritePublicKey);
  }
};
struct galois_keys {
  [[maybe_unused]] static constexpr auto kSample = samples::GaloisObject;
  static void Try(absl::string_view bytes) {
    const auto read = [](absl::string_view b) { return ReadGaloisKeys(b, Small(), 3); };
    RoundTrip(read(bytes), read, [](const auto& k, const WireFormat& f) { return WriteGaloisKeys(k, Small(), f); });
  }
};
struct relin_keys {
  [[maybe_unused]] static constexpr auto kSample = samples::RelinObject;
  static void Try(absl::string_view bytes) {
    const auto read = [](absl::string_view b) { return ReadRelinKeys(b, Small()); };
    RoundTrip(read(bytes), read, [](const auto& k, const WireFormat& f) { return WriteRelinKeys(k, Small(), f); });
  }
};
#ifdef ALCOVE_FUZZ_SECRET_KEY
struct secret_key {
  [[maybe_unused]] static constexpr auto kSample = samples::SecretObject;
  static void Try(absl::string_view bytes) {
    static const auto context = *Context::Create(Small());
    const auto read = SecretKey::Read(bytes, *context);
    if (!read.ok()) return CheckRefusal(read);
    Check(SecretKey::Read(read->Write(*context, {{4, 1}, Compression::kNone}), *context).ok());
  }
};
#endif

using Reader = ALCOVE_FUZZ_READER;

std::string ObjectOf(uint8_t how, absl::string_view bytes) {
  if ((how & 3) == 0) return std::string(bytes);
  // The eighth is none that is read.
  const unsigned version = how >> 2 & 7;
  MemberWriter framed(version < std::size(samples::kVersions) ? samples::kVersions[version] : SealVersion{2, 9});
  std::string members(bytes);
  if ((how & 32) != 0 && bytes.size() >= 2 && version < std::size(samples::kVersions)) {
    members = Reader::kSample({samples::kVersions[version], Compression::kNone}).substr(kHeaderBytes);
    const size_t at = (static_cast<uint8_t>(bytes[0]) | size_t{static_cast<uint8_t>(bytes[1])} << 8) % members.size();
    members.replace(at, std::min(bytes.size() - 2, members.size() - at), std::string(bytes.substr(2)));
  }
  framed.Bytes({reinterpret_cast<const uint8_t*>(members.data()), members.size()});
  return SealObject(std::move(framed), static_cast<Compression>((how & 3) - 1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Reader::Try(ObjectOf(data[0], absl::string_view(reinterpret_cast<const char*>(data) + 1, size - 1)));
  return 0;
}
