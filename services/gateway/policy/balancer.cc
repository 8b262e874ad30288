#include "services/gateway/policy/balancer.h"

#include <cmath>
#include <vector>

namespace alcove::gateway {
namespace {

// Whether `index` may be chosen in this pass: the endpoint a previous attempt failed on is left for the second one.
bool Usable(absl::Span<const EndpointView> endpoints, size_t index, const PickHint& hint, bool allow_excluded) {
  return endpoints[index].available && (allow_excluded || !hint.exclude || *hint.exclude != index);
}

// Runs `pick(allow_excluded)` without and then, if need be, with the excluded endpoint.
template <typename F>
std::optional<size_t> InTwoPasses(const PickHint& hint, F pick) {
  std::optional<size_t> chosen = pick(false);
  if (!chosen && hint.exclude) chosen = pick(true);
  return chosen;
}

class RoundRobin final : public Balancer {
 public:
  std::optional<size_t> Pick(absl::Span<const EndpointView> endpoints, const PickHint& hint) override {
    return InTwoPasses(hint, [&](bool allow_excluded) -> std::optional<size_t> {
      for (size_t step = 0; step < endpoints.size(); ++step) {
        const size_t i = (next_ + step) % endpoints.size();
        if (!Usable(endpoints, i, hint, allow_excluded)) continue;
        next_ = i + 1;
        return i;
      }
      return std::nullopt;
    });
  }

 private:
  size_t next_ = 0;
};

// Each endpoint gains its weight at every pick; the richest is chosen and pays the sum of weights back. Over a cycle
// this gives exact shares without bursts.
class WeightedRoundRobin final : public Balancer {
 public:
  std::optional<size_t> Pick(absl::Span<const EndpointView> endpoints, const PickHint& hint) override {
    credit_.resize(endpoints.size(), 0.0);
    return InTwoPasses(hint, [&](bool allow_excluded) -> std::optional<size_t> {
      std::optional<size_t> best;
      double total = 0;
      for (size_t i = 0; i < endpoints.size(); ++i) {
        if (!Usable(endpoints, i, hint, allow_excluded)) continue;
        credit_[i] += endpoints[i].weight;
        total += endpoints[i].weight;
        if (!best || credit_[i] > credit_[*best]) best = i;
      }
      if (best) credit_[*best] -= total;
      return best;
    });
  }

 private:
  std::vector<double> credit_;
};

class LeastRequests final : public Balancer {
 public:
  std::optional<size_t> Pick(absl::Span<const EndpointView> endpoints, const PickHint& hint) override {
    return InTwoPasses(hint, [&](bool allow_excluded) -> std::optional<size_t> {
      std::optional<size_t> best;
      double best_load = 0;
      for (size_t step = 0; step < endpoints.size(); ++step) {
        const size_t i = (next_ + step) % endpoints.size();
        if (!Usable(endpoints, i, hint, allow_excluded)) continue;
        const double load = endpoints[i].in_flight / endpoints[i].weight;
        if (!best || load < best_load) {
          best = i;
          best_load = load;
        }
      }
      // The scan begins after the last choice, so that equals take turns.
      if (best) next_ = *best + 1;
      return best;
    });
  }

 private:
  size_t next_ = 0;
};

class PowerOfTwo final : public Balancer {
 public:
  std::optional<size_t> Pick(absl::Span<const EndpointView> endpoints, const PickHint& hint) override {
    return InTwoPasses(hint, [&](bool allow_excluded) -> std::optional<size_t> {
      candidates_.clear();
      for (size_t i = 0; i < endpoints.size(); ++i) {
        if (Usable(endpoints, i, hint, allow_excluded)) candidates_.push_back(i);
      }
      if (candidates_.empty()) return std::nullopt;
      if (candidates_.size() == 1) return candidates_[0];
      const size_t first = (hint.random & 0xffffffff) % candidates_.size();
      // From the others, so that two different endpoints are compared.
      size_t second = (hint.random >> 32) % (candidates_.size() - 1);
      if (second >= first) ++second;
      const size_t a = candidates_[first];
      const size_t b = candidates_[second];
      return Cost(endpoints[b]) < Cost(endpoints[a]) ? b : a;
    });
  }

 private:
  static double Cost(const EndpointView& e) {
    // An endpoint without samples must look neither free nor infinitely slow: it competes on requests in flight.
    const double latency = e.latency_ewma_ns > 0 ? e.latency_ewma_ns : 1.0;
    return (e.in_flight + 1.0) * latency / e.weight;
  }
  std::vector<size_t> candidates_;
};

}  // namespace

std::optional<BalancerKind> ParseBalancerKind(std::string_view name) {
  if (name == "round_robin") return BalancerKind::kRoundRobin;
  if (name == "weighted_round_robin") return BalancerKind::kWeightedRoundRobin;
  if (name == "least_requests") return BalancerKind::kLeastRequests;
  if (name == "p2c") return BalancerKind::kPowerOfTwo;
  return std::nullopt;
}

std::unique_ptr<Balancer> MakeBalancer(BalancerKind kind) {
  switch (kind) {
    case BalancerKind::kWeightedRoundRobin: return std::make_unique<WeightedRoundRobin>();
    case BalancerKind::kLeastRequests: return std::make_unique<LeastRequests>();
    case BalancerKind::kPowerOfTwo: return std::make_unique<PowerOfTwo>();
    case BalancerKind::kRoundRobin: break;
  }
  return std::make_unique<RoundRobin>();
}

void PeakEwma::Record(int64_t latency_ns, int64_t now_ns) {
  const auto sample = static_cast<double>(latency_ns);
  if (sample >= value_) {
    value_ = sample;
  } else {
    const double elapsed = static_cast<double>(now_ns - last_ns_);
    const double keep = std::exp(-elapsed / static_cast<double>(tau_ns_));
    value_ = value_ * keep + sample * (1 - keep);
  }
  last_ns_ = now_ns;
}

}  // namespace alcove::gateway
