#pragma once

#include <string>

#include "absl/status/status.h"
#include "libs/store/store.h"

namespace alcove::gateway {

inline constexpr char kDefaultTenant[] = "default";

struct BootstrapOptions {
  std::string data_dir;
  std::string admin_key;  // from the configuration; empty: make one if the store has none
};

// Sees to it that somebody can get in: makes the tenant "default", and either puts the configured admin key into the
// store (revoking an earlier configured one that differs), or, when the tenant has no key at all, makes one and writes
// it to <data_dir>/admin.key, readable by the owner only. Blocks on the store.
absl::Status BootstrapKeys(store::Store& store, const BootstrapOptions& options);

}  // namespace alcove::gateway
