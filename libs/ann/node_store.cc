#include "libs/ann/node_store.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/simd/quantize.h"

namespace alcove::ann {
namespace {

bool Valid(const StoreLayout& layout) {
  const Storage v = layout.vectors;
  const bool full = v == Storage::kF32 || v == Storage::kF16;
  switch (layout.codes) {
    case Storage::kNone: return full;
    case Storage::kBit1: return full;
    case Storage::kInt8: return full || v == Storage::kNone;
    case Storage::kInt4: return full || v == Storage::kNone || v == Storage::kInt8 || v == Storage::kInt6;
    default: return false;
  }
}

// Relative errors of the codes of quantize.h.
constexpr float kErrorU8 = 0.011f, kErrorU4 = 0.11f, kErrorU4Wide = 0.135f;

}  // namespace

NodeStore::NodeStore(const StoreLayout& layout, size_t max_nodes)
    : layout_(layout), kernels_(simd::Best()), rotation_(layout.dim, layout.seed), max_nodes_(max_nodes) {
  const size_t padded = rotation_.padded();
  rest_bits_ = layout.vectors == Storage::kInt8 ? 4 : layout.vectors == Storage::kInt6 ? 2 : 0;
  short_norms_ = rest_bits_ > 0 && layout.metric == Metric::kCosine;
  const float unit = 1 / std::sqrt(static_cast<float>(padded));
  switch (layout.codes) {
    case Storage::kInt8:
      code_stride_ = padded;
      grid_ = simd::kGridU8;
      deviation_ = kErrorU8 * unit;
      break;
    case Storage::kInt4:
      code_stride_ = padded / 2;
      grid_ = rest_bits_ > 0 ? simd::kGridU4Wide : simd::kGridU4;
      deviation_ = (rest_bits_ > 0 ? kErrorU4Wide : kErrorU4) * unit;
      break;
    case Storage::kBit1: code_stride_ = padded / 8 + sizeof(float); break;
    default: break;
  }
  step_ = simd::GridStep(grid_, padded);
  switch (layout.vectors) {
    case Storage::kF32: vector_stride_ = layout.dim * 4; break;
    case Storage::kF16: vector_stride_ = layout.dim * 2; break;
    case Storage::kInt8: vector_stride_ = padded / 2; break;
    case Storage::kInt6: vector_stride_ = padded / 4; break;
    default: break;
  }
}

absl::StatusOr<std::unique_ptr<NodeStore>> NodeStore::Make(const StoreLayout& layout, size_t max_nodes) {
  if (!Valid(layout)) {
    return absl::InvalidArgumentError(absl::StrCat("storage combination codes=", static_cast<int>(layout.codes),
                                                   " vectors=", static_cast<int>(layout.vectors), " is not supported"));
  }
  std::unique_ptr<NodeStore> store(new NodeStore(layout, max_nodes));
  ALCOVE_RETURN_IF_ERROR(store->codes_.Reserve(max_nodes * store->code_stride_));
  if (layout.codes == Storage::kNone) ALCOVE_RETURN_IF_ERROR(store->scales_.Reserve(max_nodes * 4));
  ALCOVE_RETURN_IF_ERROR(store->norms_.Reserve(max_nodes * (store->short_norms_ ? 2 : 4)));
  ALCOVE_RETURN_IF_ERROR(store->vectors_.Reserve(max_nodes * store->vector_stride_, layout.vectors_directory));
  if (layout.codes == Storage::kNone) {
    store->traversal_scales_ = store->scales_.as<float>();
  } else if (layout.metric != Metric::kCosine) {
    store->traversal_scales_ = store->norms_.as<float>();
  }
  const bool by_code = layout.codes != Storage::kNone;
  store->traversal_base_ = by_code ? store->codes_.data() : store->vectors_.data();
  store->traversal_stride_ = by_code ? store->code_stride_ : store->vector_stride_;
  // The hardware prefetcher follows a long vector by itself once its first lines are asked for.
  store->prefetch_bytes_ = std::min<size_t>(store->traversal_stride_, 1024);
  return store;
}

absl::Status NodeStore::Grow(size_t nodes, bool exact) {
  if (nodes > max_nodes_) {
    return absl::ResourceExhaustedError(absl::StrCat("index is full: its capacity is ", max_nodes_, " vectors"));
  }
  ALCOVE_RETURN_IF_ERROR(codes_.Grow(nodes * code_stride_, exact));
  if (layout_.codes == Storage::kNone) ALCOVE_RETURN_IF_ERROR(scales_.Grow(nodes * 4, exact));
  ALCOVE_RETURN_IF_ERROR(norms_.Grow(nodes * (short_norms_ ? 2 : 4), exact));
  ALCOVE_RETURN_IF_ERROR(vectors_.Grow(nodes * vector_stride_, exact));
  return absl::OkStatus();
}

void NodeStore::FetchFromDisk(NodeId node) const {
  static const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = size_t{node} * vector_stride_ / page * page;
  const size_t end = (size_t{node} + 1) * vector_stride_;
  madvise(vectors_.data() + begin, end - begin, MADV_WILLNEED);
}

float NodeStore::SignFactor(NodeId node) const {
  float factor;
  std::memcpy(&factor, codes_.data() + size_t{node} * code_stride_ + rotation_.padded() / 8, sizeof(factor));
  return factor;
}

float NodeStore::Norm(NodeId node) const {
  if (!short_norms_) return norms_.as<float>()[node];
  float norm;
  kernels_.bf16_to_f32(norms_.as<uint16_t>() + node, &norm, 1);
  return norm;
}

void NodeStore::SetNorm(NodeId node, float norm) {
  if (!short_norms_) {
    norms_.as<float>()[node] = norm;
  } else {
    kernels_.f32_to_bf16(&norm, norms_.as<uint16_t>() + node, 1);
  }
}

void NodeStore::Write(NodeId node, const float* vector, PreparedQuery& scratch) {
  const size_t dim = layout_.dim;
  const float norm = std::sqrt(kernels_.dot_f32(vector, vector, dim));
  SetNorm(node, norm);
  uint8_t* at = vectors_.data() + size_t{node} * vector_stride_;
  if (layout_.vectors == Storage::kF32) {
    std::memcpy(at, vector, dim * 4);
  } else if (layout_.vectors == Storage::kF16) {
    if (scratch.raw.size() != dim) scratch.raw = AlignedBuffer<float>(dim);
    const float inverse = norm > 0 ? 1 / norm : 0;
    for (size_t i = 0; i < dim; ++i) scratch.raw[i] = vector[i] * inverse;
    kernels_.f32_to_f16(scratch.raw.data(), reinterpret_cast<uint16_t*>(at), dim);
  }
  if (layout_.codes != Storage::kNone) return EncodeDirection(node, vector, norm, scratch);
  const bool cosine = layout_.metric == Metric::kCosine;
  const bool f32 = layout_.vectors == Storage::kF32;
  scales_.as<float>()[node] = cosine ? (f32 ? 1 / norm : 1) : (f32 ? 1 : norm);
}

void NodeStore::EncodeDirection(NodeId node, const float* vector, float norm, PreparedQuery& scratch) {
  const size_t padded = rotation_.padded();
  if (scratch.rotated.size() != padded) scratch.rotated = AlignedBuffer<float>(padded);
  float* x = scratch.rotated.data();
  rotation_.Apply(vector, x);
  const float inverse = norm > 0 ? 1 / norm : 0;
  for (size_t i = 0; i < padded; ++i) x[i] *= inverse;
  uint8_t* code = codes_.data() + size_t{node} * code_stride_;
  if (layout_.codes == Storage::kInt8) return simd::EncodeU8(x, padded, grid_, code);
  if (layout_.codes == Storage::kBit1) {
    const float factor = simd::EncodeSigns(x, padded, code);
    std::memcpy(code + padded / 8, &factor, sizeof(factor));
    return;
  }
  simd::EncodeU4(x, padded, grid_, code);
  if (rest_bits_ == 0) return;
  simd::EncodeRest(x, padded, grid_, code, rest_bits_, vectors_.data() + size_t{node} * vector_stride_);
}

void NodeStore::Read(NodeId node, float* out) const {
  const size_t dim = layout_.dim, padded = rotation_.padded();
  const float norm = Norm(node);
  const uint8_t* at = vectors_.data() + size_t{node} * vector_stride_;
  if (layout_.vectors == Storage::kF32) {
    std::memcpy(out, at, dim * 4);
    return;
  }
  if (layout_.vectors == Storage::kF16) {
    kernels_.f16_to_f32(reinterpret_cast<const uint16_t*>(at), out, dim);
    for (size_t i = 0; i < dim; ++i) out[i] *= norm;
    return;
  }
  std::vector<float> rotated(padded);
  const uint8_t* code = codes_.data() + size_t{node} * code_stride_;
  if (layout_.codes == Storage::kInt8) {
    simd::DecodeU8(code, padded, grid_, rotated.data());
  } else {
    simd::DecodeU4(code, padded, grid_, rotated.data());
    if (rest_bits_ > 0) simd::AddRest(at, padded, grid_, rest_bits_, rotated.data());
  }
  rotation_.ApplyInverse(rotated.data(), out);
  for (size_t i = 0; i < dim; ++i) out[i] *= norm;
}

void NodeStore::PrepareRaw(PreparedQuery& out) const {
  out.squared_norm = kernels_.dot_f32(out.raw.data(), out.raw.data(), layout_.dim);
  const bool l2 = layout_.metric == Metric::kL2;
  out.self = l2 ? out.squared_norm : 0;
  out.weight = l2 ? 2 : layout_.metric == Metric::kCosine ? 1 / std::sqrt(out.squared_norm) : 1;
  out.offset = 0;
}

void NodeStore::Prepare(const float* query, PreparedQuery& out) const {
  const size_t dim = layout_.dim, padded = rotation_.padded();
  if (out.raw.size() != dim) out.raw = AlignedBuffer<float>(dim);
  std::memcpy(out.raw.data(), query, dim * 4);
  PrepareRaw(out);
  if (layout_.codes == Storage::kNone) return;
  const bool l2 = layout_.metric == Metric::kL2;
  if (out.rotated.size() != padded) out.rotated = AlignedBuffer<float>(padded);
  rotation_.Apply(query, out.rotated.data());
  const float inverse = layout_.metric == Metric::kCosine ? 1 / std::sqrt(out.squared_norm) : 1;
  if (layout_.codes == Storage::kBit1) {
    if (out.planes.size() != padded / 2) out.planes = AlignedBuffer<uint8_t>(padded / 2);
    const simd::PlaneScale scale = simd::EncodePlanes(out.rotated.data(), padded, out.planes.data());
    out.offset = static_cast<float>(scale.sum);
    out.weight = (l2 ? 2 : inverse) * scale.scale;
    return;
  }
  if (out.values.size() != padded) out.values = AlignedBuffer<int8_t>(padded);
  const simd::QueryScale scale = simd::EncodeQuery(out.rotated.data(), padded, out.values.data());
  out.code_scale = scale.scale * step_;
  out.offset = grid_.centre * static_cast<float>(scale.sum);
  out.rest_offset = simd::RestCentre(rest_bits_) * static_cast<float>(scale.sum);
  out.weight = (l2 ? 2 : inverse) * out.code_scale;
}

void NodeStore::PrepareNode(NodeId node, PreparedQuery& out) const {
  const size_t dim = layout_.dim, padded = rotation_.padded();
  if (layout_.codes == Storage::kNone || coarse()) {
    if (out.raw.size() != dim) out.raw = AlignedBuffer<float>(dim);
    Read(node, out.raw.data());
    PrepareRaw(out);
    return;
  }
  if (out.values.size() != padded) out.values = AlignedBuffer<int8_t>(padded);
  const uint8_t* code = codes_.data() + size_t{node} * code_stride_;
  int32_t sum = 0;
  if (layout_.codes == Storage::kInt8) {
    sum = kernels_.expand_u8(code, out.values.data(), padded);
    out.code_scale = step_ * step_;
  } else {
    sum = kernels_.expand_u4(code, out.values.data(), padded);  // twice the values
    out.code_scale = step_ * step_ * 0.5f;
  }
  out.offset = grid_.centre * static_cast<float>(sum);
  const float norm = Norm(node);
  const bool cosine = layout_.metric == Metric::kCosine, l2 = layout_.metric == Metric::kL2;
  out.squared_norm = cosine ? 1 : norm * norm;
  out.self = l2 ? norm * norm : 0;
  out.weight = (l2 ? 2 : 1) * (cosine ? 1 : norm) * out.code_scale;
}

void NodeStore::Estimate(const PreparedQuery& query, const NodeId* nodes, size_t count, float* out) const {
  const size_t padded = rotation_.padded();
  if (layout_.codes == Storage::kNone) {
    const float* scales = traversal_scales_;
    const auto kernel = layout_.vectors == Storage::kF32 ? kernels_.dot_f32_rows : kernels_.dot_f16_rows;
    kernel(query.raw.data(), layout_.dim, vectors_.data(), vector_stride_, nodes, count, out);
    for (size_t i = 0; i < count; ++i) out[i] = query.self - query.weight * scales[nodes[i]] * out[i];
  } else if (layout_.codes == Storage::kBit1) {
    int32_t sums[kBatch];
    kernels_.dot_u1_rows(query.planes.data(), padded, codes_.data(), code_stride_, nodes, count, sums);
    for (size_t i = 0; i < count; ++i) {
      const float scale = traversal_scales_ == nullptr ? 1 : traversal_scales_[nodes[i]];
      out[i] =
          query.self - query.weight * scale * SignFactor(nodes[i]) * (2 * static_cast<float>(sums[i]) - query.offset);
    }
  } else {
    int32_t sums[kBatch];
    CodeKernel()(query.values.data(), padded, codes_.data(), code_stride_, nodes, count, sums);
    kernels_.scale_rows(sums, traversal_scales_, nodes, count, query.self, query.weight, query.offset, out);
  }
  if (layout_.metric == Metric::kL2) {
    const float* norms = norms_.as<float>();
    for (size_t i = 0; i < count; ++i) out[i] += norms[nodes[i]] * norms[nodes[i]];
  }
}

// The error of an estimate is the inner product of the code's error, which is at a right angle to the vector, with the
// part of the query at a right angle to the vector.
float NodeStore::Deviation(const PreparedQuery& query, NodeId node, float estimate) const {
  const float unit = deviation_ > 0 ? deviation_ : simd::SignError(SignFactor(node), rotation_.padded());
  switch (layout_.metric) {
    case Metric::kCosine: return unit * std::sqrt(std::max(0.0f, 1 - estimate * estimate));
    case Metric::kDot: return unit * std::sqrt(query.squared_norm) * Norm(node);
    case Metric::kL2: return 2 * unit * std::sqrt(query.squared_norm) * Norm(node);
  }
  return 0;
}

void NodeStore::Score(const PreparedQuery& query, const NodeId* nodes, size_t count, float* out) const {
  const float* norms = norms_.as<float>();
  const size_t padded = rotation_.padded();
  // First the inner product with the direction (kCosine) or with the vector.
  const bool cosine = layout_.metric == Metric::kCosine;
  if (layout_.vectors == Storage::kF32 && layout_.metric == Metric::kL2) {
    // By differences: norms would cancel for near points far from the origin.
    for (size_t i = 0; i < count; ++i) {
      const uint8_t* at = vectors_.data() + size_t{nodes[i]} * vector_stride_;
      out[i] = -kernels_.l2_f32(query.raw.data(), reinterpret_cast<const float*>(at), layout_.dim);
    }
    return;
  }
  if (layout_.vectors == Storage::kF32) {
    kernels_.dot_f32_rows(query.raw.data(), layout_.dim, vectors_.data(), vector_stride_, nodes, count, out);
    if (cosine) {
      for (size_t i = 0; i < count; ++i) out[i] /= norms[nodes[i]];
    }
  } else if (layout_.vectors == Storage::kF16) {
    kernels_.dot_f16_rows(query.raw.data(), layout_.dim, vectors_.data(), vector_stride_, nodes, count, out);
    if (!cosine) {
      for (size_t i = 0; i < count; ++i) out[i] *= norms[nodes[i]];
    }
  } else {
    int32_t sums[kBatch];
    CodeKernel()(query.values.data(), padded, codes_.data(), code_stride_, nodes, count, sums);
    for (size_t i = 0; i < count; ++i) out[i] = query.code_scale * (static_cast<float>(sums[i]) - query.offset);
    if (rest_bits_ > 0) {
      const auto kernel = rest_bits_ == 4 ? kernels_.dot_u4_rows : kernels_.dot_u2_rows;
      kernel(query.values.data(), padded, vectors_.data(), vector_stride_, nodes, count, sums);
      const float scale = query.code_scale * simd::RestFactor(rest_bits_);
      for (size_t i = 0; i < count; ++i) out[i] += scale * (static_cast<float>(sums[i]) - query.rest_offset);
    }
    if (!cosine) {
      for (size_t i = 0; i < count; ++i) out[i] *= norms[nodes[i]];
    }
  }
  if (cosine) {
    const float inverse = 1 / std::sqrt(query.squared_norm);
    for (size_t i = 0; i < count; ++i) out[i] *= inverse;
  } else if (layout_.metric == Metric::kL2) {
    for (size_t i = 0; i < count; ++i) {
      const float norm = norms[nodes[i]];
      out[i] = std::min(0.0f, 2 * out[i] - query.squared_norm - norm * norm);
    }
  }
}

void NodeStore::Refine(const PreparedQuery& query, const NodeId* nodes, size_t count, float* out) const {
  Score(query, nodes, count, out);
  for (size_t i = 0; i < count; ++i) out[i] = -out[i];
}

std::vector<NodeStore::Column> NodeStore::columns() const {
  std::vector<Column> columns = {{1, norms_.data(), short_norms_ ? size_t{2} : size_t{4}}};
  if (layout_.codes == Storage::kNone) columns.push_back({2, scales_.data(), 4});
  if (code_stride_ > 0) columns.push_back({3, codes_.data(), code_stride_});
  if (vector_stride_ > 0) columns.push_back({4, vectors_.data(), vector_stride_});
  return columns;
}

}  // namespace alcove::ann
