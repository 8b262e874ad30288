#include "services/fhe-proxy/database/snapshot.h"

#include <cmath>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/match.h>

#include "libs/common/status.h"
#include "services/fhe-proxy/record/record.h"

namespace alcove::fhe_proxy {
namespace {

constexpr absl::string_view kMagic = "ALCPSR2\n";
constexpr absl::string_view kMagicWithoutClusters = "ALCPSR1\n";
constexpr uint32_t kMaxDimension = 2048;

absl::Status Damaged() { return UnfitFields("snapshot"); }

bool TakeFloats(absl::string_view& in, size_t count, std::vector<float>& out) {
  if (count > in.size() / sizeof(float)) return false;
  out.resize(count);
  for (float& v : out) {
    if (!TakeInteger(in, v) || !std::isfinite(v)) return false;
  }
  return true;
}

bool TakeClusters(absl::string_view& in, RowSnapshot& out) {
  uint32_t clusters = 0;
  if (!TakeInteger(in, out.cluster_rows) || !TakeInteger(in, out.clustered_rows) || !TakeInteger(in, clusters)) {
    return false;
  }
  if (clusters == 0) return out.cluster_rows == 0 && out.clustered_rows == 0;
  std::vector<float> centroids, weights;
  if (out.cluster_rows == 0 || out.clustered_rows < clusters || clusters > in.size() ||
      !TakeFloats(in, size_t{clusters} * out.info.dimension, centroids) || !TakeFloats(in, clusters, weights)) {
    return false;
  }
  out.clusters = Clusters::From(out.info.dimension, std::move(centroids), std::move(weights));
  return true;
}

}  // namespace

std::string EncodeRowSnapshot(const RowSnapshot& snapshot) {
  std::string out(kMagic);
  out.reserve(snapshot.rows.size() * (snapshot.info.dimension + 40) + 4096);
  PutText(out, snapshot.key);
  PutText(out, snapshot.info.identity);
  PutInteger(out, snapshot.info.dimension);
  PutInteger(out, static_cast<uint8_t>(snapshot.info.metric));
  PutInteger(out, snapshot.info.epoch);
  PutInteger(out, static_cast<uint32_t>(snapshot.info.heads.size()));
  for (size_t shard = 0; shard < snapshot.info.heads.size(); ++shard) {
    PutInteger(out, snapshot.info.heads[shard]);
    PutInteger(out, snapshot.floors[shard]);
  }
  PutInteger(out, snapshot.scale);
  PutInteger(out, snapshot.cluster_rows);
  PutInteger(out, snapshot.clustered_rows);
  const size_t clusters = snapshot.clusters == nullptr ? 0 : snapshot.clusters->size();
  PutInteger(out, static_cast<uint32_t>(clusters));
  for (size_t c = 0; c < clusters; ++c) {
    for (const float v : snapshot.clusters->centroid(c)) PutInteger(out, v);
  }
  for (size_t c = 0; c < clusters; ++c) PutInteger(out, snapshot.clusters->weight(c));
  PutInteger(out, static_cast<uint64_t>(snapshot.rows.size()));
  for (const RowSnapshot::Row& row : snapshot.rows) {
    PutText(out, row.id);
    out.append(reinterpret_cast<const char*>(row.numbers.data()), row.numbers.size());
  }
  SealRecord(out);
  return out;
}

absl::StatusOr<RowSnapshot> DecodeRowSnapshot(absl::string_view bytes) {
  const bool with_clusters = !absl::StartsWith(bytes, kMagicWithoutClusters);
  ALCOVE_ASSIGN_OR_RETURN(absl::string_view in,
                          OpenRecord(bytes, with_clusters ? kMagic : kMagicWithoutClusters, "snapshot"));
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
  uint64_t rows = 0;
  if (!TakeInteger(in, out.scale) || (with_clusters && !TakeClusters(in, out)) || !TakeInteger(in, rows) ||
      !std::isfinite(out.scale) || out.scale <= 0 || rows > in.size() / (sizeof(uint32_t) + out.info.dimension)) {
    return Damaged();
  }
  absl::flat_hash_set<absl::string_view> seen;
  for (uint64_t r = 0; r < rows; ++r) {
    RowSnapshot::Row row;
    if (!TakeText(in, row.id) || in.size() < out.info.dimension || !seen.insert(row.id).second) return Damaged();
    row.numbers = {reinterpret_cast<const int8_t*>(in.data()), out.info.dimension};
    in.remove_prefix(out.info.dimension);
    out.rows.push_back(row);
  }
  if (!in.empty()) return Damaged();
  return out;
}

}  // namespace alcove::fhe_proxy
