// Where a local stack keeps things below its data folder.
#pragma once

#include <string>

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

namespace alcove::ctl {

inline constexpr char kDefaultDataFolder[] = "alcove-data";

// Paths only; nothing is created. `root` may be relative and is used as given.
class StackLayout {
 public:
  explicit StackLayout(absl::string_view root) : root_(root) {}

  const std::string& root() const { return root_; }
  std::string Config(absl::string_view process) const { return absl::StrCat(root_, "/config/", process, ".yaml"); }
  std::string Log(absl::string_view process) const { return absl::StrCat(root_, "/logs/", process, ".log"); }
  std::string Data(absl::string_view process) const { return absl::StrCat(root_, "/data/", process); }
  std::string Database() const { return absl::StrCat(root_, "/data/alcove.db"); }
  // The key the gateway makes when the store holds none.
  std::string AdminKey() const { return absl::StrCat(root_, "/data/gateway/admin.key"); }
  // What runs, for `status` and for clients of the stack.
  std::string State() const { return absl::StrCat(root_, "/run/stack.json"); }
  // Held by the supervisor as long as it lives.
  std::string Lock() const { return absl::StrCat(root_, "/run/lock"); }
  // How far `ingest` got with a source.
  std::string IngestState(absl::string_view source_id) const {
    return absl::StrCat(root_, "/run/ingest/", source_id, ".json");
  }

 private:
  std::string root_;
};

}  // namespace alcove::ctl
