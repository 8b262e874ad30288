#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/ann/growable_array.h"
#include "libs/ann/index.h"
#include "libs/common/memory.h"
#include "libs/simd/kernels.h"
#include "libs/simd/quantize.h"
#include "libs/simd/rotation.h"

namespace alcove::ann {

// Position of a vector inside an index. Unlike rows, nodes are never overwritten while a search may read them.
using NodeId = uint32_t;
inline constexpr NodeId kNoNode = ~NodeId{0};

// What is kept of each vector; see Storage. Valid: codes kNone or kBit1 with vectors kF32 or kF16; codes kInt8 with
// vectors kNone, kF16 or kF32; codes kInt4 with any of these or kInt8 or kInt6, which then hold the 4 or 2 bits that
// the codes leave off.
struct StoreLayout {
  size_t dim = 0;
  Metric metric = Metric::kCosine;
  Storage codes = Storage::kNone;
  Storage vectors = Storage::kF32;
  uint64_t seed = 1;              // of the rotation applied before quantising
  std::string vectors_directory;  // where the vectors' file lies; empty: they are in memory
};

// A query in every form the distance kernels want. Reused between searches; one thread at a time.
struct PreparedQuery {
  AlignedBuffer<float> raw;       // [dim]
  AlignedBuffer<float> rotated;   // [padded]
  AlignedBuffer<int8_t> values;   // [padded], `rotated` in 8 bits
  AlignedBuffer<uint8_t> planes;  // [padded / 2], `rotated` in 4 bits, for 1-bit codes
  float squared_norm = 0;
  float code_scale = 0;  // inner product with a direction = code_scale * (sum - offset)
  float offset = 0;
  float rest_offset = 0;
  float weight = 0;  // distance = self - weight * scale[node] * (sum - offset) (+ squared norm of the node under kL2)
  float self = 0;
};

// The vectors of an index, by node: codes for the traversal, vectors for the final order.
//
// Distances are smaller for better matches and comparable only within one index: minus the inner product of the
// directions (kCosine) or vectors (kDot), or the squared Euclidean distance.
//
// Thread safety: Grow needs outside locking; Write of a node happens before that node is handed to any reader;
// everything else is const.
class NodeStore {
 public:
  static absl::StatusOr<std::unique_ptr<NodeStore>> Make(const StoreLayout& layout, size_t max_nodes);

  const StoreLayout& layout() const { return layout_; }
  absl::Status Grow(size_t nodes, bool exact = false);  // see GrowableArray::Grow

  // Encodes vector[dim] as `node`. `scratch` is overwritten.
  void Write(NodeId node, const float* vector, PreparedQuery& scratch);
  // The caller's vector, or what the storage kept of it, into out[dim].
  void Read(NodeId node, float* out) const;

  void Prepare(const float* query, PreparedQuery& out) const;
  // A query for Compare that stands for a stored node.
  void PrepareNode(NodeId node, PreparedQuery& out) const;

  // out[i] = distance of nodes[i] by codes. count <= kBatch.
  static constexpr size_t kBatch = 256;
  void Estimate(const PreparedQuery& query, const NodeId* nodes, size_t count, float* out) const;
  // The distance by which links are chosen: Estimate, or Refine where codes are too coarse to compare two nodes.
  void Compare(const PreparedQuery& query, const NodeId* nodes, size_t count, float* out) const {
    if (coarse()) return Refine(query, nodes, count, out);
    Estimate(query, nodes, count, out);
  }
  bool coarse() const { return layout_.codes == Storage::kBit1; }
  // The standard deviation of the error of an estimate. With codes only.
  float Deviation(const PreparedQuery& query, NodeId node, float estimate) const;

  // out[i] = score (see Metric) of nodes[i] by the stored vectors. count <= kBatch.
  void Score(const PreparedQuery& query, const NodeId* nodes, size_t count, float* out) const;
  // Score as a distance, comparable with Estimate.
  void Refine(const PreparedQuery& query, const NodeId* nodes, size_t count, float* out) const;
  // Whether Score is more exact than Estimate.
  bool refines() const { return layout_.codes != Storage::kNone && layout_.vectors != Storage::kNone; }

  void PrefetchCode(NodeId node) const {
    const uint8_t* at = traversal_base_ + size_t{node} * traversal_stride_;
    if (prefetch_bytes_ <= 64) {
      PrefetchForRead(at);
    } else {
      for (size_t i = 0; i < prefetch_bytes_; i += 64) PrefetchToL2(at + i);
    }
    if (traversal_scales_ != nullptr) PrefetchForRead(traversal_scales_ + node);
  }
  void PrefetchVector(NodeId node) const {
    if (vectors_.in_file()) return FetchFromDisk(node);
    const uint8_t* at = vectors_.data() + size_t{node} * vector_stride_;
    for (size_t i = 0; i < vector_stride_; i += 64) PrefetchToL2(at + i);
  }

  size_t vector_bytes() const { return vectors_.committed() + norms_.committed(); }
  size_t disk_bytes() const { return vectors_.on_disk(); }
  size_t code_bytes() const { return codes_.committed() + scales_.committed(); }

  // The length of the vector; with kInt8 or kInt6 vectors under kCosine to 8 bits.
  float Norm(NodeId node) const;
  // The factor behind the bits of a 1-bit code.
  float SignFactor(NodeId node) const;

  // The vectors of all nodes come from a file; see GrowableArray::Map.
  absl::Status MapVectors(int file, size_t offset, size_t bytes) { return vectors_.Map(file, offset, bytes); }

  // One array of the store, as a snapshot keeps it: `stride` bytes a node.
  struct Column {
    uint32_t id;
    uint8_t* data;
    size_t stride;
  };
  std::vector<Column> columns() const;

 private:
  NodeStore(const StoreLayout& layout, size_t max_nodes);
  auto CodeKernel() const { return layout_.codes == Storage::kInt8 ? kernels_.dot_u8_rows : kernels_.dot_u4_rows; }
  // Begins to read a vector, so that the disk works on several at a time.
  void FetchFromDisk(NodeId node) const;
  void SetNorm(NodeId node, float norm);
  void PrepareRaw(PreparedQuery& out) const;  // what Score needs, from out.raw
  void EncodeDirection(NodeId node, const float* vector, float norm, PreparedQuery& scratch);

  const StoreLayout layout_;
  const simd::Kernels& kernels_;
  const simd::Rotation rotation_;
  const size_t max_nodes_;
  size_t code_stride_ = 0;
  int rest_bits_ = 0;         // of the vectors beside 4-bit codes
  bool short_norms_ = false;  // bf16: only Get() needs them, of vectors kept coarsely
  float deviation_ = 0;       // of an estimate, for directions at a right angle; 0: by node
  size_t vector_stride_ = 0;
  GrowableArray codes_, scales_, norms_, vectors_;
  simd::Grid grid_ = {};
  float step_ = 0;                           // of the codes
  const float* traversal_scales_ = nullptr;  // what weighs an inner product in Estimate; null: nothing
  const uint8_t* traversal_base_ = nullptr;
  size_t traversal_stride_ = 0;
  size_t prefetch_bytes_ = 0;
};

}  // namespace alcove::ann
