// Several SEAL objects in one run of bytes. Every object says its size in its header, so nothing stands between them.
#pragma once

#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace alcove::fhe_proxy {

// The objects of `bytes`, in order, their contents unread. A FaultError when a header is not SEAL's, when the sizes do
// not add up, and kTooLarge beyond `max_objects`.
absl::StatusOr<std::vector<absl::string_view>> SplitObjects(absl::string_view bytes, size_t max_objects);

}  // namespace alcove::fhe_proxy
