// The crash test: several writers, processes killed with SIGKILL at random moments, and nothing acknowledged missing.
#pragma once

#include <functional>
#include <string>

namespace alcove::vector_search {

struct CrashOptions {
  int rounds = 10;
  unsigned seed = 1;
  std::string store_url;  // empty: a SQLite file
  // Called in some of the rounds while everything is written to: to kill the database's server, say.
  std::function<void()> also;
};

// Kills one or both of two processes `rounds` times while they are written to, take snapshots and replay, and checks
// after each round that every acknowledged upsert and delete is there and that nothing was ever written halfway.
void RunCrashRounds(const CrashOptions& options);

// ALCOVE_CRASH_ROUNDS of the environment, else `fallback`.
int CrashRounds(int fallback);

}  // namespace alcove::vector_search
