#include "services/fhe-proxy/record/record.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "libs/fhe/random/blake2b.h"

namespace alcove::fhe_proxy {
namespace {

constexpr size_t kDigestBytes = 64;  // hexadecimal

}  // namespace

void SealRecord(std::string& record) { record += fhe::Blake2bHex(record); }

absl::StatusOr<absl::string_view> OpenRecord(absl::string_view bytes, absl::string_view magic, absl::string_view what) {
  if (bytes.size() < magic.size() + kDigestBytes || !absl::StartsWith(bytes, magic)) {
    return absl::DataLossError(absl::StrCat("not a ", what));
  }
  const absl::string_view content = bytes.substr(0, bytes.size() - kDigestBytes);
  if (bytes.substr(content.size()) != fhe::Blake2bHex(content)) {
    return absl::DataLossError(absl::StrCat("the ", what, "'s checksum does not match"));
  }
  return content.substr(magic.size());
}

absl::Status UnfitFields(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the ", what, "'s fields do not fit its size"));
}

}  // namespace alcove::fhe_proxy
