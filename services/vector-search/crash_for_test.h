// The crash test: several writers, processes killed with SIGKILL at random moments, and nothing acknowledged missing.
#pragma once

namespace alcove::vector_search {

// Kills one or both of two processes `rounds` times while they are written to, and checks after each round that every
// acknowledged upsert and delete is there and that nothing was ever written halfway.
void RunCrashRounds(int rounds, unsigned seed);

}  // namespace alcove::vector_search
