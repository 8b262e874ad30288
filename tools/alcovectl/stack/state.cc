#include "tools/alcovectl/stack/state.h"

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <sys/file.h>
#include <unistd.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "tools/alcovectl/output.h"

namespace alcove::ctl {
namespace {

using google::protobuf::Struct;

constexpr size_t kMaxStateBytes = 1 << 20;

std::string Text(const Struct& object, const std::string& key) {
  const auto it = object.fields().find(key);
  return it == object.fields().end() ? "" : it->second.string_value();
}

int64_t Number(const Struct& object, const std::string& key) {
  const auto it = object.fields().find(key);
  return it == object.fields().end() ? 0 : static_cast<int64_t>(it->second.number_value());
}

void Set(Struct& object, const std::string& key, const std::string& value) {
  (*object.mutable_fields())[key].set_string_value(value);
}

void Set(Struct& object, const std::string& key, int64_t value) {
  (*object.mutable_fields())[key].set_number_value(static_cast<double>(value));
}

}  // namespace

absl::StatusOr<StackState> ReadStackState(const StackLayout& layout) {
  ALCOVE_ASSIGN_OR_RETURN(const std::string text, ReadFile(layout.State(), kMaxStateBytes));
  Struct root;
  if (!google::protobuf::util::JsonStringToMessage(text, &root).ok()) {
    return absl::DataLossError(absl::StrCat(layout.State(), " is not JSON; remove it and start the stack again"));
  }
  StackState state;
  state.supervisor_pid = Number(root, "supervisor_pid");
  state.gateway = Text(root, "gateway");
  const auto processes = root.fields().find("processes");
  if (processes != root.fields().end()) {
    for (const auto& value : processes->second.list_value().values()) {
      const Struct& object = value.struct_value();
      state.processes.push_back({Text(object, "name"), Number(object, "pid"), Text(object, "address"),
                                 Text(object, "admin"), Text(object, "state"), Number(object, "restarts"),
                                 Text(object, "last_exit")});
    }
  }
  return state;
}

absl::Status WriteStackState(const StackLayout& layout, const StackState& state) {
  Struct root;
  Set(root, "supervisor_pid", state.supervisor_pid);
  Set(root, "gateway", state.gateway);
  auto& list = *(*root.mutable_fields())["processes"].mutable_list_value();
  for (const ProcessState& process : state.processes) {
    Struct& object = *list.add_values()->mutable_struct_value();
    Set(object, "name", process.name);
    Set(object, "pid", process.pid);
    Set(object, "address", process.address);
    Set(object, "admin", process.admin);
    Set(object, "state", process.state);
    Set(object, "restarts", process.restarts);
    Set(object, "last_exit", process.last_exit);
  }
  return WriteFileAtomically(layout.State(), ToJson(root));
}

bool StackIsRunning(const StackLayout& layout) {
  const int fd = open(layout.Lock().c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool held = flock(fd, LOCK_SH | LOCK_NB) != 0;
  close(fd);
  return held;
}

}  // namespace alcove::ctl
