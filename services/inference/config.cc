#include "services/inference/config.h"

#include "libs/common/status.h"
#include "libs/common/task_pool.h"

namespace alcove::inference {
namespace {

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace

BatchLimits ToBatchLimits(const config::v1::BatchingConfig& config) {
  BatchLimits limits;
  limits.max_texts = config.max_texts();
  limits.max_tokens = config.max_tokens();
  limits.timeout = ToDuration(config.timeout());
  limits.wait_when_idle = config.wait_when_idle();
  limits.max_queued = config.max_queued();
  limits.ageing = ToDuration(config.ageing());
  return limits;
}

absl::StatusOr<std::vector<ModelSource>> ModelSources(const config::v1::InferenceConfig& config) {
  std::vector<ModelSource> sources;
  for (const std::string& text : config.model()) {
    ALCOVE_ASSIGN_OR_RETURN(ModelSource source, ParseModelSource(text));
    sources.push_back(std::move(source));
  }
  return sources;
}

int WorkerThreads(const config::v1::InferenceConfig& config) {
  return config.workers() == 0 ? AvailableCpus() : static_cast<int>(config.workers());
}

}  // namespace alcove::inference
