#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "libs/net/header_list.h"

namespace alcove::gateway {

// A new API key: "alc_" + 12 characters of public id (by age) + 32 random ones (190 bits from the system's generator).
struct NewApiKey {
  std::string id;      // the 12 characters
  std::string secret;  // what the client sends
};
NewApiKey MakeApiKey();

// The first characters of the secret of key `id`, to recognise it by. Keys set from outside have none.
std::string ApiKeyPrefix(std::string_view id);

// SHA-256, 32 raw bytes. Keys carry enough randomness that nothing slower is needed.
std::string HashApiKey(std::string_view secret);

// Whether `secret` has the form MakeApiKey gives; anything else is refused without asking the store.
bool LooksLikeApiKey(std::string_view secret);

// Equal, in time that does not depend on where they differ.
bool SecretsEqual(std::string_view a, std::string_view b);

// The secret in `authorization: Bearer …` or `x-api-key`, a view into the list. UNAUTHENTICATED when there is none, or
// another scheme, saying what to send.
absl::StatusOr<std::string_view> FindApiKey(const net::HeaderList& headers);

}  // namespace alcove::gateway
