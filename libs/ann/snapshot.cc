#include "libs/ann/snapshot.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "libs/ann/graph.h"
#include "libs/ann/validate.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"

namespace alcove::ann {
namespace {

constexpr char kMagic[8] = {'A', 'L', 'C', 'V', 'A', 'N', 'N', '\n'};
constexpr uint32_t kVersion = 2;
constexpr uint64_t kSeed = 1;  // of the checksums
constexpr size_t kChunk = size_t{1} << 20;
constexpr size_t kPage = 4096;
constexpr uint64_t kMaxNodes = size_t{1} << 31;

enum Section : uint32_t {
  kEnd = 0,
  kRows = 16,
  kStates = 17,
  kBaseLinks = 18,
  kLevels = 19,
  kUpperLinks = 20,
  kVectors = 4
};

// On disk, little endian, no padding: every field lies on a multiple of its size.
struct RawHeader {
  char magic[8];
  uint32_t version;
  uint32_t bytes;  // of this header
  uint8_t kind, metric, codes, vectors;
  uint32_t dim, m, ef_construction;
  uint64_t seed, max_nodes, nodes;
  uint32_t entry_node, entry_level;
  uint32_t deterministic, unused;
  uint64_t checksum;  // of all bytes before it
};
static_assert(sizeof(RawHeader) == 80);

struct RawSection {
  uint32_t id, stride;
  uint64_t bytes;
  uint64_t checksum;  // of the 16 bytes before it
};
static_assert(sizeof(RawSection) == 24);

uint64_t Checksum(const void* data, size_t bytes, uint64_t seed) {
  return Hash64({static_cast<const char*>(data), bytes}, seed);
}

absl::Status Append(ByteSink& sink, const void* data, size_t bytes) {
  return sink.Append({static_cast<const char*>(data), bytes});
}

absl::Status WriteSection(ByteSink& sink, uint32_t id, uint32_t stride, const void* data, size_t bytes) {
  RawSection section{.id = id, .stride = stride, .bytes = bytes};
  section.checksum = Checksum(&section, 16, kSeed);
  ALCOVE_RETURN_IF_ERROR(Append(sink, &section, sizeof(section)));
  const char* at = static_cast<const char*>(data);
  uint64_t chain = section.checksum;
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(kChunk, bytes - done);
    ALCOVE_RETURN_IF_ERROR(Append(sink, at + done, part));
    chain = Checksum(at + done, part, chain);
    ALCOVE_RETURN_IF_ERROR(Append(sink, &chain, 8));
    done += part;
  }
  return absl::OkStatus();
}

// A section whose data is made while it is written: fill(i, out) gives the `stride` bytes of node i.
absl::Status WriteMadeSection(ByteSink& sink, uint32_t id, uint32_t stride, size_t nodes,
                              absl::FunctionRef<void(size_t, char*)> fill) {
  RawSection section{.id = id, .stride = stride, .bytes = nodes * stride};
  section.checksum = Checksum(&section, 16, kSeed);
  ALCOVE_RETURN_IF_ERROR(Append(sink, &section, sizeof(section)));
  uint64_t chain = section.checksum;
  std::vector<char> part;
  std::vector<char> one(stride);
  const auto flush = [&](size_t size) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(Append(sink, part.data(), size));
    chain = Checksum(part.data(), size, chain);
    part.erase(part.begin(), part.begin() + static_cast<ptrdiff_t>(size));
    return Append(sink, &chain, 8);
  };
  for (size_t i = 0; i < nodes; ++i) {
    fill(i, one.data());
    part.insert(part.end(), one.begin(), one.end());
    while (part.size() >= kChunk) ALCOVE_RETURN_IF_ERROR(flush(kChunk));
  }
  return part.empty() ? absl::OkStatus() : flush(part.size());
}

absl::Status ReadSection(SnapshotReader& reader, uint32_t id, uint32_t stride, void* data, size_t bytes) {
  RawSection section;
  ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(&section, sizeof(section)));
  if (section.checksum != Checksum(&section, 16, kSeed) || section.id != id || section.stride != stride ||
      section.bytes != bytes) {
    return absl::DataLossError(absl::StrCat("snapshot section ", id, " is damaged or missing"));
  }
  char* at = static_cast<char*>(data);
  uint64_t chain = section.checksum;
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(kChunk, bytes - done);
    ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(at + done, part));
    chain = Checksum(at + done, part, chain);
    uint64_t stored;
    ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(&stored, 8));
    if (stored != chain) {
      return absl::DataLossError(
          absl::StrCat("snapshot section ", id, " is damaged within its first ", done + part, " bytes"));
    }
    done += part;
  }
  return absl::OkStatus();
}

// Knows how much was written.
class CountingSink final : public ByteSink {
 public:
  explicit CountingSink(ByteSink& sink) : sink_(sink) {}
  absl::Status Append(std::string_view bytes) override {
    written_ += bytes.size();
    return sink_.Append(bytes);
  }
  size_t written() const { return written_; }

 private:
  ByteSink& sink_;
  size_t written_ = 0;
};

// A section that can be mapped: data in one piece from a multiple of the page size on, the checksums behind it.
absl::Status WritePagedSection(CountingSink& sink, uint32_t id, uint32_t stride, const void* data, size_t bytes) {
  RawSection section{.id = id, .stride = stride, .bytes = bytes};
  section.checksum = Checksum(&section, 16, kSeed);
  ALCOVE_RETURN_IF_ERROR(Append(sink, &section, sizeof(section)));
  const std::string padding((kPage - sink.written() % kPage) % kPage, '\0');
  ALCOVE_RETURN_IF_ERROR(sink.Append(padding));
  const char* at = static_cast<const char*>(data);
  std::vector<uint64_t> sums;
  uint64_t chain = section.checksum;
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(kChunk, bytes - done);
    ALCOVE_RETURN_IF_ERROR(Append(sink, at + done, part));
    sums.push_back(chain = Checksum(at + done, part, chain));
    done += part;
  }
  return Append(sink, sums.data(), sums.size() * 8);
}

// Into `data`, or, when the reader has a file, mapped over it. All of it is read and verified either way.
absl::Status ReadVectors(SnapshotReader& reader, uint32_t stride, size_t bytes, uint8_t* data, NodeStore& store) {
  RawSection section;
  ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(&section, sizeof(section)));
  const absl::Status damaged =
      absl::DataLossError(absl::StrCat("snapshot section ", kVectors, " is damaged or missing"));
  if (section.checksum != Checksum(&section, 16, kSeed) || section.id != kVectors || section.stride != stride ||
      section.bytes != bytes) {
    return damaged;
  }
  std::string padding((kPage - reader.offset() % kPage) % kPage, '\0');
  ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(padding.data(), padding.size()));
  if (padding.find_first_not_of('\0') != std::string::npos) return damaged;
  const bool mapped = reader.file() >= 0;
  const size_t offset = reader.offset();
  std::vector<uint8_t> piece(mapped ? std::min(kChunk, bytes) : 0);
  std::vector<uint64_t> sums;
  uint64_t chain = section.checksum;
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(kChunk, bytes - done);
    uint8_t* to = mapped ? piece.data() : data + done;
    ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(to, part));
    sums.push_back(chain = Checksum(to, part, chain));
    done += part;
  }
  for (const uint64_t sum : sums) {
    uint64_t stored;
    ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(&stored, 8));
    if (stored != sum) return damaged;
  }
  return mapped ? store.MapVectors(reader.file(), offset, bytes) : absl::OkStatus();
}

// A vector that arrived with a checksum may still have been written by something else than SaveTo.
absl::Status CheckNumbers(const NodeStore& store, const std::vector<uint8_t>& states) {
  const size_t nodes = states.size();
  const StoreLayout& layout = store.layout();
  const float longest = std::sqrt(kMaxSquaredNorm) * 1.01f;
  for (size_t i = 0; i < nodes; ++i) {
    if (states[i] == LinkStore::kSwept) continue;
    const auto node = static_cast<NodeId>(i);
    const float norm = store.Norm(node);
    if (!(std::fabs(norm) <= longest)) {
      return absl::DataLossError(absl::StrCat("snapshot holds an impossible length for node ", i));
    }
    if (layout.metric == Metric::kCosine && !(norm > 0)) {
      return absl::DataLossError(absl::StrCat("snapshot holds a zero vector for node ", i, " under cosine"));
    }
    if (layout.codes == Storage::kBit1 && !(store.SignFactor(node) >= 0 && store.SignFactor(node) <= 1.01f)) {
      return absl::DataLossError(absl::StrCat("snapshot holds an impossible code factor for node ", i));
    }
  }
  for (const NodeStore::Column& column : store.columns()) {
    if (column.id != 2) continue;
    const float* scales = reinterpret_cast<const float*>(column.data);
    // Under kCosine the scale is one over the length, which the shortest legal vector makes 1e15.
    for (size_t i = 0; i < nodes; ++i) {
      if (states[i] != LinkStore::kSwept && !(std::fabs(scales[i]) <= longest)) {
        return absl::DataLossError(absl::StrCat("snapshot holds an impossible scale for node ", i));
      }
    }
  }
  if (layout.vectors != Storage::kF32 && layout.vectors != Storage::kF16) return absl::OkStatus();
  std::vector<float> vector(layout.dim);
  for (size_t i = 0; i < nodes; ++i) {
    if (states[i] == LinkStore::kSwept) continue;
    store.Read(static_cast<NodeId>(i), vector.data());
    const float squared = simd::Best().dot_f32(vector.data(), vector.data(), layout.dim);
    if (!(squared <= 2 * kMaxSquaredNorm)) {
      return absl::DataLossError(absl::StrCat("snapshot holds a vector that is not finite for node ", i));
    }
  }
  return absl::OkStatus();
}

// The places of a node's links on a layer as the format has them: padded with kNoNode.
void PadLinks(const LinkStore& links, NodeId node, int level, NodeId* out) {
  NodeId linked[NodeStore::kBatch];
  const size_t count = links.Read(node, level, linked);
  std::copy_n(linked, count, out);
  std::fill(out + count, out + links.capacity(level), kNoNode);
}

absl::Status SaveLinks(const Graph& graph, size_t nodes, ByteSink& sink) {
  const LinkStore& links = graph.links();
  std::vector<uint8_t> levels(nodes);
  std::vector<NodeId> upper;
  for (NodeId node = 0; node < nodes; ++node) {
    const int level = links.level(node);
    levels[node] = static_cast<uint8_t>(level);
    for (int l = 1; l <= level; ++l) {
      upper.resize(upper.size() + links.m());
      PadLinks(links, node, l, upper.data() + upper.size() - links.m());
    }
  }
  ALCOVE_RETURN_IF_ERROR(WriteSection(sink, kLevels, 1, levels.data(), nodes));
  std::vector<NodeId> places(links.capacity(0));
  const auto fill = [&](size_t node, char* out) {
    PadLinks(links, static_cast<NodeId>(node), 0, places.data());
    std::memcpy(out, places.data(), places.size() * 4);
  };
  ALCOVE_RETURN_IF_ERROR(WriteMadeSection(sink, kBaseLinks, static_cast<uint32_t>(links.capacity(0)) * 4, nodes, fill));
  return WriteSection(sink, kUpperLinks, 4, upper.data(), upper.size() * 4);
}

// Checks the links of one node on one layer and takes them over.
absl::Status LoadNode(LinkStore& links, const std::vector<uint8_t>& states, NodeId node, int level,
                      const NodeId* places) {
  const size_t most = links.capacity(level);
  size_t count = 0;
  for (; count < most && places[count] != kNoNode; ++count) {
    const NodeId to = places[count];
    // A free node's links are stale and never followed: the nodes they name may have been reused on other levels.
    const bool followed = states[node] != LinkStore::kSwept;
    if (to >= states.size() || (followed && (states[to] == LinkStore::kSwept || links.level(to) < level))) {
      return absl::DataLossError(absl::StrCat("snapshot holds an impossible link of node ", node));
    }
  }
  links.Write(node, level, {places, count});
  return absl::OkStatus();
}

absl::Status LoadLinks(const SnapshotHeader& header, const std::vector<uint8_t>& states, Graph& graph,
                       SnapshotReader& reader) {
  const size_t nodes = header.nodes;
  LinkStore& links = graph.links();
  std::vector<uint8_t> levels(nodes);
  ALCOVE_RETURN_IF_ERROR(ReadSection(reader, kLevels, 1, levels.data(), nodes));
  ALCOVE_RETURN_IF_ERROR(links.Grow(nodes));
  size_t upper_words = 0;
  for (NodeId node = 0; node < nodes; ++node) {
    if (levels[node] > LinkStore::kMaxLevel) {
      return absl::DataLossError(absl::StrCat("snapshot puts node ", node, " on level ", levels[node]));
    }
    ALCOVE_RETURN_IF_ERROR(links.Init(node, levels[node]));
    links.set_state(node, static_cast<LinkStore::State>(states[node]));
    upper_words += levels[node] * links.m();
  }
  const size_t most = links.capacity(0);
  std::vector<NodeId> base(nodes * most);
  ALCOVE_RETURN_IF_ERROR(
      ReadSection(reader, kBaseLinks, static_cast<uint32_t>(most) * 4, base.data(), base.size() * 4));
  for (NodeId node = 0; node < nodes; ++node) {
    ALCOVE_RETURN_IF_ERROR(LoadNode(links, states, node, 0, base.data() + node * most));
  }
  std::vector<NodeId> upper(upper_words);
  ALCOVE_RETURN_IF_ERROR(ReadSection(reader, kUpperLinks, 4, upper.data(), upper_words * 4));
  const NodeId* next = upper.data();
  for (NodeId node = 0; node < nodes; ++node) {
    for (int l = 1; l <= levels[node]; ++l, next += links.m()) {
      ALCOVE_RETURN_IF_ERROR(LoadNode(links, states, node, l, next));
    }
  }
  if (header.entry_node != kNoNode && (header.entry_node >= nodes || states[header.entry_node] == LinkStore::kSwept ||
                                       header.entry_level != levels[header.entry_node])) {
    return absl::DataLossError("snapshot names an impossible entry node");
  }
  graph.set_entry({header.entry_node, static_cast<int>(header.entry_level)});
  return absl::OkStatus();
}

}  // namespace

absl::Status SnapshotReader::ReadExactly(void* out, size_t size) {
  char* at = static_cast<char*>(out);
  while (size > 0) {
    ALCOVE_ASSIGN_OR_RETURN(const size_t got, source_.Read(at, size));
    if (got == 0 || got > size) return absl::DataLossError("snapshot is truncated");
    at += got;
    size -= got;
    offset_ += got;
  }
  return absl::OkStatus();
}

absl::StatusOr<SnapshotHeader> ReadHeader(SnapshotReader& reader) {
  RawHeader raw;
  ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(&raw, 16));
  if (std::memcmp(raw.magic, kMagic, sizeof(kMagic)) != 0) return absl::DataLossError("not an index snapshot");
  if (raw.version > kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("snapshot has format version ", raw.version, "; this program reads up to ", kVersion));
  }
  if (raw.version > 0 && raw.version < kVersion) {
    // Not FAILED_PRECONDITION: to its owner it is like a damaged one, the index is built anew.
    return absl::DataLossError(
        absl::StrCat("snapshot has the old format version ", raw.version, "; build the index anew"));
  }
  if (raw.version == 0 || raw.bytes != sizeof(raw)) return absl::DataLossError("snapshot header is damaged");
  ALCOVE_RETURN_IF_ERROR(reader.ReadExactly(&raw.kind, sizeof(raw) - 16));
  if (raw.checksum != Checksum(&raw, offsetof(RawHeader, checksum), kSeed)) {
    return absl::DataLossError("snapshot header is damaged");
  }
  SnapshotHeader header{.kind = static_cast<SnapshotHeader::Kind>(raw.kind),
                        .layout = {.dim = raw.dim,
                                   .metric = static_cast<Metric>(raw.metric),
                                   .codes = static_cast<Storage>(raw.codes),
                                   .vectors = static_cast<Storage>(raw.vectors),
                                   .seed = raw.seed},
                        .max_nodes = raw.max_nodes,
                        .nodes = raw.nodes,
                        .m = raw.m,
                        .ef_construction = raw.ef_construction,
                        .deterministic = raw.deterministic != 0,
                        .entry_node = raw.entry_node,
                        .entry_level = raw.entry_level};
  if ((raw.kind != SnapshotHeader::kFlat && raw.kind != SnapshotHeader::kHnsw) || raw.nodes > raw.max_nodes ||
      raw.max_nodes > kMaxNodes || !CheckDimAndMetric(raw.dim, header.layout.metric).ok()) {
    return absl::DataLossError("snapshot header holds impossible values");
  }
  return header;
}

absl::Status SaveSnapshot(SnapshotHeader header, const NodeStore& store, const RowTable& rows, const Graph* graph,
                          ByteSink& out) {
  CountingSink sink(out);
  const size_t nodes = rows.nodes();
  RawHeader raw{.version = kVersion,
                .bytes = sizeof(RawHeader),
                .kind = header.kind,
                .metric = static_cast<uint8_t>(header.layout.metric),
                .codes = static_cast<uint8_t>(header.layout.codes),
                .vectors = static_cast<uint8_t>(header.layout.vectors),
                .dim = static_cast<uint32_t>(header.layout.dim),
                .m = header.m,
                .ef_construction = header.ef_construction,
                .seed = header.layout.seed,
                .max_nodes = header.max_nodes,
                .nodes = nodes,
                .entry_node = header.entry_node,
                .entry_level = header.entry_level,
                .deterministic = header.deterministic};
  std::memcpy(raw.magic, kMagic, sizeof(kMagic));
  raw.checksum = Checksum(&raw, offsetof(RawHeader, checksum), kSeed);
  ALCOVE_RETURN_IF_ERROR(Append(sink, &raw, sizeof(raw)));

  std::vector<RowId> row_of(nodes);
  std::vector<uint8_t> states(nodes);
  const std::vector<bool> free = rows.FreeNodes();
  for (NodeId node = 0; node < nodes; ++node) {
    row_of[node] = rows.RowOf(node);
    const bool live = rows.IsLive(node) && !free[node];
    states[node] = live ? LinkStore::kAlive : free[node] ? LinkStore::kSwept : LinkStore::kDead;
  }
  ALCOVE_RETURN_IF_ERROR(WriteSection(sink, kRows, 4, row_of.data(), nodes * 4));
  ALCOVE_RETURN_IF_ERROR(WriteSection(sink, kStates, 1, states.data(), nodes));
  for (const NodeStore::Column& column : store.columns()) {
    const auto stride = static_cast<uint32_t>(column.stride);
    ALCOVE_RETURN_IF_ERROR(column.id == kVectors
                               ? WritePagedSection(sink, column.id, stride, column.data, nodes * column.stride)
                               : WriteSection(sink, column.id, stride, column.data, nodes * column.stride));
  }
  if (graph != nullptr) ALCOVE_RETURN_IF_ERROR(SaveLinks(*graph, nodes, sink));
  return WriteSection(sink, kEnd, 1, nullptr, 0);
}

absl::Status LoadSnapshot(const SnapshotHeader& header, NodeStore& store, RowTable& rows, Graph* graph,
                          SnapshotReader& reader) {
  const size_t nodes = header.nodes;
  std::vector<RowId> row_of(nodes);
  std::vector<uint8_t> states(nodes);
  ALCOVE_RETURN_IF_ERROR(ReadSection(reader, kRows, 4, row_of.data(), nodes * 4));
  ALCOVE_RETURN_IF_ERROR(ReadSection(reader, kStates, 1, states.data(), nodes));
  for (RowId row : row_of) {
    if (row > reader.max_bytes() / 4) {
      return absl::ResourceExhaustedError(
          absl::StrCat("snapshot holds row ", row, ", whose table needs more than the limit of memory"));
    }
  }
  ALCOVE_RETURN_IF_ERROR(rows.Restore(row_of, states));
  ALCOVE_RETURN_IF_ERROR(store.Grow(nodes));
  for (const NodeStore::Column& column : store.columns()) {
    const auto stride = static_cast<uint32_t>(column.stride);
    ALCOVE_RETURN_IF_ERROR(column.id == kVectors
                               ? ReadVectors(reader, stride, nodes * column.stride, column.data, store)
                               : ReadSection(reader, column.id, stride, column.data, nodes * column.stride));
  }
  ALCOVE_RETURN_IF_ERROR(CheckNumbers(store, states));
  if (graph != nullptr) ALCOVE_RETURN_IF_ERROR(LoadLinks(header, states, *graph, reader));
  return ReadSection(reader, kEnd, 1, nullptr, 0);
}

absl::StatusOr<std::unique_ptr<VectorIndex>> LoadIndex(ByteSource& source, const LoadOptions& options) {
  SnapshotReader reader(source, options.max_bytes);
  return LoadFrom(reader, options);
}

absl::StatusOr<std::unique_ptr<VectorIndex>> LoadFrom(SnapshotReader& reader, const LoadOptions& options) {
  ALCOVE_ASSIGN_OR_RETURN(const SnapshotHeader header, ReadHeader(reader));
  // At least this much memory a node: half a byte a dimension, and the row tables.
  const uint64_t least = header.nodes * (header.layout.dim / 2 + 13 + uint64_t{header.m} * 8);
  if (least > options.max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("snapshot needs at least ", least, " bytes of memory; the limit is ", options.max_bytes));
  }
  if (header.kind == SnapshotHeader::kFlat) return LoadFlatIndex(header, options, reader);
  return LoadHnswIndex(header, options, reader);
}

}  // namespace alcove::ann
