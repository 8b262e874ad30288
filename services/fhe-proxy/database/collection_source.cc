#include "services/fhe-proxy/database/collection_source.h"

#include <absl/strings/str_cat.h>

namespace alcove::fhe_proxy {

std::string CollectionInfo::SequenceToken() const {
  std::string out;
  for (size_t shard = 0; shard < heads.size(); ++shard) {
    if (heads[shard] > 0) absl::StrAppend(&out, out.empty() ? "" : ",", shard, ":", heads[shard]);
  }
  // Without its epoch a token speaks of the first placement, and what was written there is below everybody's floor.
  return out.empty() || epoch <= 1 ? out : absl::StrCat("e", epoch, ";", out);
}

}  // namespace alcove::fhe_proxy
