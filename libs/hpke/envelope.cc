#include "libs/hpke/envelope.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"

namespace alcove::hpke {

Replies RepliesOf(const Context& context, Aead aead) {
  Replies out;
  out.aead_ = aead;
  out.key_ = context.Export("alcove reply key", 32);
  out.base_nonce_ = context.Export("alcove reply nonce", 12);
  return out;
}

Replies::~Replies() { OPENSSL_cleanse(key_.data(), key_.size()); }

std::string Replies::Nonce() const {
  std::string out = base_nonce_;
  for (size_t i = 0; i < 8; ++i) out[11 - i] = static_cast<char>(out[11 - i] ^ static_cast<char>(sequence_ >> (8 * i)));
  return out;
}

absl::StatusOr<std::string> Replies::Seal(absl::string_view text) {
  auto out = AeadSeal(aead_, key_, Nonce(), "", text);
  if (out.ok()) ++sequence_;
  return out;
}

absl::StatusOr<std::string> Replies::Open(absl::string_view sealed) {
  auto out = AeadOpen(aead_, key_, Nonce(), "", sealed);
  if (out.ok()) ++sequence_;
  return out;
}

absl::StatusOr<SealedRequest> SealRequest(const PublicKey& recipient, absl::string_view purpose, Aead aead,
                                          absl::string_view text) {
  ALCOVE_ASSIGN_OR_RETURN(Sender sender, SetupSender(recipient, purpose, aead));
  ALCOVE_ASSIGN_OR_RETURN(const std::string sealed, sender.context.Seal("", text));
  std::string bytes(reinterpret_cast<const char*>(sender.encapsulated.data()), sender.encapsulated.size());
  return SealedRequest{bytes + sealed, RepliesOf(sender.context, aead)};
}

absl::StatusOr<OpenedRequest> OpenRequest(const PrivateKey& own, absl::string_view purpose, Aead aead,
                                          absl::string_view sealed) {
  if (sealed.size() < kKeyBytes + kTagBytes) return absl::InvalidArgumentError("the sealed request is too short");
  PublicKey encapsulated;
  std::copy_n(sealed.begin(), kKeyBytes, encapsulated.begin());
  ALCOVE_ASSIGN_OR_RETURN(Context context, SetupRecipient(encapsulated, own, purpose, aead));
  ALCOVE_ASSIGN_OR_RETURN(std::string text, context.Open("", sealed.substr(kKeyBytes)));
  return OpenedRequest{std::move(text), RepliesOf(context, aead)};
}

std::string KeyName(const PublicKey& key) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(key.data(), key.size(), digest);
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest), 8});
}

absl::StatusOr<PrivateKey> LoadOrMakeKey(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    PrivateKey key = PrivateKey::Generate();
    std::string hex = absl::BytesToHexString({reinterpret_cast<const char*>(key.bytes().data()), kKeyBytes}) + "\n";
    absl::Status status = EnsureDirectory(DirectoryOf(path), 0700);
    if (status.ok()) status = WriteFileAtomically(path, hex, 0600);
    OPENSSL_cleanse(hex.data(), hex.size());
    if (!status.ok()) return status;
    return key;
  }
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(path, " can be read by others; run chmod 600 on it"));
  }
  ALCOVE_ASSIGN_OR_RETURN(std::string hex, ReadFile(path, 4096));
  const absl::string_view digits = absl::StripAsciiWhitespace(hex);
  if (digits.size() != 2 * kKeyBytes || !std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " holds no key of 64 hexadecimal digits"));
  }
  std::string bytes = absl::HexStringToBytes(digits);
  std::array<uint8_t, kKeyBytes> raw;
  std::copy_n(bytes.begin(), kKeyBytes, raw.begin());
  PrivateKey key(raw);
  OPENSSL_cleanse(raw.data(), raw.size());
  OPENSSL_cleanse(bytes.data(), bytes.size());
  OPENSSL_cleanse(hex.data(), hex.size());
  return key;
}

}  // namespace alcove::hpke
