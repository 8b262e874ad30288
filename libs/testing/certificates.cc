#include "libs/testing/certificates.h"

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/testing/child_process.h"

namespace alcove::testing {

absl::StatusOr<Certificate> MakeCertificate(const TempDir& folder, const std::string& host,
                                            const std::string& address) {
  ALCOVE_RETURN_IF_ERROR(
      RunProgram({"openssl",
                  {"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                   "-keyout", "key.pem", "-out", "cert.pem", "-subj", absl::StrCat("/CN=", host), "-addext",
                   absl::StrCat("subjectAltName=DNS:", host, ",IP:", address)},
                  {},
                  folder.path(),
                  {},
                  {}})
          .status());
  return Certificate{folder.File("cert.pem"), folder.File("key.pem")};
}

}  // namespace alcove::testing
