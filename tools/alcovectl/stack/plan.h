// Which processes a local stack consists of, and the configuration each is started with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "tools/alcovectl/stack/layout.h"

namespace alcove::ctl {

struct StackOptions {
  std::string bin_dir;               // folder of the alcove-* binaries
  std::string listen = "127.0.0.1";  // host the gateway listens on
  uint16_t port = 8080;              // of the gateway; 0 takes a free one
  uint16_t base_port = 7100;         // of everything else; 0 takes free ones
  uint32_t shards = 2;               // vector-search processes, one shard each
  std::vector<std::string> models;   // "folder" or "name=folder"
  std::string store_url;             // empty: SQLite below the data folder
  bool redis = true;                 // start a private redis-server
  std::string log_level = "info";
};

// How a process shows that it is ready.
enum class Probe { kHttp, kRedis };

struct ProcessPlan {
  std::string name;
  std::vector<std::string> command;
  std::string address;  // host:port it serves on
  std::string admin;    // host:port its readiness is asked at
  Probe probe = Probe::kHttp;
};

struct StackPlan {
  std::string gateway;                 // host:port
  std::vector<ProcessPlan> processes;  // in order of starting; stopped in reverse
};

// Chooses ports, creates the folders and writes every process's configuration file. Errors: NOT_FOUND for a missing
// binary or model folder, INVALID_ARGUMENT for options out of range, and what the file system says.
absl::StatusOr<StackPlan> PlanStack(const StackLayout& layout, const StackOptions& options);

}  // namespace alcove::ctl
