// The service's configuration as the domain's own options.
#pragma once

#include <vector>

#include <absl/status/statusor.h>

#include "alcove/config/v1/inference.pb.h"
#include "services/inference/catalog.h"
#include "services/inference/scheduler/batcher.h"

namespace alcove::inference {

BatchLimits ToBatchLimits(const config::v1::BatchingConfig& config);

// The models to load, in order. INVALID_ARGUMENT naming the entry that cannot be read.
absl::StatusOr<std::vector<ModelSource>> ModelSources(const config::v1::InferenceConfig& config);

// Threads that run models, at least 1.
int WorkerThreads(const config::v1::InferenceConfig& config);

}  // namespace alcove::inference
