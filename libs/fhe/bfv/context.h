// Everything precomputed from one validated BFV or CKKS parameter set: transforms for each prime, the constants of key
// switching and of BFV's message scaling. Public values only. Immutable, thread safe; share it.
#pragma once

#include <memory>
#include <vector>

#include <absl/status/statusor.h>

#include "libs/fhe/params/parameters.h"
#include "libs/fhe/poly/ntt.h"
#include "libs/fhe/poly/poly.h"

namespace alcove::fhe {

class Context {
 public:
  // Errors: Validate()'s; kUnknownScheme for BGV; kPlainModulusOutOfRange for t of 2^31 or more.
  static absl::StatusOr<std::shared_ptr<const Context>> Create(const EncryptionParameters& parameters);

  const EncryptionParameters& parameters() const { return parameters_; }
  size_t degree() const { return parameters_.degree; }
  // Rows of a fresh ciphertext, and of a key; keys have one more, the special prime, unless there is only one prime.
  size_t data_rows() const { return data_rows_; }
  size_t key_rows() const { return ntts_.size(); }
  const Ntt& ntt(size_t row) const { return ntts_[row]; }
  const Modulus& modulus(size_t row) const { return ntts_[row].modulus(); }
  const Modulus& plain_modulus() const { return plain_modulus_; }
  const ParmsId& data_id() const { return data_id_; }
  const ParmsId& key_id() const { return key_id_; }

  // Division by the special prime, one view per data row.
  const DivideView& special(size_t row) const { return special_[row]; }
  // Whether Kernels::divide of the row takes the special prime.
  bool DividesInOne(size_t row) const {
    return ntts_.back().modulus().bits() <= 50 || ntts_[row].kernels().quotient == Quotient::kShoup64;
  }

  // Kernels good for both the special prime and data row `row`: those of the larger prime.
  const Kernels& WideKernels(size_t row) const {
    const Ntt& special = ntts_.back();
    return (special.modulus().bits() > modulus(row).bits() ? special : ntts_[row]).kernels();
  }

  // How a message enters a ciphertext at a data row, for the product Q of the data primes.
  const MessageScale& message_scale(size_t row) const { return message_scale_[row]; }

  // Row by row, in place. A poly has data_rows() or key_rows() rows.
  EvalPoly ToEval(CoeffPoly poly) const;
  CoeffPoly ToCoeff(EvalPoly poly) const;

 private:
  explicit Context(const EncryptionParameters& parameters);

  EncryptionParameters parameters_;
  size_t data_rows_;
  ParmsId data_id_;
  ParmsId key_id_;
  Modulus plain_modulus_;
  std::vector<Ntt> ntts_;
  std::vector<DivideView> special_;
  std::vector<MessageScale> message_scale_;
};

}  // namespace alcove::fhe
