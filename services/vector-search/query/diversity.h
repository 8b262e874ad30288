// Choosing points that are good and unlike one another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <absl/types/span.h>

namespace alcove::vector_search {

enum class DiversityMethod : uint8_t {
  // Maximal marginal relevance: next is the candidate with the largest
  //   lambda * relevance - (1 - lambda) * largest cosine to one already chosen.
  // Source: J. Carbonell, J. Goldstein, SIGIR 1998.
  kMmr = 1,
  // Greedy MAP inference of a determinantal point process whose kernel is diag(q) S diag(q) with q = exp(alpha *
  // relevance), alpha = lambda / (2 (1 - lambda)), S = (1 + cosine) / 2; the incremental Cholesky factorisation makes
  // it O(candidates * wanted * (dimension + wanted)). Source: L. Chen, G. Zhang, H. Zhou, "Fast greedy MAP inference
  // for determinantal point process to improve recommendation diversity", NeurIPS 2018, arXiv:1709.05135.
  kDpp = 2,
};

struct Candidate {
  double score = 0;                // relevance; scaled to 0 … 1 over all candidates
  absl::Span<const float> vector;  // all of one dimension; empty: like nothing else
};

// Indices of `wanted` candidates (fewer when there are fewer) in the order they are chosen. lambda 1 keeps the order of
// scores, 0 looks only at differences. Ties go to the earlier candidate.
std::vector<size_t> Diversify(DiversityMethod method, absl::Span<const Candidate> candidates, double lambda,
                              size_t wanted);

}  // namespace alcove::vector_search
