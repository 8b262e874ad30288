#include "services/fhe-proxy/search/objects.h"

#include <cstdint>
#include <cstring>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"
#include "libs/fhe/wire/container.h"

namespace alcove::fhe_proxy {

absl::StatusOr<std::vector<absl::string_view>> SplitObjects(absl::string_view bytes, size_t max_objects) {
  std::vector<absl::string_view> out;
  while (!bytes.empty()) {
    if (out.size() == max_objects) {
      return fhe::FaultError(fhe::Fault::kTooLarge, absl::StrCat("more than ", max_objects, " objects"));
    }
    if (bytes.size() < fhe::kHeaderBytes) {
      return fhe::FaultError(fhe::Fault::kTruncated, absl::StrCat("object ", out.size(), " ends within its header"));
    }
    if (static_cast<uint8_t>(bytes[0]) != 0x5E || static_cast<uint8_t>(bytes[1]) != 0xA1) {
      return fhe::FaultError(fhe::Fault::kBadMagic, absl::StrCat("object ", out.size(), " is not SEAL's"));
    }
    uint64_t size = 0;
    std::memcpy(&size, bytes.data() + 8, sizeof size);
    if (size < fhe::kHeaderBytes) {
      return fhe::FaultError(fhe::Fault::kSizeMismatch, absl::StrCat("object ", out.size(), " says ", size, " bytes"));
    }
    if (size > bytes.size()) {
      return fhe::FaultError(fhe::Fault::kTruncated,
                             absl::StrCat("object ", out.size(), " says ", size, " bytes; there are ", bytes.size()));
    }
    out.push_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return out;
}

}  // namespace alcove::fhe_proxy
