#include "libs/store/testing/store_fixture.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <pqxx/connection>
#include <pqxx/nontransaction>

#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace alcove::store {
namespace {

std::string PostgresFolder() {
  glob_t found;
  std::string folder;
  if (::glob("/usr/lib/postgresql/*/bin/postgres", 0, nullptr, &found) == 0 && found.gl_pathc > 0) {
    folder = std::filesystem::path(found.gl_pathv[found.gl_pathc - 1]).parent_path();
  }
  ::globfree(&found);
  return folder;
}

// Starts a program with its output discarded; the server refuses to run as root, so root hands it to "nobody".
int Spawn(const std::vector<std::string>& command) {
  const passwd* nobody = ::getuid() == 0 ? ::getpwnam("nobody") : nullptr;
  const int pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
  if (nobody != nullptr && (::setgid(nobody->pw_gid) != 0 || ::setuid(nobody->pw_uid) != 0)) ::_exit(126);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

bool RunToEnd(const std::vector<std::string>& command) {
  int status = 0;
  const int pid = Spawn(command);
  return pid > 0 && ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TempFolder::TempFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "alcove-store-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

bool ManualClock::AwaitWithDeadline(absl::Mutex* mu, const absl::Condition& condition, absl::Time deadline) {
  ++waiters_;
  while (!condition.Eval() && Now() < deadline) mu->AwaitWithTimeout(condition, absl::Milliseconds(1));
  --waiters_;
  return condition.Eval();
}

PrivatePostgres* PrivatePostgres::Shared() {
  static std::unique_ptr<PrivatePostgres> server = [] {
    std::unique_ptr<PrivatePostgres> starting(new PrivatePostgres());
    if (!starting->Start()) starting.reset();
    return starting;
  }();
  return server.get();
}

bool PrivatePostgres::Start() {
  const std::string bin = PostgresFolder();
  if (bin.empty()) return false;
  if (::getuid() == 0) {
    const passwd* nobody = ::getpwnam("nobody");
    if (nobody == nullptr || ::chown(folder_.path().c_str(), nobody->pw_uid, nobody->pw_gid) != 0) return false;
  }
  const std::string data = folder_.File("data");
  if (!RunToEnd({absl::StrCat(bin, "/initdb"), "-D", data, "-U", "alcove", "-E", "UTF8", "--no-locale", "-A", "trust",
                 "--no-sync"})) {
    return false;
  }
  pid_ = Spawn({absl::StrCat(bin, "/postgres"), "-D", data, "-k", folder_.path().string(), "-c",
                "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=60"});
  for (int i = 0; i < 500; ++i) {
    try {
      pqxx::connection probe(Url("postgres"));
      return true;
    } catch (const std::exception&) {
      absl::SleepFor(absl::Milliseconds(20));
    }
  }
  return false;
}

PrivatePostgres::~PrivatePostgres() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGQUIT);
  ::waitpid(pid_, nullptr, 0);
}

std::string PrivatePostgres::Url(const std::string& database) const {
  return absl::StrCat("host=", folder_.path().string(), " user=alcove dbname=", database);
}

std::string PrivatePostgres::NewDatabase() {
  const std::string name = absl::StrCat("test", ++databases_);
  pqxx::connection connection(Url("postgres"));
  pqxx::nontransaction(connection).exec(absl::StrCat("CREATE DATABASE ", name));
  return Url(name);
}

void StoreTest::SetUp() {
  if (GetParam() == Engine::kSqlite) {
    url_ = absl::StrCat("sqlite:", folder_.File("alcove.db"));
  } else {
    PrivatePostgres* server = PrivatePostgres::Shared();
    if (server == nullptr) GTEST_SKIP() << "PostgreSQL is not installed";
    url_ = server->NewDatabase();
  }
  store_ = OpenAgain();
}

std::unique_ptr<Store> StoreTest::OpenAgain(StoreOptions options) {
  if (options.clock == nullptr) options.clock = &clock_;
  absl::StatusOr<std::unique_ptr<Store>> store = Open(url_, options);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

std::string EngineName(const ::testing::TestParamInfo<Engine>& info) {
  return info.param == Engine::kSqlite ? "Sqlite" : "Postgres";
}

}  // namespace alcove::store
