#include "services/vector-search/coordinator/sequence_token.h"

#include <absl/strings/escaping.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "libs/common/hash.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/vector-search/log/point_record.h"

namespace alcove::vector_search {
namespace {

constexpr int32_t kMaxShards = 4096;

absl::Status BadSequence(absl::string_view why) {
  return InvalidField("min_sequence", absl::StrCat("is not a sequence a write returned: ", why));
}

// Decimal digits only, no sign and no leading zero, at most 18 of them.
bool TakeNumber(absl::string_view& text, int64_t* value) {
  size_t digits = 0;
  *value = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    if (digits == 18) return false;
    *value = *value * 10 + (text[digits++] - '0');
  }
  if (digits == 0 || (digits > 1 && text[0] == '0')) return false;
  text.remove_prefix(digits);
  return true;
}

bool TakeChar(absl::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

std::string PageBytes(store::CollectionId collection, absl::string_view after_id) {
  return absl::StrCat("1:", collection, ":", after_id);
}

}  // namespace

std::string FormatSequenceToken(int64_t epoch, const ShardSequences& sequences) {
  std::string out;
  for (const auto& [shard, sequence] : sequences) {
    absl::StrAppend(&out, out.empty() ? "" : ",", shard, ":", sequence);
  }
  return out.empty() || epoch <= 1 ? out : absl::StrCat("e", epoch, ";", out);
}

absl::StatusOr<SequenceToken> ParseSequenceToken(absl::string_view token, const store::Placement& placement) {
  SequenceToken result;
  if (token.empty()) return result;
  if (token.size() > kMaxTokenBytes) return BadSequence("too long");
  result.epoch = 1;
  if (TakeChar(token, 'e') && (!TakeNumber(token, &result.epoch) || result.epoch < 2 || !TakeChar(token, ';'))) {
    return BadSequence("expected e<epoch>;shard:sequence,…");
  }
  const int32_t shard_count = result.epoch == placement.epoch ? placement.shard_count : kMaxShards;
  ShardSequences& out = result.sequences;
  do {
    int64_t shard, sequence;
    if (!TakeNumber(token, &shard) || !TakeChar(token, ':') || !TakeNumber(token, &sequence)) {
      return BadSequence("expected shard:sequence,…");
    }
    if (shard >= kMaxShards || shard >= shard_count) {
      return BadSequence(absl::StrCat("shard ", shard, " of a collection with ", shard_count));
    }
    if (!out.empty() && shard <= out.back().first) return BadSequence("shards are not ascending");
    out.emplace_back(static_cast<int32_t>(shard), sequence);
  } while (TakeChar(token, ','));
  if (!token.empty()) return BadSequence("expected shard:sequence,…");
  return result;
}

std::string FormatPageToken(store::CollectionId collection, absl::string_view after_id) {
  const std::string bytes = PageBytes(collection, after_id);
  const auto check = static_cast<uint32_t>(Hash64(bytes));
  return absl::WebSafeBase64Escape(absl::StrCat(absl::Hex(check, absl::kZeroPad8), bytes));
}

absl::StatusOr<std::string> ParsePageToken(absl::string_view token, store::CollectionId collection) {
  const absl::Status bad = InvalidField("page_token", "is not the next_page_token of this listing");
  std::string bytes;
  if (token.size() > 1024 || !absl::WebSafeBase64Unescape(token, &bytes) || bytes.size() < 8) return bad;
  const std::string prefix = PageBytes(collection, "");
  const absl::string_view rest = absl::string_view(bytes).substr(8);
  if (rest.substr(0, prefix.size()) != prefix) return bad;
  if (bytes.substr(0, 8) != absl::StrCat(absl::Hex(static_cast<uint32_t>(Hash64(rest)), absl::kZeroPad8))) return bad;
  const absl::string_view id = rest.substr(prefix.size());
  if (id.empty() || id.size() > kMaxPointIdBytes || !IsValidUtf8(id)) return bad;
  return std::string(id);
}

}  // namespace alcove::vector_search
