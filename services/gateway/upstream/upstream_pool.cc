#include "services/gateway/upstream/upstream_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/gateway/upstream/endpoint.h"
#include "services/gateway/upstream/sibling_loops.h"

namespace alcove::gateway {

UpstreamPool::UpstreamPool(net::Loop& loop, UpstreamOptions options)
    : loop_(loop), options_(std::move(options)), balancer_(MakeBalancer(options_.balancer)) {
  for (const std::string& address : options_.endpoints) {
    endpoints_.push_back(std::make_unique<Endpoint>(*this, address));
  }
}

UpstreamPool::~UpstreamPool() { Stop(); }

void UpstreamPool::Start() {
  started_ = true;
  for (auto& endpoint : endpoints_) endpoint->Start();
}

void UpstreamPool::Stop() {
  stopped_ = true;
  for (auto& endpoint : endpoints_) endpoint->Stop();
  for (auto& endpoint : retired_) endpoint->Stop();
}

absl::StatusOr<Endpoint*> UpstreamPool::Pick(const Endpoint* exclude, std::string_view affinity_key) {
  if (stopped_) return absl::UnavailableError(absl::StrCat(options_.name, " is stopping"));
  const int64_t now = loop_.now_ns();
  PickHint hint{.random = loop_.Random(), .affinity_key = affinity_key};
  views_.clear();
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    views_.push_back(endpoints_[i]->View(now));
    if (endpoints_[i].get() == exclude) hint.exclude = i;
  }
  const std::optional<size_t> chosen = balancer_->Pick(views_, hint);
  if (chosen && endpoints_[*chosen]->Acquire(now)) return endpoints_[*chosen].get();

  bool at_limit = !endpoints_.empty();
  std::string reasons;
  for (const auto& endpoint : endpoints_) {
    at_limit = at_limit && endpoint->AtLimit();
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ", endpoint->Reason(now));
  }
  if (at_limit) {
    return absl::ResourceExhaustedError(absl::StrCat(options_.name, " is overloaded (", reasons, ")"));
  }
  return absl::UnavailableError(
      absl::StrCat(options_.name, " is unavailable (", reasons.empty() ? "no endpoint is configured" : reasons, ")"));
}

std::vector<EndpointStatus> UpstreamPool::Status() const {
  std::vector<EndpointStatus> all;
  const int64_t now = net::Loop::NowNs();
  for (const auto& endpoint : endpoints_) all.push_back(endpoint->Status(now));
  return all;
}

bool UpstreamPool::Ready() const {
  const int64_t now = net::Loop::NowNs();
  return std::any_of(endpoints_.begin(), endpoints_.end(),
                     [now](const auto& endpoint) { return endpoint->connected() && endpoint->Available(now); });
}

void UpstreamPool::SetEndpoints(const std::vector<std::string>& addresses) {
  std::erase_if(retired_, [](const auto& endpoint) { return endpoint->in_flight() == 0; });
  std::vector<std::unique_ptr<Endpoint>> kept;
  for (const std::string& address : addresses) {
    const auto same = std::find_if(endpoints_.begin(), endpoints_.end(), [&](const auto& endpoint) {
      return endpoint != nullptr && endpoint->address() == address;
    });
    if (same != endpoints_.end()) {
      kept.push_back(std::move(*same));
    } else {
      kept.push_back(std::make_unique<Endpoint>(*this, address));
      if (started_ && !stopped_) kept.back()->Start();
    }
  }
  for (auto& endpoint : endpoints_) {
    if (endpoint == nullptr) continue;
    endpoint->Retire();
    retired_.push_back(std::move(endpoint));
  }
  endpoints_ = std::move(kept);
  options_.endpoints = addresses;
}

void UpstreamPool::OnReachable(const std::string& address, bool passed) {
  for (auto& endpoint : endpoints_) {
    if (endpoint->address() == address) endpoint->OnReachable(passed);
  }
}

void UpstreamPool::TellSiblings(const std::string& address, bool passed) const {
  if (set_ != nullptr && set_->siblings_ != nullptr) set_->siblings_->Tell(set_, options_.name, address, passed);
}

UpstreamSet::UpstreamSet(net::Loop& loop, SiblingLoops* siblings) : loop_(loop), siblings_(siblings) {
  if (siblings_ != nullptr) siblings_->Join(loop, this, alive_);
}

UpstreamSet::~UpstreamSet() {
  if (siblings_ != nullptr) siblings_->Leave(this);
  *alive_ = false;
}

void UpstreamSet::OnReachable(const std::string& upstream, const std::string& address, bool passed) {
  if (UpstreamPool* pool = Find(upstream)) pool->OnReachable(address, passed);
}

UpstreamPool& UpstreamSet::Add(UpstreamOptions options) {
  pools_.push_back(std::make_unique<UpstreamPool>(loop_, std::move(options)));
  pools_.back()->set_ = this;
  return *pools_.back();
}

UpstreamPool* UpstreamSet::Find(std::string_view name) const {
  for (const auto& pool : pools_) {
    if (pool->options().name == name) return pool.get();
  }
  return nullptr;
}

void UpstreamSet::Start() {
  for (auto& pool : pools_) pool->Start();
}

void UpstreamSet::Stop() {
  for (auto& pool : pools_) pool->Stop();
}

}  // namespace alcove::gateway
