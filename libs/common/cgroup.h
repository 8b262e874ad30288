// Where the kernel keeps this process's resource limits. Internal to libs/common; see memory.h and task_pool.h.
#pragma once

#include <string>
#include <vector>

#include <absl/strings/string_view.h>

namespace alcove {

struct CgroupDirectory {
  std::string path;  // under /sys/fs/cgroup
  bool v2 = true;
};

// The directories whose limits for `controller` ("memory", "cpu") bind this process: its own cgroup and every ancestor,
// innermost first. Some may not exist: inside a container only the root is mounted.
std::vector<CgroupDirectory> CgroupDirectories(absl::string_view controller);

}  // namespace alcove
