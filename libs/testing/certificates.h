// Certificates for tests of TLS, made by the openssl program.
#pragma once

#include <string>

#include <absl/status/statusor.h>

#include "libs/testing/temp_dir.h"

namespace alcove::testing {

// Paths of PEM files. The certificate is self-signed and so its own authority.
struct Certificate {
  std::string certificate, private_key;
};

// A certificate for a host name and an address, in `folder`, one to a folder.
absl::StatusOr<Certificate> MakeCertificate(const TempDir& folder, const std::string& host, const std::string& address);

}  // namespace alcove::testing
