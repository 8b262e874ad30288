// One stored key set as a file: what was uploaded, byte for byte, and what a restart must know of it.
//
// Format: "ALCKEY1\n", then the fields below (integers little-endian, texts and bytes with a u32 length before them),
// then the BLAKE2b-256 of everything before it.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

#include "libs/fhe/wire/container.h"

namespace alcove::fhe_proxy {

struct KeyRecord {
  std::string tenant;
  std::string key_id;
  std::string parameter_set;
  std::string seal_parameters;  // the set's EncryptionParameters object when the keys were uploaded
  std::string label;
  absl::Time created_at;
  fhe::SealVersion version;
  std::vector<uint32_t> galois_elements;
  std::string galois_keys;  // as uploaded
  std::string relin_keys;   // as uploaded; empty when there are none
};

std::string EncodeKeyRecord(const KeyRecord& record);

// DATA_LOSS when the bytes are not exactly one intact record.
absl::StatusOr<KeyRecord> DecodeKeyRecord(absl::string_view bytes);

}  // namespace alcove::fhe_proxy
