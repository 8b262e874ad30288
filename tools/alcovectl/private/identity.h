// A person's keys for private search: a folder that holds the secret key and what belongs to it. The secret never
// leaves it; everything else in there is public.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "libs/fhe/client/client.h"
#include "libs/fhe/client/secret_key.h"
#include "libs/fhe/wire/container.h"

namespace alcove::ctl {

class Identity {
 public:
  // What clients of this program stamp on objects: the newest version that unmodified SEAL clients of today read.
  static constexpr fhe::SealVersion kVersion{4, 1};

  // Makes a secret key for SEAL parameters as a server gave them, and writes it to `folder` (made when missing; 0700,
  // the key file 0600). ALREADY_EXISTS when the folder holds a key.
  static absl::StatusOr<std::unique_ptr<Identity>> Create(const std::string& folder, const std::string& set_name,
                                                          const std::string& seal_parameters);
  // NOT_FOUND says how to make one; FAILED_PRECONDITION when the key file may be read by others.
  static absl::StatusOr<std::unique_ptr<Identity>> Load(const std::string& folder);

  // Evaluation keys for the given elements: a SEAL GaloisKeys object, seeded and zstd-compressed.
  std::string EvaluationKeys(const std::vector<uint32_t>& elements) const;
  // Remembers under which id a server keeps them.
  absl::Status SetKeyId(const std::string& key_id);

  // SEAL Ciphertext objects one after another, one for each vector of coefficients.
  std::string Encrypt(const std::vector<std::vector<uint64_t>>& parts) const;
  // INVALID_ARGUMENT when the bytes are no ciphertext under these parameters; DATA_LOSS when the noise is too large,
  // which an honest server's reply never has.
  absl::StatusOr<std::vector<uint64_t>> Decrypt(const std::string& ciphertext) const;

  // A value only this key's holder can tell from a random one, the same every time for the same bytes.
  std::string Rank(absl::string_view bytes) const;

  const std::string& folder() const { return folder_; }
  const std::string& set_name() const { return set_name_; }
  const std::string& key_id() const { return key_id_; }
  const fhe::Context& context() const { return *context_; }

 private:
  Identity(std::string folder, std::shared_ptr<const fhe::Context> context, fhe::SecretKey secret)
      : folder_(std::move(folder)), context_(std::move(context)), secret_(std::move(secret)) {}

  std::string folder_;
  std::string set_name_;
  std::string key_id_;
  std::string rank_seed_;  // a digest of the secret key
  std::shared_ptr<const fhe::Context> context_;
  fhe::SecretKey secret_;
};

}  // namespace alcove::ctl
