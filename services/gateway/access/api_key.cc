#include "services/gateway/access/api_key.h"

#include <cstdint>
#include <cstdlib>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

constexpr std::string_view kPrefix = "alc_";
constexpr size_t kIdLength = 12;
constexpr size_t kRandomLength = 32;
constexpr std::string_view kAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kHowTo = "send an API key as \"Authorization: Bearer alc_…\" or \"x-api-key: alc_…\"";

std::string RandomText(size_t length) {
  std::string text;
  while (text.size() < length) {
    uint8_t bytes[64];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
      LogError("the system gives no random numbers");
      std::abort();
    }
    for (const uint8_t byte : bytes) {
      // 248 = 4 × 62: the rest would make some characters likelier than others.
      if (byte < 248 && text.size() < length) text.push_back(kAlphabet[byte % 62]);
    }
  }
  return text;
}

}  // namespace

NewApiKey MakeApiKey() {
  NewApiKey key;
  // Seconds first, so that ids sort by age; the alphabet is in ASCII order.
  key.id.resize(kIdLength / 2);
  int64_t seconds = absl::ToUnixSeconds(absl::Now());
  for (auto c = key.id.rbegin(); c != key.id.rend(); ++c, seconds /= 62)
    *c = kAlphabet[static_cast<size_t>(seconds % 62)];
  key.id += RandomText(kIdLength - key.id.size());
  key.secret = std::string(kPrefix) + key.id + RandomText(kRandomLength);
  return key;
}

std::string ApiKeyPrefix(std::string_view id) {
  return id.size() == kIdLength ? std::string(kPrefix) + std::string(id) : std::string();
}

std::string HashApiKey(std::string_view secret) {
  // Fetching the algorithm and making a context cost more than the hash of one block.
  struct Hasher {
    EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ~Hasher() {
      EVP_MD_CTX_free(context);
      EVP_MD_free(algorithm);
    }
  };
  thread_local Hasher hasher;
  std::string digest(32, '\0');
  unsigned int length = 0;
  if (EVP_DigestInit_ex(hasher.context, hasher.algorithm, nullptr) != 1 ||
      EVP_DigestUpdate(hasher.context, secret.data(), secret.size()) != 1 ||
      EVP_DigestFinal_ex(hasher.context, reinterpret_cast<unsigned char*>(digest.data()), &length) != 1) {
    LogError("SHA-256 is not available");
    std::abort();
  }
  return digest;
}

bool LooksLikeApiKey(std::string_view secret) {
  if (secret.size() != kPrefix.size() + kIdLength + kRandomLength || secret.substr(0, kPrefix.size()) != kPrefix) {
    return false;
  }
  for (const char c : secret.substr(kPrefix.size())) {
    if (!absl::ascii_isalnum(c)) return false;
  }
  return true;
}

bool SecretsEqual(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

absl::StatusOr<std::string_view> FindApiKey(const net::HeaderList& headers) {
  if (const std::string_view header = headers.Get("authorization"); header.data() != nullptr) {
    const size_t space = header.find(' ');
    if (space == std::string_view::npos || !absl::EqualsIgnoreCase(ToAbsl(header.substr(0, space)), "bearer")) {
      return WithReason(absl::UnauthenticatedError(absl::StrCat("unknown authorization scheme; ", ToAbsl(kHowTo))),
                        "KEY_MISSING");
    }
    return FromAbsl(absl::StripAsciiWhitespace(ToAbsl(header.substr(space + 1))));
  }
  if (const std::string_view header = headers.Get("x-api-key"); header.data() != nullptr) return header;
  return WithReason(absl::UnauthenticatedError(absl::StrCat("no API key; ", ToAbsl(kHowTo))), "KEY_MISSING");
}

}  // namespace alcove::gateway
