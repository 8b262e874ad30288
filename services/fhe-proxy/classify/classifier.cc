#include "services/fhe-proxy/classify/classifier.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "libs/fhe/random/blake2b.h"
#include "services/fhe-proxy/database/encoded.h"
#include "services/fhe-proxy/database/row_table.h"
#include "services/fhe-proxy/record/record.h"

namespace alcove::fhe_proxy {
namespace {

constexpr absl::string_view kMagic = "ALCCLS1\n";

bool TakeFloats(absl::string_view& in, size_t count, std::vector<float>& out) {
  if (in.size() / sizeof(float) < count) return false;
  out.resize(count);
  if (count > 0) std::memcpy(out.data(), in.data(), count * sizeof(float));
  in.remove_prefix(count * sizeof(float));
  return true;
}

absl::Status CheckNumbers(const std::vector<float>& values, size_t wanted, absl::string_view field) {
  if (values.size() != wanted) {
    return InvalidField(field, absl::StrCat("holds ", values.size(), " numbers; it must hold ", wanted));
  }
  for (const float v : values) {
    if (!std::isfinite(v)) return InvalidField(field, "holds a number that is not finite");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckClassifier(const Classifier& c) {
  const bool named = !c.name.empty() && c.name.size() <= 128 && std::all_of(c.name.begin(), c.name.end(), [](char ch) {
    return absl::ascii_isalnum(static_cast<unsigned char>(ch)) || ch == '_' || ch == '-' || ch == '.';
  });
  if (!named) return InvalidField("name", "must be 1 to 128 of a-z, A-Z, 0-9, '_', '-' and '.'");
  if (c.labels.empty() || c.labels.size() > kMaxClasses) {
    return InvalidField("labels", absl::StrCat("must be 1 to ", kMaxClasses));
  }
  absl::flat_hash_set<absl::string_view> seen;
  for (const std::string& label : c.labels) {
    if (label.empty() || label.size() > 128 || !IsValidUtf8(label)) {
      return InvalidField("labels", "must be 1 to 128 bytes of UTF-8 each");
    }
    if (!seen.insert(label).second) return InvalidField("labels", absl::StrCat("\"", label, "\" is there twice"));
  }
  if (c.dimension < 1 || c.dimension > kMaxClassifierDimension) {
    return InvalidField("dimension", absl::StrCat("must be 1 to ", kMaxClassifierDimension));
  }
  ALCOVE_RETURN_IF_ERROR(CheckNumbers(c.weights, c.labels.size() * c.dimension, "weights"));
  ALCOVE_RETURN_IF_ERROR(CheckNumbers(c.biases, c.labels.size(), "biases"));
  if (std::all_of(c.weights.begin(), c.weights.end(), [](float v) { return v == 0; })) {
    return InvalidField("weights", "are all zero");
  }
  return absl::OkStatus();
}

std::string EncodeClassifier(const std::string& tenant, const Classifier& c) {
  std::string out(kMagic);
  PutText(out, tenant);
  PutText(out, c.name);
  PutInteger(out, c.dimension);
  PutInteger(out, static_cast<uint32_t>(c.labels.size()));
  for (const std::string& label : c.labels) PutText(out, label);
  out.append(reinterpret_cast<const char*>(c.weights.data()), c.weights.size() * sizeof(float));
  out.append(reinterpret_cast<const char*>(c.biases.data()), c.biases.size() * sizeof(float));
  SealRecord(out);
  return out;
}

absl::StatusOr<StoredClassifier> DecodeClassifier(absl::string_view bytes) {
  ALCOVE_ASSIGN_OR_RETURN(absl::string_view in, OpenRecord(bytes, kMagic, "classifier"));
  StoredClassifier out;
  Classifier& c = out.classifier;
  uint32_t classes = 0;
  bool whole = TakeText(in, out.tenant) && TakeText(in, c.name) && TakeInteger(in, c.dimension) &&
               TakeInteger(in, classes) && classes <= kMaxClasses && c.dimension <= kMaxClassifierDimension;
  for (uint32_t i = 0; whole && i < classes; ++i) {
    std::string label;
    whole = TakeText(in, label);
    c.labels.push_back(std::move(label));
  }
  whole = whole && TakeFloats(in, size_t{classes} * c.dimension, c.weights) && TakeFloats(in, classes, c.biases) &&
          in.empty();
  if (!whole) return UnfitFields("classifier");
  if (const absl::Status status = CheckClassifier(c); !status.ok()) return absl::DataLossError(status.message());
  return out;
}

absl::StatusOr<std::shared_ptr<const EncodedClassifier>> EncodeForScoring(const Classifier& c,
                                                                          const ParameterSet& set) {
  double largest = 0, longest = 0;
  for (size_t k = 0; k < c.labels.size(); ++k) {
    double energy = 0;
    for (size_t d = 0; d < c.dimension; ++d) {
      const double v = static_cast<double>(c.weights[k * c.dimension + d]);
      largest = std::max(largest, std::abs(v));
      energy += v * v;
    }
    longest = std::max(longest, std::sqrt(energy));
  }
  const double scale = std::min(set.max_row_scale / longest, 127 / largest);
  std::vector<int8_t> rows(c.weights.size());
  ALCOVE_RETURN_IF_ERROR(QuantiseRow(c.weights, scale, absl::MakeSpan(rows)));
  double energy = 1;
  for (size_t k = 0; k < c.labels.size(); ++k) {
    double sum = 0;
    for (size_t d = 0; d < c.dimension; ++d) {
      const double v = rows[k * c.dimension + d];
      sum += v * v;
    }
    energy = std::max(energy, sum);
  }
  // At most kMaxClasses rows, which are one block under any layout.
  ALCOVE_ASSIGN_OR_RETURN(fhe::Layout layout, set.LayoutFor(c.dimension, c.labels.size()));
  auto out = std::make_shared<EncodedClassifier>();
  out->revision = fhe::Blake2bHex(absl::StrCat(set.name, "|", EncodeClassifier("", c))).substr(0, 16);
  out->set = &set;
  out->row_scale = scale;
  out->max_row_norm = std::sqrt(energy);
  out->query_scale = QueryScale(set, c.dimension, out->max_row_norm);
  out->labels = c.labels;
  out->biases = c.biases;
  out->trim = fhe::FreeReplyBits(set.parameters, layout, energy);
  out->signs = fhe::SignPattern::FromSeed(out->revision, set.parameters.degree);
  ALCOVE_ASSIGN_OR_RETURN(fhe::Block block,
                          fhe::Block::Encode(*set.context, layout, rows, c.labels.size(), out->signs));
  out->layout = std::move(layout);
  out->block = std::make_shared<const fhe::Block>(std::move(block));
  return std::shared_ptr<const EncodedClassifier>(std::move(out));
}

}  // namespace alcove::fhe_proxy
