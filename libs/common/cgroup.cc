#include "libs/common/cgroup.h"

#include <absl/status/statusor.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "libs/common/fs.h"

namespace alcove {

std::vector<CgroupDirectory> CgroupDirectories(absl::string_view controller) {
  std::vector<CgroupDirectory> directories;
  const absl::StatusOr<std::string> text = ReadFile("/proc/self/cgroup", 1 << 16);
  if (!text.ok()) return directories;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    // hierarchy:controllers:path; version 2 is hierarchy 0 without controllers.
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const bool v2 = parts[0] == "0" && parts[1].empty();
    bool named = false;
    for (const absl::string_view name : absl::StrSplit(parts[1], ',')) named |= name == controller;
    if (!v2 && !named) continue;
    const std::string root = v2 ? "/sys/fs/cgroup" : absl::StrCat("/sys/fs/cgroup/", controller);
    std::string path(parts[2]);
    for (int depth = 0; depth < 64; ++depth) {
      if (path == "/") path.clear();
      directories.push_back({absl::StrCat(root, path), v2});
      const size_t slash = path.rfind('/');
      if (path.empty() || slash == std::string::npos) break;
      path.resize(slash);
    }
  }
  return directories;
}

}  // namespace alcove
