#include "libs/hpke/hpke.h"

#include <cstdlib>
#include <memory>
#include <utility>

#include <absl/strings/str_cat.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

namespace alcove::hpke {
namespace {

constexpr uint16_t kKem = 0x0020;  // DHKEM(X25519, HKDF-SHA256)
constexpr uint16_t kKdf = 0x0001;  // HKDF-SHA256
constexpr size_t kHashBytes = 32;
constexpr size_t kNonceBytes = 12;
constexpr absl::string_view kVersion = "HPKE-v1";

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
template <typename T>
using Owned = std::unique_ptr<T, FreeKey>;

void Wipe(std::string& secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
}

absl::string_view Bytes(const std::array<uint8_t, kKeyBytes>& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

std::string U16(uint16_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }

std::string Hmac(absl::string_view key, absl::string_view data) {
  std::string out(kHashBytes, '\0');
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(data.data()),
       data.size(), reinterpret_cast<unsigned char*>(out.data()), &size);
  return out;
}

// HKDF-Expand (RFC 5869, section 2.3).
std::string Expand(absl::string_view secret, absl::string_view info, size_t length) {
  std::string out, block;
  for (uint8_t i = 1; out.size() < length; ++i) {
    std::string next = Hmac(secret, absl::StrCat(block, info, std::string(1, static_cast<char>(i))));
    Wipe(block);
    block = std::move(next);
    out += block;
  }
  Wipe(block);
  out.resize(length);
  return out;
}

std::string LabeledExtract(absl::string_view suite, absl::string_view salt, absl::string_view label,
                           absl::string_view secret) {
  std::string message = absl::StrCat(kVersion, suite, label, secret);
  std::string out = Hmac(salt, message);
  Wipe(message);
  return out;
}

std::string LabeledExpand(absl::string_view suite, absl::string_view secret, absl::string_view label,
                          absl::string_view info, size_t length) {
  return Expand(secret, absl::StrCat(U16(static_cast<uint16_t>(length)), kVersion, suite, label, info), length);
}

// X25519 (RFC 7748); INVALID_ARGUMENT when the result is zero, as it is for points of small order.
absl::StatusOr<std::string> Agree(const PrivateKey& own, const PublicKey& other) {
  const Owned<EVP_PKEY> private_key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, own.bytes().data(), kKeyBytes));
  const Owned<EVP_PKEY> public_key(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, other.data(), kKeyBytes));
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new(private_key.get(), nullptr));
  std::string out(kKeyBytes, '\0');
  size_t size = out.size();
  if (context == nullptr || public_key == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), public_key.get()) != 1 ||
      EVP_PKEY_derive(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size) != 1 || size != kKeyBytes) {
    return absl::InvalidArgumentError("the public key is not usable");
  }
  return out;
}

// ExtractAndExpand of section 4.1 over the Diffie-Hellman value.
std::string SharedSecret(std::string dh, const PublicKey& encapsulated, const PublicKey& recipient) {
  const std::string suite = absl::StrCat("KEM", U16(kKem));
  std::string prk = LabeledExtract(suite, "", "eae_prk", dh);
  Wipe(dh);
  std::string out =
      LabeledExpand(suite, prk, "shared_secret", absl::StrCat(Bytes(encapsulated), Bytes(recipient)), kHashBytes);
  Wipe(prk);
  return out;
}

const EVP_CIPHER* CipherOf(Aead aead) { return aead == Aead::kAes256Gcm ? EVP_aes_256_gcm() : EVP_chacha20_poly1305(); }

}  // namespace

PrivateKey PrivateKey::Generate() {
  std::array<uint8_t, kKeyBytes> bytes;
  // A process without randomness must not go on.
  if (RAND_priv_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) std::abort();
  PrivateKey key(bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key;
}

PrivateKey::PrivateKey(const std::array<uint8_t, kKeyBytes>& bytes) : private_(bytes) {
  const Owned<EVP_PKEY> key(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, private_.data(), kKeyBytes));
  size_t size = public_.size();
  if (key == nullptr || EVP_PKEY_get_raw_public_key(key.get(), public_.data(), &size) != 1) std::abort();
}

PrivateKey::PrivateKey(PrivateKey&& other) noexcept : private_(other.private_), public_(other.public_) {
  OPENSSL_cleanse(other.private_.data(), other.private_.size());
}

PrivateKey& PrivateKey::operator=(PrivateKey&& other) noexcept {
  if (this == &other) return *this;
  private_ = other.private_;
  public_ = other.public_;
  OPENSSL_cleanse(other.private_.data(), other.private_.size());
  return *this;
}

PrivateKey::~PrivateKey() { OPENSSL_cleanse(private_.data(), private_.size()); }

Context::Context(Context&& other) noexcept
    : aead_(other.aead_),
      key_(std::exchange(other.key_, {})),
      base_nonce_(std::exchange(other.base_nonce_, {})),
      exporter_secret_(std::exchange(other.exporter_secret_, {})),
      sequence_(other.sequence_) {}

Context::~Context() {
  Wipe(key_);
  Wipe(exporter_secret_);
}

// KeySchedule of section 5.1, base mode.
absl::StatusOr<Context> MakeContext(Aead aead, absl::string_view shared_secret, absl::string_view info) {
  if (aead != Aead::kAes256Gcm && aead != Aead::kChaCha20Poly1305) {
    return absl::InvalidArgumentError(absl::StrCat("unknown AEAD ", static_cast<int>(aead)));
  }
  const std::string suite = absl::StrCat("HPKE", U16(kKem), U16(kKdf), U16(static_cast<uint16_t>(aead)));
  const std::string schedule = absl::StrCat(std::string(1, '\0'), LabeledExtract(suite, "", "psk_id_hash", ""),
                                            LabeledExtract(suite, "", "info_hash", info));
  std::string secret = LabeledExtract(suite, shared_secret, "secret", "");
  Context out;
  out.aead_ = aead;
  out.key_ = LabeledExpand(suite, secret, "key", schedule, 32);
  out.base_nonce_ = LabeledExpand(suite, secret, "base_nonce", schedule, kNonceBytes);
  out.exporter_secret_ = LabeledExpand(suite, secret, "exp", schedule, kHashBytes);
  Wipe(secret);
  return out;
}

std::array<uint8_t, 12> Context::Nonce() const {
  std::array<uint8_t, kNonceBytes> out;
  for (size_t i = 0; i < kNonceBytes; ++i) {
    const uint8_t counter = i < 4 ? 0 : static_cast<uint8_t>(sequence_ >> (8 * (kNonceBytes - 1 - i)));
    out[i] = static_cast<uint8_t>(base_nonce_[i]) ^ counter;
  }
  return out;
}

absl::StatusOr<std::string> Context::Seal(absl::string_view aad, absl::string_view plaintext) {
  if (sequence_ >> 63 != 0) return absl::ResourceExhaustedError("too many messages under one key");
  const auto nonce = Nonce();
  auto out = AeadSeal(aead_, key_, {reinterpret_cast<const char*>(nonce.data()), nonce.size()}, aad, plaintext);
  if (out.ok()) ++sequence_;
  return out;
}

absl::StatusOr<std::string> Context::Open(absl::string_view aad, absl::string_view ciphertext) {
  if (sequence_ >> 63 != 0) return absl::ResourceExhaustedError("too many messages under one key");
  const auto nonce = Nonce();
  auto out = AeadOpen(aead_, key_, {reinterpret_cast<const char*>(nonce.data()), nonce.size()}, aad, ciphertext);
  if (out.ok()) ++sequence_;
  return out;
}

std::string Context::Export(absl::string_view exporter_context, size_t length) const {
  const std::string suite = absl::StrCat("HPKE", U16(kKem), U16(kKdf), U16(static_cast<uint16_t>(aead_)));
  return LabeledExpand(suite, exporter_secret_, "sec", exporter_context, length);
}

absl::StatusOr<Sender> SetupSenderWith(const PrivateKey& ephemeral, const PublicKey& recipient, absl::string_view info,
                                       Aead aead) {
  auto dh = Agree(ephemeral, recipient);
  if (!dh.ok()) return dh.status();
  std::string secret = SharedSecret(*std::move(dh), ephemeral.public_key(), recipient);
  auto context = MakeContext(aead, secret, info);
  Wipe(secret);
  if (!context.ok()) return context.status();
  return Sender{ephemeral.public_key(), *std::move(context)};
}

absl::StatusOr<Sender> SetupSender(const PublicKey& recipient, absl::string_view info, Aead aead) {
  return SetupSenderWith(PrivateKey::Generate(), recipient, info, aead);
}

absl::StatusOr<Context> SetupRecipient(const PublicKey& encapsulated, const PrivateKey& own, absl::string_view info,
                                       Aead aead) {
  auto dh = Agree(own, encapsulated);
  if (!dh.ok()) return dh.status();
  std::string secret = SharedSecret(*std::move(dh), encapsulated, own.public_key());
  auto context = MakeContext(aead, secret, info);
  Wipe(secret);
  return context;
}

absl::StatusOr<std::string> AeadSeal(Aead aead, absl::string_view key, absl::string_view nonce, absl::string_view aad,
                                     absl::string_view plaintext) {
  if (key.size() != 32 || nonce.size() != kNonceBytes) return absl::InvalidArgumentError("a key of 32, a nonce of 12");
  if (plaintext.size() > (size_t{1} << 30) || aad.size() > (size_t{1} << 30)) {
    return absl::InvalidArgumentError("a message of at most 1 GiB");
  }
  const Owned<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  std::string out(plaintext.size() + kTagBytes, '\0');
  auto* const to = reinterpret_cast<unsigned char*>(out.data());
  const auto bytes = [](absl::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); };
  int size = 0, last = 0;
  const bool sealed =
      EVP_EncryptInit_ex(context.get(), CipherOf(aead), nullptr, bytes(key), bytes(nonce)) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &size, bytes(aad), static_cast<int>(aad.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), to, &size, bytes(plaintext), static_cast<int>(plaintext.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), to + size, &last) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, to + plaintext.size()) == 1;
  if (!sealed) return absl::InternalError("libcrypto could not encrypt");
  return out;
}

absl::StatusOr<std::string> AeadOpen(Aead aead, absl::string_view key, absl::string_view nonce, absl::string_view aad,
                                     absl::string_view ciphertext) {
  if (key.size() != 32 || nonce.size() != kNonceBytes) return absl::InvalidArgumentError("a key of 32, a nonce of 12");
  if (ciphertext.size() < kTagBytes || ciphertext.size() > (size_t{1} << 30)) {
    return absl::InvalidArgumentError("the sealed message is too short or too long");
  }
  const Owned<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  const size_t length = ciphertext.size() - kTagBytes;
  std::string out(length + 1, '\0');
  std::string tag(ciphertext.substr(length));
  auto* const to = reinterpret_cast<unsigned char*>(out.data());
  const auto bytes = [](absl::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); };
  int size = 0, last = 0;
  const bool opened = EVP_DecryptInit_ex(context.get(), CipherOf(aead), nullptr, bytes(key), bytes(nonce)) == 1 &&
                      EVP_DecryptUpdate(context.get(), nullptr, &size, bytes(aad), static_cast<int>(aad.size())) == 1 &&
                      EVP_DecryptUpdate(context.get(), to, &size, bytes(ciphertext), static_cast<int>(length)) == 1 &&
                      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1 &&
                      EVP_DecryptFinal_ex(context.get(), to + size, &last) == 1;
  if (!opened) {
    Wipe(out);
    return absl::InvalidArgumentError(
        "the sealed message does not open: another key, another purpose, or changed on the way");
  }
  out.resize(length);
  return out;
}

}  // namespace alcove::hpke
