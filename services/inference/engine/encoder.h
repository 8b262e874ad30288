// A BERT-family transformer encoder: token ids in, one hidden vector per token out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <absl/status/statusor.h>

#include "services/inference/engine/ops.h"
#include "services/inference/model/model_config.h"
#include "services/inference/model/weights.h"

namespace alcove::inference {

// Immutable, thread safe.
class Encoder {
 public:
  // Reads and packs the weights. `ops` outlives the encoder. NOT_FOUND or INVALID_ARGUMENT naming the tensor that is
  // missing or has the wrong shape. Names may carry the prefix "bert.".
  static absl::StatusOr<std::unique_ptr<const Encoder>> Load(const Weights& weights, const EncoderConfig& config,
                                                             const EncoderOps& ops);

  // out[T, hidden] for the T tokens of `batch`. Ids are below the vocabulary size, types below token_types, sequences
  // hold 1 .. max_positions tokens. Cost: about 2·T·(12·hidden² ) operations per layer for intermediate = 4·hidden.
  void Forward(const PackedSequences& batch, Workspace& workspace, float* out) const;

  const EncoderConfig& config() const { return config_; }
  // Bytes of the packed weights and tables.
  size_t memory_bytes() const;

 private:
  using Norm = EncoderLayerWeights::Norm;
  using Matrix = EncoderLayerWeights::Matrix;

  Encoder(const EncoderConfig& config, const EncoderOps& ops) : config_(config), ops_(ops) {}
  absl::Status LoadLayer(const Weights& weights, const std::string& prefix);
  absl::StatusOr<Norm> LoadNorm(const Weights& weights, const std::string& prefix) const;
  static absl::StatusOr<Matrix> LoadMatrix(const Weights& weights, const std::string& prefix, size_t inputs,
                                           size_t outputs);

  EncoderConfig config_;
  const EncoderOps& ops_;
  AlignedBuffer<float> words_;
  std::vector<float> positions_;
  std::vector<float> types_;
  Norm embedding_norm_;
  WeightArena arena_;
  std::vector<std::unique_ptr<const EncoderLayer>> layers_;
};

}  // namespace alcove::inference
