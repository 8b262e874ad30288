// A request sealed to a process, and its replies sealed back: what travels between them is read by nobody on the way.
//
//   client                                             process
//   SealRequest(its public key, …) → sealed, replies   OpenRequest(its private key, …) → text, replies
//   replies.Open(sealed reply)                 ←       replies.Seal(reply)
//
// A sealed request is the encapsulated key (32 bytes) and the HPKE ciphertext. Replies are encrypted under a key and a
// base nonce exported from the same context, message i with the nonce xor i, so a stream of them keeps its order.
#pragma once

#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "libs/hpke/hpke.h"

namespace alcove::hpke {

// Move-only. One side seals, the other opens; not thread safe.
class Replies {
 public:
  Replies(Replies&&) = default;
  ~Replies();
  absl::StatusOr<std::string> Seal(absl::string_view text);
  // INVALID_ARGUMENT for anything but the next reply.
  absl::StatusOr<std::string> Open(absl::string_view sealed);

 private:
  friend Replies RepliesOf(const Context& context, Aead aead);
  Replies() = default;
  std::string Nonce() const;
  Aead aead_ = Aead::kAes256Gcm;
  std::string key_;
  std::string base_nonce_;
  uint64_t sequence_ = 0;
};

struct SealedRequest {
  std::string bytes;
  Replies replies;
};
absl::StatusOr<SealedRequest> SealRequest(const PublicKey& recipient, absl::string_view purpose, Aead aead,
                                          absl::string_view text);

struct OpenedRequest {
  std::string text;
  Replies replies;
};
// INVALID_ARGUMENT when the bytes were not sealed to this key for this purpose, or changed on the way.
absl::StatusOr<OpenedRequest> OpenRequest(const PrivateKey& own, absl::string_view purpose, Aead aead,
                                          absl::string_view sealed);

// Names a public key: the first 16 hexadecimal digits of its SHA-256.
std::string KeyName(const PublicKey& key);

// The private key in `path` (64 hexadecimal digits); makes one, readable by its owner alone, when there is no file.
// FAILED_PRECONDITION when others may read the file, INVALID_ARGUMENT when it holds no key.
absl::StatusOr<PrivateKey> LoadOrMakeKey(const std::string& path);

}  // namespace alcove::hpke
