#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/ssl/context.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/net/exchange.h"
#include "libs/net/server.h"

namespace alcove::net {

// The server's TLS settings, loaded once and shared by all loops: TLS 1.2 and newer, ALPN h2 then http/1.1, client
// certificates when a CA is given. INVALID_ARGUMENT names the file that cannot be used.
absl::StatusOr<std::shared_ptr<asio::ssl::context>> MakeServerTls(const TlsOptions& options);

// A client's: TLS 1.2 and newer, ALPN h2, and a server certificate that the authorities in `ca_file` (empty: those of
// the system) have signed for the server's name. INVALID_ARGUMENT names the file that cannot be
// used, or is missing.
struct ClientTlsOptions {
  std::string ca_file;
  std::string certificate_file;  // of this client, for servers that ask for one; with its key, or both empty
  std::string private_key_file;
};
absl::StatusOr<std::shared_ptr<asio::ssl::context>> MakeClientTls(const ClientTlsOptions& options);

// TLS as a filter between two byte strings, so that one connection class serves cleartext and TLS alike.
// Thread safety: none.
class TlsFilter {
 public:
  // A server's side.
  explicit TlsFilter(std::shared_ptr<asio::ssl::context> context);
  // A client's side; the server must show a certificate for `server_name`, a host name or an IP address. The first
  // bytes to send wait in TakeOutput.
  TlsFilter(std::shared_ptr<asio::ssl::context> context, const std::string& server_name);
  ~TlsFilter();
  TlsFilter(const TlsFilter&) = delete;
  TlsFilter& operator=(const TlsFilter&) = delete;

  // Takes ciphertext from the peer and appends what it decrypts to `plain`. May leave handshake bytes for TakeOutput.
  // An error is fatal for the connection; an alert may still wait in TakeOutput.
  absl::Status Receive(std::string_view cipher, std::string& plain);
  // Encrypts `plain`. Only after handshake_done().
  absl::Status Send(std::string_view plain);
  // Queues close_notify.
  void Close();
  // Appends the ciphertext to send.
  void TakeOutput(std::string& out);

  bool handshake_done() const { return handshake_done_; }
  bool peer_closed() const { return peer_closed_; }
  // The protocol agreed on: "h2", "http/1.1", or empty.
  std::string_view alpn() const;
  std::shared_ptr<const TlsInfo> Info() const;

 private:
  void Open();
  absl::Status Failure(std::string_view what) const;

  std::shared_ptr<asio::ssl::context> context_;
  SSL* ssl_ = nullptr;
  BIO* in_ = nullptr;   // owned by ssl_
  BIO* out_ = nullptr;  // owned by ssl_
  bool handshake_done_ = false;
  bool peer_closed_ = false;
};

}  // namespace alcove::net
