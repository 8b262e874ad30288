#include "tools/alcovectl/stack/plan.h"

#include <cstdlib>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libs/common/fs.h"
#include "libs/common/net_address.h"
#include "libs/common/status.h"

namespace alcove::ctl {
namespace {

// Offsets from the base port. A process's health and metrics are served 100 above its gRPC port.
constexpr uint16_t kInference = 1;
constexpr uint16_t kFheProxy = 4;
constexpr uint16_t kCache = 5;
constexpr uint16_t kRedis = 9;
constexpr uint16_t kVectorSearch = 10;
constexpr uint16_t kAdmin = 100;
constexpr uint32_t kMaxShards = 64;

bool IsExecutable(const std::string& path) { return access(path.c_str(), X_OK) == 0; }

bool IsDirectory(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// The first `name` on PATH, empty when there is none.
std::string FindOnPath(absl::string_view name) {
  const char* path = std::getenv("PATH");
  for (absl::string_view dir : absl::StrSplit(path != nullptr ? path : "/usr/bin:/bin", ':', absl::SkipEmpty())) {
    std::string candidate = absl::StrCat(dir, "/", name);
    if (IsExecutable(candidate)) return candidate;
  }
  return "";
}

// A YAML double-quoted scalar.
std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

class Planner {
 public:
  Planner(const StackLayout& layout, const StackOptions& options) : layout_(layout), options_(options) {}

  absl::StatusOr<StackPlan> Run() {
    if (options_.shards < 1 || options_.shards > kMaxShards) {
      return absl::InvalidArgumentError(
          absl::StrCat("a stack has 1 to ", kMaxShards, " shards, not ", options_.shards));
    }
    for (const char* folder : {"config", "logs", "data", "run"}) {
      ALCOVE_RETURN_IF_ERROR(EnsureDirectory(absl::StrCat(layout_.root(), "/", folder), 0700));
    }
    store_url_ = options_.store_url.empty() ? absl::StrCat("sqlite:", layout_.Database()) : options_.store_url;
    if (options_.redis) ALCOVE_RETURN_IF_ERROR(AddRedis());
    ALCOVE_RETURN_IF_ERROR(AddCache());
    ALCOVE_RETURN_IF_ERROR(AddVectorSearch());
    ALCOVE_RETURN_IF_ERROR(AddFheProxy());
    ALCOVE_RETURN_IF_ERROR(AddInference());
    ALCOVE_RETURN_IF_ERROR(AddGateway());
    return std::move(plan_);
  }

 private:
  // A free port when ports are free, else `base_port` + offset.
  absl::StatusOr<std::string> Address(uint16_t offset) {
    if (options_.base_port == 0) return FreeAddress();
    const HostPort address{"127.0.0.1", static_cast<uint16_t>(options_.base_port + offset)};
    ALCOVE_RETURN_IF_ERROR(CheckFree(address, "--base-port"));
    return address.ToString();
  }

  // Whatever listens there already would answer in the place of the process to be started.
  static absl::Status CheckFree(const HostPort& address, absl::string_view flag) {
    const auto socket = ListenTcp(address);
    if (!socket.ok()) return Annotate(socket.status(), absl::StrCat("choose another port with ", flag));
    close(socket->first);
    return absl::OkStatus();
  }

  // The socket is kept open until every port is chosen, so that no port is chosen twice.
  absl::StatusOr<std::string> FreeAddress() {
    ALCOVE_ASSIGN_OR_RETURN(const auto socket, ListenTcp({"127.0.0.1", 0}));
    held_.push_back(Held{socket.first});
    return HostPort{"127.0.0.1", socket.second}.ToString();
  }

  absl::Status AddService(absl::string_view binary, const std::string& name, uint16_t offset,
                          absl::string_view settings) {
    const std::string path = absl::StrCat(options_.bin_dir, "/", binary);
    if (!IsExecutable(path)) {
      return absl::NotFoundError(absl::StrCat(path, " is missing; build it, or name the folder with --bin-dir"));
    }
    ProcessPlan process;
    process.name = name;
    ALCOVE_ASSIGN_OR_RETURN(process.address, Address(offset));
    ALCOVE_ASSIGN_OR_RETURN(process.admin, Address(offset + kAdmin));
    const std::string data = layout_.Data(name);
    ALCOVE_RETURN_IF_ERROR(EnsureDirectory(data, 0700));
    const std::string config = absl::StrCat(
        "# Written by alcovectl up; changes are overwritten.\nlog:\n  level: ", options_.log_level,
        "\nserver:\n  listen: ", Quoted(process.address), "\n  admin_listen: ", Quoted(process.admin), "\n", settings);
    ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(layout_.Config(name), config, 0600));
    process.command = {path, "--config", layout_.Config(name)};
    plan_.processes.push_back(std::move(process));
    return absl::OkStatus();
  }

  absl::Status AddRedis() {
    const std::string binary = FindOnPath("redis-server");
    if (binary.empty()) {
      return absl::NotFoundError("redis-server is not installed; install it, or start without it (--no-redis)");
    }
    ProcessPlan redis;
    redis.name = "redis";
    ALCOVE_ASSIGN_OR_RETURN(redis.address, Address(kRedis));
    redis.admin = redis.address;
    redis.probe = Probe::kRedis;
    ALCOVE_ASSIGN_OR_RETURN(const HostPort host_port, ParseHostPort(redis.address));
    ALCOVE_RETURN_IF_ERROR(EnsureDirectory(layout_.Data("redis"), 0700));
    redis.command = {binary,
                     "--port",
                     absl::StrCat(host_port.port),
                     "--bind",
                     "127.0.0.1",
                     "--dir",
                     layout_.Data("redis"),
                     "--maxmemory",
                     "256mb",
                     "--maxmemory-policy",
                     "allkeys-lru",
                     "--save",
                     "300 1",
                     "--daemonize",
                     "no"};
    redis_address_ = redis.address;
    plan_.processes.push_back(std::move(redis));
    return absl::OkStatus();
  }

  absl::Status AddCache() {
    std::string settings = "redis:\n  url: ";
    absl::StrAppend(&settings, Quoted(redis_address_.empty() ? "" : absl::StrCat("redis://", redis_address_)), "\n");
    ALCOVE_RETURN_IF_ERROR(AddService("alcove-cache", "cache", kCache, settings));
    cache_ = plan_.processes.back().address;
    return absl::OkStatus();
  }

  absl::Status AddVectorSearch() {
    // Every node's configuration names all nodes, so the addresses are fixed first.
    std::vector<std::string> addresses;
    std::string nodes;
    for (uint32_t shard = 0; shard < options_.shards; ++shard) {
      ALCOVE_ASSIGN_OR_RETURN(std::string address, Address(kVectorSearch + shard));
      absl::StrAppend(&nodes, "    - address: ", Quoted(address), "\n      shards: [", shard, "]\n");
      addresses.push_back(std::move(address));
    }
    for (uint32_t shard = 0; shard < options_.shards; ++shard) {
      const std::string name = absl::StrCat("vector-search-", shard);
      const std::string settings =
          absl::StrCat("data_dir: ", Quoted(layout_.Data(name)), "\nstore:\n  url: ", Quoted(store_url_),
                       "\nbackup:\n  directory: ", Quoted(layout_.Data("backups")), "\nnode:\n  shards: [", shard,
                       "]\ncluster:\n  shard_count: ", options_.shards, "\n  self: ", Quoted(addresses[shard]),
                       "\n  nodes:\n", nodes);
      ALCOVE_RETURN_IF_ERROR(AddService("alcove-vector-search", name, kVectorSearch + shard, settings));
      // AddService chose another address when ports are free; the one the cluster knows is the one to serve on.
      ProcessPlan& process = plan_.processes.back();
      if (process.address != addresses[shard]) {
        ALCOVE_ASSIGN_OR_RETURN(std::string config, ReadFile(layout_.Config(name), 1 << 20));
        const size_t at = config.find(process.address);
        config.replace(at, process.address.size(), addresses[shard]);
        ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(layout_.Config(name), config, 0600));
        process.address = addresses[shard];
      }
    }
    vector_search_ = std::move(addresses);
    return absl::OkStatus();
  }

  absl::Status AddFheProxy() {
    std::vector<std::string> nodes;
    for (const std::string& address : vector_search_) nodes.push_back(Quoted(address));
    ALCOVE_RETURN_IF_ERROR(AddService("alcove-fhe-proxy", "fhe-proxy", kFheProxy,
                                      absl::StrCat("data_dir: ", Quoted(layout_.Data("fhe-proxy")),
                                                   "\nvector_search: [", absl::StrJoin(nodes, ", "), "]\n")));
    fhe_proxy_ = plan_.processes.back().address;
    return absl::OkStatus();
  }

  absl::Status AddInference() {
    if (options_.models.empty()) {
      return absl::InvalidArgumentError(
          "name a model to load: --model FOLDER, a Hugging Face folder such as all-MiniLM-L6-v2");
    }
    std::string settings =
        absl::StrCat("sealing_key_file: ", Quoted(layout_.Data("inference") + "/sealing.key"), "\nmodel:\n");
    for (const std::string& model : options_.models) {
      const size_t equals = model.find('=');
      const std::string folder = equals == std::string::npos ? model : model.substr(equals + 1);
      if (!IsDirectory(folder)) return absl::NotFoundError(absl::StrCat("model folder ", folder, " does not exist"));
      absl::StrAppend(&settings, "  - ", Quoted(model), "\n");
    }
    ALCOVE_RETURN_IF_ERROR(AddService("alcove-inference", "inference", kInference, settings));
    inference_ = plan_.processes.back().address;
    return absl::OkStatus();
  }

  absl::Status AddGateway() {
    const std::string path = absl::StrCat(options_.bin_dir, "/alcove-gateway");
    if (!IsExecutable(path)) {
      return absl::NotFoundError(absl::StrCat(path, " is missing; build it, or name the folder with --bin-dir"));
    }
    ProcessPlan gateway;
    gateway.name = "gateway";
    gateway.address = HostPort{options_.listen, options_.port}.ToString();
    if (options_.port == 0) {
      ALCOVE_ASSIGN_OR_RETURN(gateway.address, FreeAddress());
    } else {
      ALCOVE_RETURN_IF_ERROR(CheckFree(HostPort{options_.listen, options_.port}, "--port"));
    }
    gateway.admin = gateway.address;
    ALCOVE_ASSIGN_OR_RETURN(const HostPort door, ParseHostPort(gateway.address));
    ALCOVE_RETURN_IF_ERROR(EnsureDirectory(layout_.Data("gateway"), 0700));
    std::vector<std::string> vector_nodes;
    for (const std::string& address : vector_search_) vector_nodes.push_back(Quoted(address));
    const std::string config = absl::StrCat(
        "# Written by alcovectl up; changes are overwritten.\nlog:\n  level: ", options_.log_level,
        "\nhttp:\n  address: ", Quoted(door.host), "\n  port: ", door.port,
        "\ndata_dir: ", Quoted(layout_.Data("gateway")), "\nstore:\n  url: ", Quoted(store_url_),
        "\nupstreams:\n  inference: [", Quoted(inference_), "]\n  vector_search: [", absl::StrJoin(vector_nodes, ", "),
        "]\n  fhe_proxy: [", Quoted(fhe_proxy_), "]\n  cache: [", Quoted(cache_), "]\n");
    ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(layout_.Config("gateway"), config, 0600));
    gateway.command = {path, "--config", layout_.Config("gateway")};
    plan_.gateway = gateway.address;
    plan_.processes.push_back(std::move(gateway));
    return absl::OkStatus();
  }

  struct Held {
    int fd;
    explicit Held(int f) : fd(f) {}
    Held(Held&& other) noexcept : fd(other.fd) { other.fd = -1; }
    ~Held() {
      if (fd >= 0) close(fd);
    }
  };

  const StackLayout& layout_;
  const StackOptions& options_;
  StackPlan plan_;
  std::vector<Held> held_;
  std::string store_url_;
  std::string redis_address_;
  std::string cache_;
  std::string fhe_proxy_;
  std::string inference_;
  std::vector<std::string> vector_search_;
};

}  // namespace

absl::StatusOr<StackPlan> PlanStack(const StackLayout& layout, const StackOptions& options) {
  return Planner(layout, options).Run();
}

}  // namespace alcove::ctl
