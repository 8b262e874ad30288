#pragma once

#include <string_view>

namespace alcove::gateway {

// What a call needs, and what a key may allow (kPublic is needed only, never granted).
enum class AccessScope { kPublic, kRead, kWrite, kAdmin };

// "public", "read", "write", "admin".
constexpr std::string_view AccessScopeName(AccessScope scope) {
  switch (scope) {
    case AccessScope::kPublic: return "public";
    case AccessScope::kRead: return "read";
    case AccessScope::kWrite: return "write";
    case AccessScope::kAdmin: return "admin";
  }
  return "admin";
}

}  // namespace alcove::gateway
