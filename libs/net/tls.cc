#include "libs/net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"

namespace alcove::net {
namespace {

constexpr unsigned char kAlpn[] = "\x02h2\x08http/1.1";
constexpr unsigned kH2Length = 3;  // of what a client offers: the first of them

int ChooseAlpn(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in, unsigned in_length,
               void*) {
  if (SSL_select_next_proto(const_cast<unsigned char**>(out), out_length, kAlpn, sizeof(kAlpn) - 1, in, in_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  return SSL_TLSEXT_ERR_OK;
}

// A context without what is too old.
std::shared_ptr<asio::ssl::context> MakeContext(asio::ssl::context::method method) {
  auto context = std::make_shared<asio::ssl::context>(method);
  boost::system::error_code ignored;
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                           asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1,
                       ignored);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  return context;
}

absl::Status CannotUse(absl::string_view what, const std::string& file, const boost::system::error_code& error) {
  return absl::InvalidArgumentError(absl::StrCat("cannot use the ", what, " file ", file, ": ", error.message()));
}

absl::Status UseIdentity(asio::ssl::context& context, const std::string& certificate, const std::string& private_key) {
  boost::system::error_code error;
  context.use_certificate_chain_file(certificate, error);
  if (error) return CannotUse("certificate", certificate, error);
  context.use_private_key_file(private_key, asio::ssl::context::pem, error);
  if (error) return CannotUse("private key", private_key, error);
  if (SSL_CTX_check_private_key(context.native_handle()) == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the private key ", private_key, " does not belong to the certificate ", certificate));
}

}  // namespace

absl::StatusOr<std::shared_ptr<asio::ssl::context>> MakeServerTls(const TlsOptions& options) {
  auto context = MakeContext(asio::ssl::context::tls_server);
  ALCOVE_RETURN_IF_ERROR(UseIdentity(*context, options.certificate_file, options.private_key_file));
  SSL_CTX* ssl = context->native_handle();
  if (!options.client_ca_file.empty()) {
    boost::system::error_code error;
    context->load_verify_file(options.client_ca_file, error);
    if (error) return CannotUse("client CA", options.client_ca_file, error);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    static constexpr unsigned char kSessionContext[] = "alcove";
    SSL_CTX_set_session_id_context(ssl, kSessionContext, sizeof(kSessionContext) - 1);
  }
  SSL_CTX_set_alpn_select_cb(ssl, ChooseAlpn, nullptr);
  return context;
}

absl::StatusOr<std::shared_ptr<asio::ssl::context>> MakeClientTls(const ClientTlsOptions& options) {
  if (options.certificate_file.empty() != options.private_key_file.empty()) {
    return absl::InvalidArgumentError("certificate and private_key belong together");
  }
  auto context = MakeContext(asio::ssl::context::tls_client);
  if (!options.certificate_file.empty()) {
    ALCOVE_RETURN_IF_ERROR(UseIdentity(*context, options.certificate_file, options.private_key_file));
  }
  boost::system::error_code error;
  if (options.ca_file.empty()) {
    context->set_default_verify_paths(error);
    if (error) return absl::InternalError(absl::StrCat("no certificate authorities: ", error.message()));
  } else {
    context->load_verify_file(options.ca_file, error);
    if (error) return CannotUse("CA", options.ca_file, error);
  }
  SSL_CTX* ssl = context->native_handle();
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_set_alpn_protos(ssl, kAlpn, kH2Length) != 0) return absl::InternalError("TLS: cannot ask for HTTP/2");
  return context;
}

TlsFilter::TlsFilter(std::shared_ptr<asio::ssl::context> context) : context_(std::move(context)) {
  Open();
  SSL_set_accept_state(ssl_);
}

TlsFilter::TlsFilter(std::shared_ptr<asio::ssl::context> context, const std::string& server_name)
    : context_(std::move(context)) {
  Open();
  SSL_set_connect_state(ssl_);
  // No name would be no check. It means this machine, as where it is resolved.
  const std::string& name = server_name.empty() ? "localhost" : server_name;
  // An address is looked for among the certificate's addresses, and is not sent as a name (RFC 6066, 3).
  X509_VERIFY_PARAM* verify = SSL_get0_param(ssl_);
  if (X509_VERIFY_PARAM_set1_ip_asc(verify, name.c_str()) != 1) {
    X509_VERIFY_PARAM_set1_host(verify, name.data(), name.size());
    SSL_set_tlsext_host_name(ssl_, name.c_str());
  }
  ERR_clear_error();
  (void)SSL_do_handshake(ssl_);
}

void TlsFilter::Open() {
  ssl_ = SSL_new(context_->native_handle());
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl_, in_, out_);
}

TlsFilter::~TlsFilter() { SSL_free(ssl_); }

absl::Status TlsFilter::Failure(std::string_view what) const {
  char text[160] = "protocol error";
  const unsigned long code = ERR_get_error();
  if (code != 0) ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  return absl::UnauthenticatedError(absl::StrCat("TLS ", absl::string_view(what.data(), what.size()), ": ", text));
}

absl::Status TlsFilter::Receive(std::string_view cipher, std::string& plain) {
  ERR_clear_error();
  if (!cipher.empty()) BIO_write(in_, cipher.data(), static_cast<int>(cipher.size()));
  if (!handshake_done_) {
    const int rv = SSL_do_handshake(ssl_);
    if (rv != 1) {
      const int error = SSL_get_error(ssl_, rv);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return absl::OkStatus();
      return Failure("handshake");
    }
    handshake_done_ = true;
  }
  for (;;) {
    constexpr size_t kRecord = 16 * 1024;
    const size_t old_size = plain.size();
    plain.resize(old_size + kRecord);
    size_t n = 0;
    const int rv = SSL_read_ex(ssl_, plain.data() + old_size, kRecord, &n);
    plain.resize(old_size + n);
    if (rv == 1) continue;
    const int error = SSL_get_error(ssl_, rv);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return absl::OkStatus();
    if (error == SSL_ERROR_ZERO_RETURN) {
      peer_closed_ = true;
      return absl::OkStatus();
    }
    return Failure("read");
  }
}

absl::Status TlsFilter::Send(std::string_view plain) {
  if (plain.empty()) return absl::OkStatus();
  ERR_clear_error();
  size_t written = 0;
  // The output side is memory, so a write is never partial.
  if (SSL_write_ex(ssl_, plain.data(), plain.size(), &written) != 1 || written != plain.size()) return Failure("write");
  return absl::OkStatus();
}

void TlsFilter::Close() {
  if (handshake_done_) SSL_shutdown(ssl_);
}

void TlsFilter::TakeOutput(std::string& out) {
  const size_t pending = BIO_ctrl_pending(out_);
  if (pending == 0) return;
  const size_t old_size = out.size();
  out.resize(old_size + pending);
  const int n = BIO_read(out_, out.data() + old_size, static_cast<int>(pending));
  out.resize(old_size + static_cast<size_t>(n > 0 ? n : 0));
}

std::string_view TlsFilter::alpn() const {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_, &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

std::shared_ptr<const TlsInfo> TlsFilter::Info() const {
  auto info = std::make_shared<TlsInfo>();
  info->protocol = SSL_get_version(ssl_);
  if (X509* certificate = SSL_get0_peer_certificate(ssl_)) {
    char subject[512] = "";
    X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof(subject));
    info->peer_subject = subject;
  }
  return info;
}

}  // namespace alcove::net
