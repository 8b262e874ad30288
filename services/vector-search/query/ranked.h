// A ranking on its way from the shards to the reply.
#pragma once

#include <string>
#include <vector>

namespace alcove::vector_search {

struct Ranked {
  std::string id;
  double score = 0;  // higher is better

  friend bool operator==(const Ranked&, const Ranked&) = default;
};
using Ranking = std::vector<Ranked>;  // best first, equal scores by id, each id once

inline bool RankedBefore(const Ranked& a, const Ranked& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

}  // namespace alcove::vector_search
