#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "alcove/inference/v1/inference.pb.h"
#include "libs/common/clock.h"
#include "services/gateway/flows/backends.h"

namespace alcove::gateway {

// The models the inference processes know, remembered for kTtl. One per loop.
class ModelCatalog {
 public:
  static constexpr absl::Duration kTtl = absl::Seconds(5);

  ModelCatalog(Backends& backends, Clock* clock) : backends_(backends), clock_(clock) {}

  asio::awaitable<absl::StatusOr<std::shared_ptr<const alcove::inference::v1::ListModelsResponse>>> List(
      const RequestContext& ctx);
  // The embedding model of that name; "" and "default" mean the default one. NOT_FOUND naming what there is,
  // FAILED_PRECONDITION when the model does something else.
  asio::awaitable<absl::StatusOr<alcove::inference::v1::Model>> FindEmbedder(const RequestContext& ctx,
                                                                             std::string name);

 private:
  Backends& backends_;
  Clock* const clock_;
  std::shared_ptr<const alcove::inference::v1::ListModelsResponse> models_;
  int64_t read_ns_ = 0;
};

}  // namespace alcove::gateway
