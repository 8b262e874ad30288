#include "services/gateway/rest/schema.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "libs/common/log.h"

namespace alcove::gateway {

extern const std::string_view kApiDescriptors;  // embedded by the build

std::string_view ApiDescriptorSet() { return kApiDescriptors; }

const google::protobuf::FileDescriptorSet& ApiFiles() {
  static const auto* files = [] {
    auto* set = new google::protobuf::FileDescriptorSet;
    if (!set->ParseFromArray(kApiDescriptors.data(), static_cast<int>(kApiDescriptors.size()))) {
      LogError("the embedded descriptors cannot be read");
      std::abort();
    }
    return set;
  }();
  return *files;
}

const google::protobuf::DescriptorPool& ApiPool() {
  static const auto* pool = [] {
    auto* made = new google::protobuf::DescriptorPool;
    for (const google::protobuf::FileDescriptorProto& file : ApiFiles().file()) {
      if (made->BuildFile(file) == nullptr) {
        LogError("an embedded descriptor is inconsistent", {{"file", file.name()}});
        std::abort();
      }
    }
    return made;
  }();
  return *pool;
}

std::string JoinComment(const std::string& raw) {
  std::string joined;
  for (const absl::string_view line : absl::StrSplit(raw, '\n')) {
    const absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty()) continue;
    if (!joined.empty()) joined.push_back(' ');
    joined.append(text.data(), text.size());
  }
  return joined;
}

}  // namespace alcove::gateway
