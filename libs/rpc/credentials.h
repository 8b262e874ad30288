// TLS between services, from PEM files.
#pragma once

#include <memory>
#include <string>

#include <absl/status/statusor.h>
#include <grpcpp/security/credentials.h>

namespace alcove::rpc {

// Paths of PEM files. All empty means cleartext.
struct TlsFiles {
  std::string certificate;  // chain of this process
  std::string private_key;
  std::string ca;  // server: whom clients must be signed by (mutual TLS); client: whom the server must be signed by
  bool enabled() const { return !certificate.empty() || !private_key.empty() || !ca.empty(); }
};

// INVALID_ARGUMENT when only one of certificate and key is given; an error naming the file when one cannot be read.
absl::Status CheckServerTls(const TlsFiles& files);
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const TlsFiles& files);

}  // namespace alcove::rpc
