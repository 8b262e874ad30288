// The plain HTTP/1.1 door for operators and orchestrators that every backend opens beside its gRPC port:
//
//   GET /metrics         Prometheus text or OpenMetrics, as the Accept header asks
//   GET /health/live     200 while the process runs
//   GET /health/ready    200 when ready, 503 with the reason otherwise
//   GET /debug/config    the configuration in force, secrets masked
//
// One thread, at most 64 connections, 8 KiB of request, 5 s per request; bodies are refused. Not for clients: bind it
// to loopback or to the cluster's network.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "libs/common/metrics.h"

namespace alcove {

struct AdminReply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

using AdminPage = std::function<AdminReply(absl::string_view query)>;

struct AdminOptions {
  std::string listen = "127.0.0.1:0";  // host:port; port 0 picks one
  Registry* registry = &DefaultRegistry();
  // OK when requests should be sent here; else its message is the body of the 503. Must not block.
  std::function<absl::Status()> ready = [] { return absl::OkStatus(); };
  // The body of /debug/config; secrets must be masked already.
  std::string config_yaml;
  // More GET pages by exact path; each is given the raw query text. Run on the server's thread and must not block.
  std::map<std::string, AdminPage> pages;
};

class AdminServer {
 public:
  // Listens and serves at once. UNAVAILABLE, naming the address, when the port is taken.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(AdminOptions options);
  // Closes every connection and joins the thread.
  ~AdminServer();
  // More pages, also replacing ones already there. Thread safe.
  void AddPages(std::map<std::string, AdminPage> pages);
  uint16_t port() const;
  // "127.0.0.1:9101", with the real port.
  std::string address() const;

 private:
  struct Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace alcove
