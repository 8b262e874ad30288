#include "services/fhe-proxy/database/snapshot.h"

#include <cmath>

#include <absl/types/span.h>

#include "libs/common/status.h"
#include "services/fhe-proxy/record/record.h"

namespace alcove::fhe_proxy {
namespace {

constexpr absl::string_view kMagic = "ALCPSR1\n";
constexpr uint32_t kMaxDimension = 2048;

absl::Status Damaged() { return UnfitFields("snapshot"); }

}  // namespace

std::string EncodeRowSnapshot(const std::string& key, const CollectionInfo& info, const std::vector<int64_t>& floors,
                              const RowTable& rows) {
  std::string out(kMagic);
  out.reserve(rows.size() * (rows.dimension() + 40) + 4096);
  PutText(out, key);
  PutText(out, info.identity);
  PutInteger(out, info.dimension);
  PutInteger(out, static_cast<uint8_t>(info.metric));
  PutInteger(out, info.epoch);
  PutInteger(out, static_cast<uint32_t>(info.heads.size()));
  for (size_t shard = 0; shard < info.heads.size(); ++shard) {
    PutInteger(out, info.heads[shard]);
    PutInteger(out, floors[shard]);
  }
  PutInteger(out, rows.scale());
  PutInteger(out, static_cast<uint64_t>(rows.size()));
  for (size_t r = 0; r < rows.size(); ++r) {
    PutText(out, rows.id(r));
    const absl::Span<const int8_t> values = rows.values(r, 1);
    out.append(reinterpret_cast<const char*>(values.data()), values.size());
  }
  SealRecord(out);
  return out;
}

absl::StatusOr<RowSnapshot> DecodeRowSnapshot(absl::string_view bytes) {
  ALCOVE_ASSIGN_OR_RETURN(absl::string_view in, OpenRecord(bytes, kMagic, "snapshot"));
  RowSnapshot out;
  uint8_t metric = 0;
  uint32_t shards = 0;
  if (!TakeText(in, out.key) || !TakeText(in, out.info.identity) || !TakeInteger(in, out.info.dimension) ||
      !TakeInteger(in, metric) || !TakeInteger(in, out.info.epoch) || !TakeInteger(in, shards) || out.info.epoch < 1 ||
      metric < 1 || metric > 3 || out.info.dimension < 1 || out.info.dimension > kMaxDimension ||
      shards > in.size() / (2 * sizeof(int64_t))) {
    return Damaged();
  }
  out.info.metric = static_cast<Metric>(metric);
  for (uint32_t shard = 0; shard < shards; ++shard) {
    int64_t head = 0, floor = 0;
    if (!TakeInteger(in, head) || !TakeInteger(in, floor)) return Damaged();
    out.info.heads.push_back(head);
    out.floors.push_back(floor);
  }
  double scale = 0;
  uint64_t rows = 0;
  if (!TakeInteger(in, scale) || !TakeInteger(in, rows) || !std::isfinite(scale) || scale <= 0 ||
      rows > in.size() / (sizeof(uint32_t) + out.info.dimension)) {
    return Damaged();
  }
  out.rows = RowTable(out.info.dimension, scale);
  std::string id;
  for (uint64_t r = 0; r < rows; ++r) {
    if (!TakeText(in, id) || in.size() < out.info.dimension) return Damaged();
    if (!out.rows.Restore(id, {reinterpret_cast<const int8_t*>(in.data()), out.info.dimension}).ok()) return Damaged();
    in.remove_prefix(out.info.dimension);
  }
  if (!in.empty()) return Damaged();
  return out;
}

}  // namespace alcove::fhe_proxy
