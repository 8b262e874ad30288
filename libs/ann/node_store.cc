#include "libs/ann/node_store.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/simd/quantize.h"

namespace alcove::ann {
namespace {

bool Valid(const StoreLayout& layout) {
  const Storage v = layout.vectors;
  switch (layout.codes) {
    case Storage::kNone: return v == Storage::kF32 || v == Storage::kF16;
    case Storage::kInt8: return v == Storage::kNone || v == Storage::kF32 || v == Storage::kF16;
    case Storage::kInt4: return v == Storage::kNone || v == Storage::kF32 || v == Storage::kF16 || v == Storage::kInt8;
    default: return false;
  }
}

}  // namespace

NodeStore::NodeStore(const StoreLayout& layout, size_t max_nodes)
    : layout_(layout), kernels_(simd::Best()), rotation_(layout.dim, layout.seed), max_nodes_(max_nodes) {
  switch (layout.codes) {
    case Storage::kInt8: code_stride_ = rotation_.padded(); break;
    case Storage::kInt4: code_stride_ = rotation_.padded() / 2; break;
    default: break;
  }
  switch (layout.vectors) {
    case Storage::kF32: vector_stride_ = layout.dim * 4; break;
    case Storage::kF16: vector_stride_ = layout.dim * 2; break;
    case Storage::kInt8: vector_stride_ = rotation_.padded() / 2; break;
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
  ALCOVE_RETURN_IF_ERROR(store->scales_.Reserve(max_nodes * 4));
  ALCOVE_RETURN_IF_ERROR(store->norms_.Reserve(max_nodes * 4));
  ALCOVE_RETURN_IF_ERROR(store->vectors_.Reserve(max_nodes * store->vector_stride_));
  if (layout.vectors == Storage::kInt8) ALCOVE_RETURN_IF_ERROR(store->residual_scales_.Reserve(max_nodes * 4));
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
  ALCOVE_RETURN_IF_ERROR(scales_.Grow(nodes * 4, exact));
  ALCOVE_RETURN_IF_ERROR(norms_.Grow(nodes * 4, exact));
  ALCOVE_RETURN_IF_ERROR(vectors_.Grow(nodes * vector_stride_, exact));
  if (layout_.vectors == Storage::kInt8) ALCOVE_RETURN_IF_ERROR(residual_scales_.Grow(nodes * 4, exact));
  return absl::OkStatus();
}

void NodeStore::Write(NodeId node, const float* vector, PreparedQuery& scratch) {
  const size_t dim = layout_.dim;
  const float norm = std::sqrt(kernels_.dot_f32(vector, vector, dim));
  norms_.as<float>()[node] = norm;
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

// Codes hold the direction under kCosine and the vector itself otherwise.
void NodeStore::EncodeDirection(NodeId node, const float* vector, float norm, PreparedQuery& scratch) {
  const size_t padded = rotation_.padded();
  if (scratch.rotated.size() != padded) scratch.rotated = AlignedBuffer<float>(padded);
  float* x = scratch.rotated.data();
  rotation_.Apply(vector, x);
  if (layout_.metric == Metric::kCosine) {
    for (size_t i = 0; i < padded; ++i) x[i] /= norm;
  }
  uint8_t* code = codes_.data() + size_t{node} * code_stride_;
  float& scale = scales_.as<float>()[node];
  scale = layout_.codes == Storage::kInt8 ? simd::EncodeU8(x, padded, code) : simd::EncodeU4(x, padded, code);
  if (layout_.vectors != Storage::kInt8) return;
  std::vector<float> rest(padded);
  simd::DecodeU4(code, scale, padded, rest.data());
  for (size_t i = 0; i < padded; ++i) rest[i] = x[i] - rest[i];
  residual_scales_.as<float>()[node] =
      simd::EncodeU4(rest.data(), padded, vectors_.data() + size_t{node} * vector_stride_);
}

void NodeStore::Read(NodeId node, float* out) const {
  const size_t dim = layout_.dim, padded = rotation_.padded();
  const float norm = norms_.as<float>()[node];
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
  const float scale = scales_.as<float>()[node];
  if (layout_.codes == Storage::kInt8) {
    simd::DecodeU8(code, scale, padded, rotated.data());
  } else {
    simd::DecodeU4(code, scale, padded, rotated.data());
  }
  if (layout_.vectors == Storage::kInt8) {
    std::vector<float> rest(padded);
    simd::DecodeU4(at, residual_scales_.as<float>()[node], padded, rest.data());
    for (size_t i = 0; i < padded; ++i) rotated[i] += rest[i];
  }
  rotation_.ApplyInverse(rotated.data(), out);
  const float factor = layout_.metric == Metric::kCosine ? norm : 1.0f;
  for (size_t i = 0; i < dim; ++i) out[i] *= factor;
}

void NodeStore::Prepare(const float* query, PreparedQuery& out) const {
  const size_t dim = layout_.dim, padded = rotation_.padded();
  if (out.raw.size() != dim) out.raw = AlignedBuffer<float>(dim);
  std::memcpy(out.raw.data(), query, dim * 4);
  out.squared_norm = kernels_.dot_f32(query, query, dim);
  const bool l2 = layout_.metric == Metric::kL2;
  out.self = l2 ? out.squared_norm : 0;
  if (layout_.codes == Storage::kNone) {
    const float inverse = layout_.metric == Metric::kCosine ? 1 / std::sqrt(out.squared_norm) : 1;
    out.weight = l2 ? 2 : inverse;
    out.offset = 0;
    return;
  }
  if (out.rotated.size() != padded) out.rotated = AlignedBuffer<float>(padded);
  if (out.values.size() != padded) out.values = AlignedBuffer<int8_t>(padded);
  rotation_.Apply(query, out.rotated.data());
  const simd::QueryScale scale = simd::EncodeQuery(out.rotated.data(), padded, out.values.data());
  out.code_scale = scale.scale;
  out.residual_offset = simd::kU4Centre * static_cast<float>(scale.sum);
  out.offset = layout_.codes == Storage::kInt8 ? simd::kU8Centre * static_cast<float>(scale.sum) : out.residual_offset;
  const float inverse = layout_.metric == Metric::kCosine ? 1 / std::sqrt(out.squared_norm) : 1;
  out.weight = (l2 ? 2 : inverse) * scale.scale;
}

void NodeStore::PrepareNode(NodeId node, PreparedQuery& out) const {
  const size_t dim = layout_.dim, padded = rotation_.padded();
  if (layout_.codes == Storage::kNone) {
    std::vector<float> vector(dim);
    Read(node, vector.data());
    return Prepare(vector.data(), out);
  }
  if (out.values.size() != padded) out.values = AlignedBuffer<int8_t>(padded);
  const uint8_t* code = codes_.data() + size_t{node} * code_stride_;
  const float scale = scales_.as<float>()[node];
  if (layout_.codes == Storage::kInt8) {
    const auto sum = static_cast<float>(kernels_.expand_u8(code, out.values.data(), padded));
    out.code_scale = scale;
    out.offset = simd::kU8Centre * sum;
  } else {
    const auto sum = static_cast<float>(kernels_.expand_u4(code, out.values.data(), padded));
    out.code_scale = scale * 0.5f;
    out.offset = simd::kU4Centre * sum;
  }
  const float norm = norms_.as<float>()[node];
  const bool l2 = layout_.metric == Metric::kL2;
  out.squared_norm = layout_.metric == Metric::kCosine ? 1 : norm * norm;
  out.self = l2 ? norm * norm : 0;
  out.weight = (l2 ? 2 : 1) * out.code_scale;
}

void NodeStore::Estimate(const PreparedQuery& query, const NodeId* nodes, size_t count, float* out) const {
  const float* scales = scales_.as<float>();
  const size_t padded = rotation_.padded();
  if (layout_.codes == Storage::kNone) {
    const auto kernel = layout_.vectors == Storage::kF32 ? kernels_.dot_f32_rows : kernels_.dot_f16_rows;
    kernel(query.raw.data(), layout_.dim, vectors_.data(), vector_stride_, nodes, count, out);
    for (size_t i = 0; i < count; ++i) out[i] = query.self - query.weight * scales[nodes[i]] * out[i];
  } else {
    int32_t sums[kBatch];
    const auto kernel = layout_.codes == Storage::kInt4 ? kernels_.dot_u4_rows : kernels_.dot_u8_rows;
    kernel(query.values.data(), padded, codes_.data(), code_stride_, nodes, count, sums);
    kernels_.scale_rows(sums, scales, nodes, count, query.self, query.weight, query.offset, out);
  }
  if (layout_.metric == Metric::kL2) {
    const float* norms = norms_.as<float>();
    for (size_t i = 0; i < count; ++i) out[i] += norms[nodes[i]] * norms[nodes[i]];
  }
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
    const float* scales = scales_.as<float>();
    const auto kernel = layout_.codes == Storage::kInt4 ? kernels_.dot_u4_rows : kernels_.dot_u8_rows;
    kernel(query.values.data(), padded, codes_.data(), code_stride_, nodes, count, sums);
    for (size_t i = 0; i < count; ++i) {
      out[i] = query.code_scale * scales[nodes[i]] * (static_cast<float>(sums[i]) - query.offset);
    }
    if (layout_.vectors == Storage::kInt8) {
      const float* residual = residual_scales_.as<float>();
      kernels_.dot_u4_rows(query.values.data(), padded, vectors_.data(), vector_stride_, nodes, count, sums);
      for (size_t i = 0; i < count; ++i) {
        out[i] += query.code_scale * residual[nodes[i]] * (static_cast<float>(sums[i]) - query.residual_offset);
      }
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
  std::vector<Column> columns = {{1, norms_.data(), 4}, {2, scales_.data(), 4}};
  if (code_stride_ > 0) columns.push_back({3, codes_.data(), code_stride_});
  if (vector_stride_ > 0) columns.push_back({4, vectors_.data(), vector_stride_});
  if (layout_.vectors == Storage::kInt8) columns.push_back({5, residual_scales_.data(), 4});
  return columns;
}

}  // namespace alcove::ann
