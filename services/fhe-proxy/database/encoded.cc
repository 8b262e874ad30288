#include "services/fhe-proxy/database/encoded.h"

#include <algorithm>
#include <cmath>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/synchronization/mutex.h>

#include "libs/common/status.h"
#include "libs/fhe/random/blake2b.h"
#include "libs/fhe/search/expand.h"
#include "libs/fhe/search/noise.h"

namespace alcove::fhe_proxy {
namespace {

using private_search::Layout;
using private_search::RecordLayout;

// "0:12,1:9@1f0c…": the sequences for people, a digest of everything else a client packs for.
std::string SequenceText(const ParameterSet& set, const CollectionInfo& info, const Layout& layout, double scale) {
  std::vector<std::string> shards;
  for (size_t shard = 0; shard < info.heads.size(); ++shard) {
    shards.push_back(absl::StrCat(shard, ":", info.heads[shard]));
  }
  const std::string rest =
      absl::StrCat(set.name, "|", info.identity, "|", info.dimension, "|", static_cast<int>(info.metric), "|",
                   absl::Hex(absl::bit_cast<uint64_t>(scale)), "|", layout.doublings(), "|", layout.chunk());
  return absl::StrCat(absl::StrJoin(shards, ","), "@", fhe::Blake2bHex(rest).substr(0, 16));
}

absl::Status CheckNoise(const ParameterSet& set, size_t selectors, double energy, absl::string_view what) {
  // The rows' energy counts whichever parts they are spread over; the expansion is at most one part's.
  const size_t expanded = std::min<size_t>(selectors, set.max_dimensions);
  const fhe::SearchNoise noise = fhe::BoundSearchNoise(set.parameters, expanded, energy);
  if (noise.failure_log2 <= kMaxFailureLog2) return absl::OkStatus();
  return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                        what, " could decrypt wrongly with a probability of 2^", static_cast<int>(noise.failure_log2),
                        " under the parameter set ", set.name, "; at most 2^-64 is allowed")),
                    "NOISE_BOUND");
}

// Runs `make(i)` for each i on the pool and returns the first error.
absl::Status ForEach(TaskPool& pool, size_t n, absl::FunctionRef<absl::Status(size_t)> make) {
  absl::Mutex mu;
  absl::Status first;
  pool.ParallelFor(n, [&](size_t i) {
    absl::Status status = make(i);
    if (status.ok()) return;
    absl::MutexLock lock(&mu);
    first.Update(status);
  });
  return first;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const fhe::Block>> EncodeBlock(const ParameterSet& set, absl::Span<const int8_t> values,
                                                              size_t positions, size_t selectors) {
  ALCOVE_ASSIGN_OR_RETURN(fhe::Block block, fhe::Block::Encode(*set.context, values, positions, selectors));
  return std::make_shared<const fhe::Block>(std::move(block));
}

double QueryScale(const ParameterSet& set, uint32_t dimension, double max_row_norm) {
  // Rounding lengthens a query by at most sqrt(dimension) / 2; by Cauchy and Schwarz |score| <= |query| |row| then.
  const double room = static_cast<double>(set.parameters.plain_modulus / 2 - 1) / max_row_norm;
  return std::floor(room - std::sqrt(static_cast<double>(dimension)) / 2);
}

size_t EncodedCollection::EstimateBytes(const Layout& layout, uint64_t rows) {
  return layout.Blocks(rows) * size_t{layout.degree()} * layout.selectors() * sizeof(uint64_t);
}

size_t EncodedCollection::MemoryBytes() const {
  size_t bytes = sizeof *this;
  for (const EncodedBlock& block : blocks) {
    bytes += block.block->MemoryBytes();
    for (const std::string& id : *block.ids) bytes += sizeof id + (id.size() > 15 ? id.size() + 1 : 0);
  }
  return bytes;
}

absl::StatusOr<std::shared_ptr<const EncodedCollection>> EncodeCollection(const ParameterSet& set, CollectionInfo info,
                                                                          const RowTable& rows,
                                                                          const std::vector<size_t>& changed,
                                                                          const EncodedCollection* before,
                                                                          TaskPool& pool) {
  const auto degree = static_cast<uint32_t>(set.parameters.degree);
  ALCOVE_ASSIGN_OR_RETURN(
      Layout layout,
      Layout::Choose(degree, info.dimension, static_cast<uint32_t>(set.galois_elements.size()), rows.size()));
  const double energy = std::max<double>(1, rows.max_energy());
  ALCOVE_RETURN_IF_ERROR(CheckNoise(set, layout.selectors(), energy, "scores of this collection"));

  auto out = std::make_shared<EncodedCollection>(EncodedCollection{.layout = layout});
  out->sequence = SequenceText(set, info, layout, rows.scale());
  out->info = std::move(info);
  out->set = &set;
  out->row_scale = rows.scale();
  out->max_row_norm = std::sqrt(energy);
  out->query_scale = QueryScale(set, rows.dimension(), out->max_row_norm);
  out->rows = rows.size();
  out->blocks.resize(layout.Blocks(rows.size()));

  std::vector<bool> stale(out->blocks.size(), true);
  if (before != nullptr && before->layout == layout && before->set == &set) {
    for (size_t b = 0; b < out->blocks.size() && b < before->blocks.size(); ++b) {
      const size_t size = std::min<size_t>(layout.rows_per_block(), rows.size() - b * layout.rows_per_block());
      stale[b] = before->blocks[b].ids->size() != size;
    }
    for (size_t row : changed) {
      if (row / layout.rows_per_block() < stale.size()) stale[row / layout.rows_per_block()] = true;
    }
  }
  ALCOVE_RETURN_IF_ERROR(ForEach(pool, out->blocks.size(), [&](size_t b) -> absl::Status {
    if (!stale[b]) {
      out->blocks[b] = before->blocks[b];
      return absl::OkStatus();
    }
    const size_t first = b * layout.rows_per_block();
    const size_t count = std::min<size_t>(layout.rows_per_block(), rows.size() - first);
    const std::vector<int8_t> spread = layout.Spread(rows.values(first, count), static_cast<uint32_t>(count));
    ALCOVE_ASSIGN_OR_RETURN(out->blocks[b].block, EncodeBlock(set, spread, degree, layout.selectors()));
    auto ids = std::make_shared<std::vector<std::string>>();
    for (size_t r = first; r < first + count; ++r) ids->push_back(rows.id(r));
    out->blocks[b].ids = std::move(ids);
    return absl::OkStatus();
  }));
  return std::shared_ptr<const EncodedCollection>(std::move(out));
}

size_t EncodedRecords::MemoryBytes() const {
  size_t bytes = sizeof *this;
  for (const auto& part : blocks) {
    for (const auto& block : part) bytes += block->MemoryBytes();
  }
  return bytes;
}

absl::StatusOr<std::shared_ptr<const EncodedRecords>> EncodeRecords(
    const ParameterSet& set, std::string sequence, const RecordLayout& layout,
    absl::FunctionRef<const std::string&(uint64_t)> record, TaskPool& pool) {
  auto out = std::make_shared<EncodedRecords>(EncodedRecords{.layout = layout});
  out->sequence = std::move(sequence);
  out->set = &set;
  out->blocks.resize(layout.parts());
  for (auto& part : out->blocks) part.resize(layout.pieces());
  // Squares of all coefficients: what the noise of every coefficient of a reply grows with.
  std::vector<double> energy(layout.pieces());
  absl::Mutex mu;
  ALCOVE_RETURN_IF_ERROR(ForEach(pool, size_t{layout.parts()} * layout.pieces(), [&](size_t i) -> absl::Status {
    const auto part = static_cast<uint32_t>(i / layout.pieces());
    const auto piece = static_cast<uint32_t>(i % layout.pieces());
    const uint32_t width = layout.PartSelectors(part);
    const std::vector<int8_t> spread = layout.Spread(part, piece, record);
    ALCOVE_ASSIGN_OR_RETURN(out->blocks[part][piece], EncodeBlock(set, spread, layout.degree(), width));
    double sum = 0;
    for (const int8_t v : spread) sum += static_cast<double>(v * v);
    absl::MutexLock lock(&mu);
    energy[piece] += sum;
    return absl::OkStatus();
  }));
  // The bound is stated for the mean over the coefficients.
  const double worst = std::max(1.0, *std::max_element(energy.begin(), energy.end()) / layout.degree());
  ALCOVE_RETURN_IF_ERROR(CheckNoise(set, layout.selectors(), worst, "documents of this collection"));
  return std::shared_ptr<const EncodedRecords>(std::move(out));
}

}  // namespace alcove::fhe_proxy
