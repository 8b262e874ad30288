// What the cache keeps for a key, and how it is written down outside this process.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

namespace alcove::cache {

// A tag is a tenant's label; its name in the tables of this process and in Redis is TagName().
struct CachedValue {
  std::shared_ptr<const std::string> value;
  absl::Time born;  // when its computation began: an invalidation after that makes it worthless
  absl::Time expires;
  std::vector<std::string> tags;  // full names, sorted

  size_t MemoryBytes() const;
};

// The full key of an entry. Tenant and namespace hold no NUL, so no two entries share a key and no tenant can name
// another's.
std::string EntryKey(absl::string_view tenant, absl::string_view name_space, absl::string_view key);
std::string TagName(absl::string_view tenant, absl::string_view tag);

// Bytes with a version, a checksum and the fields of CachedValue, little-endian. docs/formats/cache_entry.md.
std::string EncodeEntry(const CachedValue& entry);
// DATA_LOSS, naming what is wrong, for bytes EncodeEntry did not make. Bounded: allocates no more than `bytes` holds.
absl::StatusOr<CachedValue> DecodeEntry(absl::string_view bytes);

}  // namespace alcove::cache
