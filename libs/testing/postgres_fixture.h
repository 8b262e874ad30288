// A private PostgreSQL cluster for one test.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "libs/testing/child_process.h"
#include "libs/testing/temp_dir.h"

namespace alcove::testing {

// Reached through a Unix socket only, without a password, as user "alcove". fsync is off, so it survives a kill of the
// process, not of the machine. When the test runs as root the server runs as the user postgres, or nobody. Not thread
// safe.
class PostgresFixture {
 public:
  // Makes a cluster and starts it, ready when this returns (a second or two). NOT_FOUND with the package's name when
  // PostgreSQL is not installed.
  static absl::StatusOr<std::unique_ptr<PostgresFixture>> Start();
  ~PostgresFixture();

  // "postgresql://alcove@/<database>?host=<socket folder>", as libpq and libpqxx take it.
  std::string url(const std::string& database = "postgres") const;
  // Makes a new empty database and returns its url.
  absl::StatusOr<std::string> NewDatabase();
  // Ends the server and all its backends at once, as a crash would; Restart() recovers it on the same socket.
  void Kill();
  absl::Status Restart();
  // The server's main process, to freeze.
  ChildProcess& process() { return *process_; }

 private:
  PostgresFixture() = default;
  absl::Status Initialise();
  absl::Status Launch();
  absl::StatusOr<std::string> RunTool(const std::string& tool, std::vector<std::string> args);

  TempDir folder_{"alcove-pg"};
  std::string programs_;  // folder of initdb, postgres and psql
  std::optional<uid_t> user_;
  std::optional<gid_t> group_;
  int databases_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace alcove::testing
