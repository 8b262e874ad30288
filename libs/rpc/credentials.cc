#include "libs/rpc/credentials.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"

namespace alcove::rpc {
namespace {

constexpr size_t kMaxPem = size_t{1} << 20;

// gRPC reports a wrong PEM only when the first connection fails, so the plainest mistakes are caught here.
absl::StatusOr<std::string> ReadPem(const std::string& path, absl::string_view what) {
  if (path.empty()) return std::string();
  absl::StatusOr<std::string> pem = ReadFile(path, kMaxPem);
  if (!pem.ok()) return Annotate(pem.status(), absl::StrCat("TLS ", what));
  if (!absl::StrContains(*pem, "-----BEGIN ")) {
    return absl::InvalidArgumentError(absl::StrCat("TLS ", what, ": ", path, " is not a PEM file"));
  }
  return pem;
}

absl::Status CheckPair(const TlsFiles& files) {
  if (files.certificate.empty() == files.private_key.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("TLS: a certificate and its private key must be given together");
}

}  // namespace

absl::Status CheckServerTls(const TlsFiles& files) {
  ALCOVE_RETURN_IF_ERROR(CheckPair(files));
  if (files.certificate.empty()) return absl::InvalidArgumentError("TLS: a server needs a certificate");
  ALCOVE_RETURN_IF_ERROR(ReadPem(files.certificate, "certificate").status());
  ALCOVE_RETURN_IF_ERROR(ReadPem(files.private_key, "private key").status());
  return ReadPem(files.ca, "authorities").status();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const TlsFiles& files) {
  if (!files.enabled()) return grpc::InsecureChannelCredentials();
  ALCOVE_RETURN_IF_ERROR(CheckPair(files));
  grpc::SslCredentialsOptions options;
  ALCOVE_ASSIGN_OR_RETURN(options.pem_cert_chain, ReadPem(files.certificate, "certificate"));
  ALCOVE_ASSIGN_OR_RETURN(options.pem_private_key, ReadPem(files.private_key, "private key"));
  ALCOVE_ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(files.ca, "authorities"));
  return grpc::SslCredentials(options);
}

}  // namespace alcove::rpc
