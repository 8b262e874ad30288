// Hybrid public key encryption, base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, and AES-256-GCM or
// ChaCha20-Poly1305, over libcrypto's primitives. One side knows the other's public key and seals messages to it; only
// the holder of the private key opens them. Not homomorphic: whoever opens a message sees it.
//
// Private keys and derived secrets are wiped when they go.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace alcove::hpke {

enum class Aead : uint16_t { kAes256Gcm = 0x0002, kChaCha20Poly1305 = 0x0003 };

// Bytes of a public key and of an encapsulated key.
inline constexpr size_t kKeyBytes = 32;
// Bytes a message grows by.
inline constexpr size_t kTagBytes = 16;

using PublicKey = std::array<uint8_t, kKeyBytes>;

// Move-only.
class PrivateKey {
 public:
  // A fresh key from the operating system's generator.
  static PrivateKey Generate();
  explicit PrivateKey(const std::array<uint8_t, kKeyBytes>& bytes);
  PrivateKey(PrivateKey&& other) noexcept;
  PrivateKey& operator=(PrivateKey&& other) noexcept;
  ~PrivateKey();

  const PublicKey& public_key() const { return public_; }
  const std::array<uint8_t, kKeyBytes>& bytes() const { return private_; }

 private:
  std::array<uint8_t, kKeyBytes> private_{};
  PublicKey public_{};
};

// One side's state of an encryption context: a key, a base nonce and a counter. Move-only; not thread safe.
class Context {
 public:
  Context(Context&&) noexcept;
  Context& operator=(Context&&) = delete;
  ~Context();

  // The next message: ciphertext and tag. Messages are opened in the order they were sealed. RESOURCE_EXHAUSTED after
  // 2^63 of them.
  absl::StatusOr<std::string> Seal(absl::string_view aad, absl::string_view plaintext);
  // INVALID_ARGUMENT when it was not sealed to this context, in this order, with this `aad`; the counter then stays.
  absl::StatusOr<std::string> Open(absl::string_view aad, absl::string_view ciphertext);
  // `length` (at most 8,160) secret bytes both sides share, bound to `exporter_context`.
  std::string Export(absl::string_view exporter_context, size_t length) const;

 private:
  friend absl::StatusOr<Context> MakeContext(Aead aead, absl::string_view shared_secret, absl::string_view info);
  Context() = default;
  std::array<uint8_t, 12> Nonce() const;

  Aead aead_ = Aead::kAes256Gcm;
  std::string key_;
  std::string base_nonce_;
  std::string exporter_secret_;
  uint64_t sequence_ = 0;
};

struct Sender {
  PublicKey encapsulated;  // travels with the first message
  Context context;
};

// `info` says what the messages are for; both sides must give the same. INVALID_ARGUMENT for a public key of small
// order.
absl::StatusOr<Sender> SetupSender(const PublicKey& recipient, absl::string_view info, Aead aead);
// With the given ephemeral key instead of a fresh one: for test vectors.
absl::StatusOr<Sender> SetupSenderWith(const PrivateKey& ephemeral, const PublicKey& recipient, absl::string_view info,
                                       Aead aead);
absl::StatusOr<Context> SetupRecipient(const PublicKey& encapsulated, const PrivateKey& own, absl::string_view info,
                                       Aead aead);

// What messages under the given secret are encrypted with, for replies: AEAD with a key and nonce of the caller's. The
// nonce (12 bytes) must not repeat under a key (32 bytes).
absl::StatusOr<std::string> AeadSeal(Aead aead, absl::string_view key, absl::string_view nonce, absl::string_view aad,
                                     absl::string_view plaintext);
absl::StatusOr<std::string> AeadOpen(Aead aead, absl::string_view key, absl::string_view nonce, absl::string_view aad,
                                     absl::string_view ciphertext);

}  // namespace alcove::hpke
