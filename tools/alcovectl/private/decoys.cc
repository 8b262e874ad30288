#include "tools/alcovectl/private/decoys.h"

#include <algorithm>
#include <set>

#include <absl/strings/string_view.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace alcove::ctl {
namespace {

namespace pb = private_search::v1;

absl::Status Check(const pb::GetCollectionParametersResponse& parameters) {
  const auto clusters = static_cast<uint32_t>(parameters.clusters_size());
  for (const pb::Cluster& cluster : parameters.clusters()) {
    bool sound = cluster.centroid().size() == parameters.layout().dimension() && cluster.neighbours_size() > 0;
    for (const uint32_t block : cluster.blocks()) sound = sound && block < parameters.layout().blocks();
    for (const uint32_t near : cluster.neighbours()) sound = sound && near < clusters;
    if (!sound) return absl::DataLossError("the server described its clusters in a way that does not add up");
  }
  return absl::OkStatus();
}

std::string Rank(const GroupSecret& secret, absl::string_view centroid) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), reinterpret_cast<const uint8_t*>(centroid.data()),
       centroid.size(), reinterpret_cast<uint8_t*>(out.data()), nullptr);
  return out;
}

// The cluster that the best rows for the query are most likely in.
size_t Nearest(const pb::GetCollectionParametersResponse& parameters, absl::Span<const float> unit) {
  const bool cosine = parameters.quantisation().normalise();
  size_t best = 0;
  double largest = 0;
  for (int c = 0; c < parameters.clusters_size(); ++c) {
    const std::string& centroid = parameters.clusters(c).centroid();
    double dot = 0, energy = 0;
    for (size_t d = 0; d < unit.size(); ++d) {
      const double v = static_cast<int8_t>(centroid[d]);
      dot += static_cast<double>(unit[d]) * v;
      energy += v * v;
    }
    // Rows of a cosine collection are as long as the scale: the nearest by distance. Otherwise the largest product.
    const double value = cosine ? parameters.quantisation().row_scale() * dot - energy / 2 : dot;
    if (c != 0 && !(value > largest)) continue;
    best = static_cast<size_t>(c);
    largest = value;
  }
  return best;
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> ChooseBlocks(const pb::GetCollectionParametersResponse& parameters,
                                                   absl::Span<const float> unit, const DecoyOptions& options,
                                                   const GroupSecret& secret) {
  if (absl::Status status = Check(parameters); !status.ok()) return status;
  const auto clusters = static_cast<size_t>(parameters.clusters_size());
  const size_t groups = clusters / std::max<size_t>(1, options.group);
  if (groups <= 1 || unit.size() != parameters.layout().dimension()) return std::vector<uint32_t>();
  std::vector<std::pair<std::string, size_t>> order;
  for (size_t c = 0; c < clusters; ++c) {
    order.emplace_back(Rank(secret, parameters.clusters(static_cast<int>(c)).centroid()), c);
  }
  std::sort(order.begin(), order.end());
  const size_t mine = Nearest(parameters, unit);
  const auto at = static_cast<size_t>(
      std::find_if(order.begin(), order.end(), [&](const auto& entry) { return entry.second == mine; }) -
      order.begin());
  // The last group takes what is left over.
  const size_t group = std::min(at / options.group, groups - 1);
  const size_t end = group + 1 == groups ? clusters : (group + 1) * options.group;
  std::set<uint32_t> blocks;
  for (size_t i = group * options.group; i < end; ++i) {
    const pb::Cluster& member = parameters.clusters(static_cast<int>(order[i].second));
    for (int n = 0; n < member.neighbours_size() && static_cast<size_t>(n) < options.neighbours; ++n) {
      const auto& near = parameters.clusters(static_cast<int>(member.neighbours(n))).blocks();
      blocks.insert(near.begin(), near.end());
    }
  }
  return std::vector<uint32_t>(blocks.begin(), blocks.end());
}

}  // namespace alcove::ctl
