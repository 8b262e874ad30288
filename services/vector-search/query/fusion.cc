#include "services/vector-search/query/fusion.h"

#include <algorithm>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/string_view.h>

namespace alcove::vector_search {

Ranking Fuse(absl::Span<const Leg> legs, FusionMethod method, uint32_t rrf_k) {
  absl::flat_hash_map<absl::string_view, double> scores;
  for (const Leg& leg : legs) {
    const Ranking& ranking = leg.ranking;
    const double low = ranking.empty() ? 0 : ranking.back().score;
    const double span = ranking.empty() ? 0 : ranking.front().score - low;
    for (size_t i = 0; i < ranking.size(); ++i) {
      switch (method) {
        case FusionMethod::kRrf: scores[ranking[i].id] += leg.weight / (rrf_k + static_cast<double>(i + 1)); break;
        case FusionMethod::kWeighted:
          scores[ranking[i].id] += leg.weight * (span > 0 ? (ranking[i].score - low) / span : 1);
          break;
        case FusionMethod::kMax: {
          const auto [at, fresh] = scores.try_emplace(ranking[i].id, ranking[i].score);
          if (!fresh) at->second = std::max(at->second, ranking[i].score);
          break;
        }
      }
    }
  }
  Ranking out;
  out.reserve(scores.size());
  for (const auto& [id, score] : scores) out.push_back({std::string(id), score});
  std::sort(out.begin(), out.end(), RankedBefore);
  return out;
}

}  // namespace alcove::vector_search
