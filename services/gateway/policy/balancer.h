#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/types/span.h"

namespace alcove::gateway {

// What a balancer may know of one endpoint at the moment of choice.
struct EndpointView {
  double weight = 1.0;         // > 0; share of traffic relative to its peers
  uint32_t in_flight = 0;      // requests this loop has open there
  double latency_ewma_ns = 0;  // peak-sensitive moving average; 0: nothing measured yet
  bool available = true;       // healthy, breaker lets a request through, below its concurrency limit
};

struct PickHint {
  uint64_t random = 0;            // fresh randomness supplied by the caller, so that balancers stay pure
  std::optional<size_t> exclude;  // endpoint a previous attempt failed on; used only when nothing else is available
  std::string_view affinity_key;  // for hashing balancers; empty: none
};

// Chooses among the endpoints of one upstream. Returns an index into `endpoints`, or nullopt when none is available.
// Never returns an unavailable endpoint.
//
// Thread safety: none; each loop has its own.
class Balancer {
 public:
  virtual ~Balancer() = default;
  virtual std::optional<size_t> Pick(absl::Span<const EndpointView> endpoints, const PickHint& hint) = 0;
};

enum class BalancerKind : uint8_t {
  kRoundRobin,          // in order, skipping what is unavailable
  kWeightedRoundRobin,  // smooth (nginx's scheme): interleaved in proportion to weights
  kLeastRequests,       // fewest in flight per weight; ties rotate
  kPowerOfTwo,  // two random candidates, the lower (in_flight + 1) × peak-EWMA latency wins (Mitzenmacher 2001)
};

// Parses "round_robin", "weighted_round_robin", "least_requests", "p2c"; nullopt for anything else.
std::optional<BalancerKind> ParseBalancerKind(std::string_view name);
std::unique_ptr<Balancer> MakeBalancer(BalancerKind kind);

// Peak-sensitive latency average (Finagle's): rises at once to a slower sample, decays towards faster ones with time
// constant `tau_ns`.
class PeakEwma {
 public:
  explicit PeakEwma(int64_t tau_ns = 10'000'000'000) : tau_ns_(tau_ns) {}
  void Record(int64_t latency_ns, int64_t now_ns);
  double value_ns() const { return value_; }

 private:
  int64_t tau_ns_;
  int64_t last_ns_ = 0;
  double value_ = 0;
};

}  // namespace alcove::gateway
