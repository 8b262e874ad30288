// The secret key. Move-only; its memory is wiped when it goes.
#pragma once

#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/wire/container.h"

namespace alcove::fhe {

class SecretKey {
 public:
  // A fresh uniform ternary key.
  static SecretKey Generate(const Context& context);

  // SEAL's SecretKey object (a plaintext at the key level in NTT form). FaultError when malformed, made under other
  // parameters, or not ternary.
  static absl::StatusOr<SecretKey> Read(absl::string_view bytes, const Context& context);
  // Holds the secret in the clear: wipe it after use.
  std::string Write(const Context& context, const WireFormat& format) const;

  SecretKey(SecretKey&& other) noexcept = default;
  SecretKey& operator=(SecretKey&& other) noexcept;
  ~SecretKey();

  // Transform values at every key row, and their Shoup quotients.
  const EvalPoly& eval() const { return eval_; }
  const EvalPoly& quotients() const { return quotients_; }

 private:
  SecretKey(const Context& context, EvalPoly eval);
  void ComputeQuotients(const Context& context);
  void WipeAll();
  EvalPoly eval_;
  EvalPoly quotients_;
};

}  // namespace alcove::fhe
