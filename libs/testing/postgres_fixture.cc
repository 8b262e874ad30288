#include "libs/testing/postgres_fixture.h"

#include <cerrno>
#include <csignal>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <absl/time/clock.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"

namespace alcove::testing {

absl::StatusOr<std::unique_ptr<PostgresFixture>> PostgresFixture::Start() {
  std::unique_ptr<PostgresFixture> postgres(new PostgresFixture);
  // Debian keeps the server's programs out of PATH, one folder per version.
  ALCOVE_ASSIGN_OR_RETURN(const std::string initdb,
                          FindProgram({"initdb"}, {"/usr/lib/postgresql/*/bin"}, "postgresql"));
  postgres->programs_ = DirectoryOf(initdb);
  ALCOVE_RETURN_IF_ERROR(postgres->Initialise());
  ALCOVE_RETURN_IF_ERROR(postgres->Launch());
  return postgres;
}

PostgresFixture::~PostgresFixture() {
  if (process_ != nullptr) process_->Kill();
}

absl::Status PostgresFixture::Initialise() {
  if (geteuid() == 0) {
    // PostgreSQL refuses to run as root.
    const passwd* account = getpwnam("postgres");
    if (account == nullptr) account = getpwnam("nobody");
    if (account == nullptr) return absl::NotFoundError("there is no user postgres or nobody to run the server as");
    user_ = account->pw_uid;
    group_ = account->pw_gid;
    if (chown(folder_.path().c_str(), *user_, *group_) != 0) return ErrnoStatus(errno, folder_.path());
  }
  return RunTool("initdb", {"-D", folder_.File("data"), "-U", "alcove", "-A", "trust", "-E", "UTF8", "--locale=C",
                            "--no-sync", "--no-instructions"})
      .status();
}

absl::StatusOr<std::string> PostgresFixture::RunTool(const std::string& tool, std::vector<std::string> args) {
  ChildOptions options;
  options.binary = programs_ + "/" + tool;
  options.args = std::move(args);
  options.directory = folder_.path();
  options.user = user_;
  options.group = group_;
  return RunProgram(std::move(options));
}

absl::Status PostgresFixture::Launch() {
  ChildOptions options;
  options.binary = programs_ + "/postgres";
  options.args = {"-D", folder_.File("data"), "-k", folder_.path()};
  // fsync off still hands every commit to the kernel, so a killed server loses nothing.
  for (const char* setting : {"listen_addresses=", "fsync=off", "full_page_writes=off", "shared_buffers=16MB",
                              "max_connections=60", "autovacuum=off", "log_min_messages=warning"}) {
    options.args.push_back("-c");
    options.args.push_back(setting);
  }
  options.directory = folder_.path();
  options.user = user_;
  options.group = group_;
  ALCOVE_ASSIGN_OR_RETURN(process_, ChildProcess::Start(std::move(options)));
  const absl::Time give_up = absl::Now() + absl::Seconds(60);
  while (true) {
    const absl::StatusOr<std::string> ready =
        RunTool("pg_isready", {"-q", "-h", folder_.path(), "-U", "alcove", "-d", "postgres"});
    if (ready.ok()) return absl::OkStatus();
    if (!process_->Running() || absl::Now() > give_up) {
      return absl::UnavailableError(absl::StrCat("PostgreSQL does not answer:\n", process_->Output()));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
}

std::string PostgresFixture::url(const std::string& database) const {
  return absl::StrCat("postgresql://alcove@/", database, "?host=", absl::StrReplaceAll(folder_.path(), {{"/", "%2F"}}));
}

absl::StatusOr<std::string> PostgresFixture::NewDatabase() {
  const std::string name = absl::StrCat("test_", ++databases_);
  ALCOVE_RETURN_IF_ERROR(RunTool("psql", {"-q", "-X", "-h", folder_.path(), "-U", "alcove", "-d", "postgres", "-c",
                                          absl::StrCat("CREATE DATABASE ", name)}));
  return url(name);
}

void PostgresFixture::Kill() {
  // A killed server's backends would live on until they next look; an immediate stop quits them too, and leaves the
  // files as a crash does: recovery replays the write-ahead log.
  process_->Signal(SIGQUIT);
  if (!process_->WaitForExit().ok()) process_->Kill();
}

absl::Status PostgresFixture::Restart() {
  if (process_->Running()) Kill();
  // A server that was killed left its lock files behind.
  ALCOVE_RETURN_IF_ERROR(RemoveFile(folder_.File("data/postmaster.pid")));
  ALCOVE_RETURN_IF_ERROR(RemoveFile(folder_.File(".s.PGSQL.5432.lock")));
  return Launch();
}

}  // namespace alcove::testing
