// A private Redis server for one test.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "libs/testing/child_process.h"
#include "libs/testing/temp_dir.h"

namespace alcove::testing {

// Listens on a port of 127.0.0.1 and on a Unix socket in a folder of its own, keeps nothing on disk. Not thread safe.
class RedisFixture {
 public:
  // Starts a server, ready when this returns. `extra_args` are appended, e.g. {"--maxmemory", "1mb"}. NOT_FOUND with
  // the package's name when redis-server is not installed.
  static absl::StatusOr<std::unique_ptr<RedisFixture>> Start(std::vector<std::string> extra_args = {});

  uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string unix_socket() const { return folder_.File("redis.sock"); }
  // The process, to freeze or kill.
  ChildProcess& process() { return *process_; }
  // kill -9; Restart() brings an empty server back on the same port and socket.
  void Kill() { process_->Kill(); }
  absl::Status Restart();
  // Sends one inline command ("SET a b") and returns the raw reply, e.g. "+OK\r\n".
  absl::StatusOr<std::string> Command(const std::string& inline_command) const;

 private:
  RedisFixture() = default;
  absl::Status Launch();

  TempDir folder_{"alcove-redis"};
  std::string binary_;
  std::vector<std::string> extra_args_;
  uint16_t port_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace alcove::testing
