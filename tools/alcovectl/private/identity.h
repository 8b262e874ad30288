// A person's keys for private search: a folder that holds the secret key, the secret that groups clusters (decoys.h)
// and what belongs to them. The secrets never leave it; everything else in there is public.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "libs/fhe/client/client.h"
#include "libs/fhe/client/secret_key.h"
#include "libs/fhe/wire/container.h"
#include "tools/alcovectl/private/decoys.h"

namespace alcove::ctl {

class Identity {
 public:
  // What clients of this program stamp on objects: the newest version that unmodified SEAL clients of today read.
  static constexpr fhe::SealVersion kVersion{4, 1};

  // Makes a secret key for SEAL parameters as a server gave them, and writes it to `folder` (made when missing; 0700,
  // files 0600). A group secret that is there already is kept. ALREADY_EXISTS when the folder holds a key.
  static absl::StatusOr<std::unique_ptr<Identity>> Create(const std::string& folder, const std::string& set_name,
                                                          const std::string& seal_parameters);
  // NOT_FOUND says how to make one; FAILED_PRECONDITION when a secret may be read by others. A group secret is made
  // when there is none.
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

  const GroupSecret& group_secret() const { return group_secret_; }
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
  GroupSecret group_secret_{};
  std::shared_ptr<const fhe::Context> context_;
  fhe::SecretKey secret_;
};

}  // namespace alcove::ctl
