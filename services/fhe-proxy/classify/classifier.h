// A linear classifier: one weight vector and one bias a class. Its scores are weights · vector + bias; the bias is
// public and added by the client, so that the server computes on the weights alone.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "libs/fhe/search/block.h"
#include "libs/fhe/search/noise.h"
#include "services/fhe-proxy/keys/parameter_sets.h"

namespace alcove::fhe_proxy {

inline constexpr size_t kMaxClasses = 1024;
inline constexpr size_t kMaxClassifierDimension = 2048;

struct Classifier {
  std::string name;                 // 1 … 128 of a-z, A-Z, 0-9, '_', '-', '.'
  std::vector<std::string> labels;  // unique, 1 … 128 bytes of UTF-8 each
  uint32_t dimension = 0;
  std::vector<float> weights;  // [labels, dimension]
  std::vector<float> biases;   // one a label
};

// INVALID_ARGUMENT naming the first thing that is wrong.
absl::Status CheckClassifier(const Classifier& classifier);

// Format: docs/formats/classifier.md.
std::string EncodeClassifier(const std::string& tenant, const Classifier& classifier);
struct StoredClassifier {
  std::string tenant;
  Classifier classifier;
};
// DATA_LOSS when the bytes are not exactly one intact classifier.
absl::StatusOr<StoredClassifier> DecodeClassifier(absl::string_view bytes);

// Ready to score. Immutable.
struct EncodedClassifier {
  std::string revision;  // digest of everything a client packs for
  const ParameterSet* set = nullptr;
  fhe::Layout layout;
  fhe::SignPattern signs;
  fhe::TrimBits trim;  // bits of a reply that carry nothing
  double row_scale = 0;
  double query_scale = 0;
  double max_row_norm = 0;
  std::vector<std::string> labels;
  std::vector<float> biases;
  std::shared_ptr<const fhe::Block> block;
};
absl::StatusOr<std::shared_ptr<const EncodedClassifier>> EncodeForScoring(const Classifier& classifier,
                                                                          const ParameterSet& set);

}  // namespace alcove::fhe_proxy
