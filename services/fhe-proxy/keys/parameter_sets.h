// The encryption parameters this service computes with. Keys and ciphertexts made under any others are refused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/params/parameters.h"
#include "libs/fhe/search/layout.h"

namespace alcove::fhe_proxy {

struct ParameterSet {
  std::string name;
  fhe::EncryptionParameters parameters;
  int security_bits = 0;  // classical, by the HomomorphicEncryption.org table
  // Whether the modulus is within the table's bound against quantum attacks too.
  bool quantum_128 = false;
  // Keys a client must upload, in the order the expansion uses them.
  std::vector<uint32_t> galois_elements;
  // Numbers of a vector that fit one ciphertext of a query.
  uint32_t max_dimensions = 0;
  // Largest scale of rows of unit length: with a query of the same scale every score stays within t / 2.
  double max_row_scale = 0;
  std::string purpose;
  // What computing under these parameters needs.
  std::shared_ptr<const fhe::Context> context;

  // How `rows` rows of `dimension` numbers are packed: as few replies as there can be, then as few key switches.
  // INVALID_ARGUMENT unless 1 <= dimension <= degree.
  absl::StatusOr<fhe::Layout> LayoutFor(uint32_t dimension, uint64_t rows) const;

  // Bytes of the uncompressed objects a client sends.
  size_t KeyBytes() const;
  size_t QueryBytes() const;
  // Bytes of one uncompressed reply ciphertext.
  size_t ReplyBytes() const;
};

// Every set, the recommended one first. Built and checked once.
absl::Span<const ParameterSet> OfferedSets();

// NOT_FOUND names the sets there are.
absl::StatusOr<const ParameterSet*> FindSet(absl::string_view name);

}  // namespace alcove::fhe_proxy
