#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "absl/strings/str_cat.h"
#include "libs/net/raw_client.h"
#include "libs/net/server.h"
#include "libs/net/views.h"

namespace alcove::net {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A self-signed certificate, which is also its own authority, in two files that live as long as the object.
class TestCertificate {
 public:
  TestCertificate() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* x509 = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -60);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, key);
    X509_NAME* name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("alcove-test"), -1, -1,
                               0);
    X509_set_issuer_name(x509, name);
    X509_sign(x509, key, EVP_sha256());
    char folder[] = "/tmp/alcove_tls_XXXXXX";
    folder_ = ::mkdtemp(folder);
    std::FILE* f = std::fopen(certificate().c_str(), "w");
    PEM_write_X509(f, x509);
    std::fclose(f);
    f = std::fopen(private_key().c_str(), "w");
    PEM_write_PrivateKey(f, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(f);
    X509_free(x509);
    EVP_PKEY_free(key);
  }
  ~TestCertificate() { std::filesystem::remove_all(folder_); }
  std::string certificate() const { return folder_ + "/cert.pem"; }
  std::string private_key() const { return folder_ + "/key.pem"; }

 private:
  std::string folder_;
};

// A blocking TLS client.
class TlsClient {
 public:
  TlsClient(uint16_t port, std::string_view alpn, const TestCertificate* identity = nullptr, int max_version = 0) {
    context_ = SSL_CTX_new(TLS_client_method());
    if (max_version != 0) {
      SSL_CTX_set_security_level(context_, 0);
      SSL_CTX_set_max_proto_version(context_, max_version);
    }
    if (!alpn.empty()) {
      const std::string list = absl::StrCat(std::string(1, static_cast<char>(alpn.size())), AbslView(alpn));
      SSL_CTX_set_alpn_protos(context_, reinterpret_cast<const unsigned char*>(list.data()),
                              static_cast<unsigned>(list.size()));
    }
    if (identity != nullptr) {
      SSL_CTX_use_certificate_file(context_, identity->certificate().c_str(), SSL_FILETYPE_PEM);
      SSL_CTX_use_PrivateKey_file(context_, identity->private_key().c_str(), SSL_FILETYPE_PEM);
    }
    bio_ = BIO_new_ssl_connect(context_);
    BIO_set_conn_hostname(bio_, absl::StrCat("127.0.0.1:", port).c_str());
    connected_ = BIO_do_connect(bio_) == 1 && BIO_do_handshake(bio_) == 1;
  }
  ~TlsClient() {
    BIO_free_all(bio_);
    SSL_CTX_free(context_);
    ERR_clear_error();
  }
  bool connected() const { return connected_; }
  std::string alpn() const {
    SSL* ssl = nullptr;
    BIO_get_ssl(bio_, &ssl);
    const unsigned char* name = nullptr;
    unsigned n = 0;
    SSL_get0_alpn_selected(ssl, &name, &n);
    return std::string(reinterpret_cast<const char*>(name), n);
  }
  void Send(std::string_view bytes) { BIO_write(bio_, bytes.data(), static_cast<int>(bytes.size())); }
  std::string ReadUntil(std::string_view needle) {
    std::string all;
    char buffer[4096];
    while (all.find(needle) == std::string::npos) {
      const int n = BIO_read(bio_, buffer, sizeof(buffer));
      if (n <= 0) break;
      all.append(buffer, static_cast<size_t>(n));
    }
    return all;
  }

 private:
  SSL_CTX* context_;
  BIO* bio_;
  bool connected_;
};

class InfoHandler final : public Handler {
 public:
  void OnExchange(std::shared_ptr<Exchange> exchange) override {
    const HttpRequest& r = exchange->request();
    HttpResponse response;
    response.body = r.target == "/large" ? std::string(1 << 20, 'x') + "end"
                                         : absl::StrCat("tls=", r.tls ? r.tls->protocol : "none",
                                                        " subject=", r.tls ? r.tls->peer_subject : "", " end");
    exchange->Respond(std::move(response));
  }
};

class TlsTest : public ::testing::Test {
 protected:
  absl::Status Start(bool client_certificates = false) {
    ServerOptions options;
    options.port = 0;
    options.threads = 1;
    options.tls = true;
    options.tls_options = {certificate_.certificate(),
                           private_key_file_.empty() ? certificate_.private_key() : private_key_file_,
                           client_certificates ? certificate_.certificate() : ""};
    auto server = Server::Start(options, [](Loop&) { return std::make_unique<InfoHandler>(); });
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }
  TestCertificate certificate_;
  std::string private_key_file_;
  std::unique_ptr<Server> server_;
};

TEST_F(TlsTest, ServesHttp11AndHttp2ByAlpn) {
  ASSERT_TRUE(Start().ok());
  TlsClient one(server_->port(), "http/1.1");
  ASSERT_TRUE(one.connected());
  one.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(one.ReadUntil("end"), HasSubstr("tls=TLSv1.3"));

  TlsClient two(server_->port(), "h2");
  ASSERT_TRUE(two.connected());
  EXPECT_EQ(two.alpn(), "h2");
  two.Send(h2::Hello() + h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, 1, h2::Request("GET", "/")));
  EXPECT_THAT(two.ReadUntil("end"), HasSubstr("tls=TLSv1.3"));

  TlsClient silent(server_->port(), "");
  silent.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(silent.ReadUntil("end"), StartsWith("HTTP/1.1 200"));
}

TEST_F(TlsTest, SendsLargeAnswersWhole) {
  ASSERT_TRUE(Start().ok());
  TlsClient client(server_->port(), "http/1.1");
  client.Send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_GT(client.ReadUntil("end").size(), size_t{1} << 20);
}

TEST_F(TlsTest, RefusesOldVersionsUnknownProtocolsAndCleartext) {
  ASSERT_TRUE(Start().ok());
  EXPECT_FALSE(TlsClient(server_->port(), "", nullptr, TLS1_1_VERSION).connected());
  EXPECT_FALSE(TlsClient(server_->port(), "spdy/1").connected());
  RawClient cleartext(server_->port());
  cleartext.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  cleartext.ReadToEnd();
  EXPECT_TRUE(cleartext.ended());
}

TEST_F(TlsTest, DemandsClientCertificatesWhenAnAuthorityIsGiven) {
  ASSERT_TRUE(Start(true).ok());
  TlsClient without(server_->port(), "http/1.1");
  without.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(without.ReadUntil("end"), "");
  TlsClient with(server_->port(), "http/1.1", &certificate_);
  with.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(with.ReadUntil("end"), HasSubstr("CN=alcove-test"));
}

TEST_F(TlsTest, NamesTheFileItCannotUse) {
  private_key_file_ = "/nonexistent/key.pem";
  const absl::Status status = Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(StdView(status.message())), HasSubstr("/nonexistent/key.pem"));
  TestCertificate other;
  private_key_file_ = other.private_key();
  EXPECT_THAT(std::string(StdView(Start().message())), HasSubstr(other.private_key()));
}

}  // namespace
}  // namespace alcove::net
