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

using private_search::RecordLayout;

// "0:12,1:9@1f0c…": the sequences for people, a digest of everything else a client packs for and unpacks by.
std::string SequenceText(const CollectionInfo& info, const fhe::Layout& layout, const RowTable& rows) {
  std::vector<std::string> shards;
  for (size_t shard = 0; shard < info.heads.size(); ++shard) {
    shards.push_back(absl::StrCat(shard, ":", info.heads[shard]));
  }
  std::string rest =
      absl::StrCat(rows.set().name, "|", info.identity, "|", info.dimension, "|", static_cast<int>(info.metric), "|",
                   absl::Hex(absl::bit_cast<uint64_t>(rows.scale())), "|", layout.levels(), "|", layout.fold());
  // Where a row stands depends on what was there before it.
  for (size_t row = 0; row < rows.slots(); ++row) absl::StrAppend(&rest, "|", rows.id(row).size(), ":", rows.id(row));
  return absl::StrCat(absl::StrJoin(shards, ","), "@", fhe::Blake2bHex(rest).substr(0, 16));
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

double QueryScale(const ParameterSet& set, uint32_t dimension, double max_row_norm) {
  // Rounding lengthens a query by at most sqrt(dimension) / 2; by Cauchy and Schwarz |score| <= |query| |row| then.
  const double room = static_cast<double>(set.parameters.plain_modulus / 2 - 1) / max_row_norm;
  return std::floor(room - std::sqrt(static_cast<double>(dimension)) / 2);
}

size_t EncodedCollection::IdBytes() const {
  size_t bytes = 0;
  for (const auto& block : ids) {
    for (const std::string& id : *block) bytes += sizeof id + (id.size() > 15 ? id.size() + 1 : 0);
  }
  return bytes;
}

absl::StatusOr<std::shared_ptr<const EncodedCollection>> EncodeCollection(CollectionInfo info, RowTable& rows,
                                                                          const EncodedCollection* before,
                                                                          TaskPool& pool) {
  const ParameterSet& set = rows.set();
  auto out = std::make_shared<EncodedCollection>();
  ALCOVE_ASSIGN_OR_RETURN(out->database, rows.Commit(pool));
  out->sequence = SequenceText(info, out->layout(), rows);
  out->info = std::move(info);
  out->set = &set;
  out->rows = rows.size();
  out->clusters = rows.clusters();
  for (size_t c = 0; out->clusters != nullptr && c < out->clusters->size(); ++c) {
    out->cluster_blocks.emplace_back(rows.blocks(c).begin(), rows.blocks(c).end());
  }
  out->row_scale = rows.scale();
  out->max_row_norm = std::sqrt(std::max<double>(1, rows.max_energy()));
  out->query_scale = QueryScale(set, rows.dimension(), out->max_row_norm);
  out->trim = fhe::FreeReplyBits(set.parameters, out->layout(), MaxRowEnergy(set, rows.dimension()));
  for (size_t b = 0; b < out->blocks(); ++b) {
    // Ids change only together with numbers, which makes another block.
    if (before != nullptr && b < before->blocks() && before->database->blocks[b] == out->database->blocks[b]) {
      out->ids.push_back(before->ids[b]);
      continue;
    }
    const size_t first = b * out->layout().rows_per_block();
    const size_t count = out->layout().RowsOf(b, rows.slots());
    auto ids = std::make_shared<std::vector<std::string>>();
    for (size_t r = first; r < first + count && rows.occupied(r); ++r) ids->push_back(rows.id(r));
    out->ids.push_back(std::move(ids));
  }
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
    const ParameterSet& set, std::string sequence, const RecordLayout& layout, absl::string_view seed,
    absl::FunctionRef<const std::string&(uint64_t)> record, TaskPool& pool) {
  auto out = std::make_shared<EncodedRecords>(EncodedRecords{.layout = layout});
  out->sequence = std::move(sequence);
  out->set = &set;
  out->signs = fhe::SignPattern::FromSeed(seed, layout.degree());
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
    ALCOVE_ASSIGN_OR_RETURN(fhe::Block block,
                            fhe::Block::Encode(*set.context, spread, layout.degree(), width, out->signs));
    out->blocks[part][piece] = std::make_shared<const fhe::Block>(std::move(block));
    double sum = 0;
    for (const int8_t v : spread) sum += static_cast<double>(v * v);
    absl::MutexLock lock(&mu);
    energy[piece] += sum;
    return absl::OkStatus();
  }));
  // The bound is stated for the mean over the coefficients.
  const double worst = std::max(1.0, *std::max_element(energy.begin(), energy.end()) / layout.degree());
  // Energy counts whichever parts it is spread over; the expansion is at most one part's.
  const size_t expanded = std::min<size_t>(layout.selectors(), set.max_dimensions);
  const double failure = fhe::BoundSearchNoise(set.parameters, expanded, worst).failure_log2;
  if (failure > fhe::kMaxFailureLog2) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                          "documents of this collection could decrypt wrongly with a probability of 2^",
                          static_cast<int>(failure), " under the parameter set ", set.name,
                          "; at most 2^-64 is allowed. Keys of the set ", OfferedSets()[0].name, " allow for more")),
                      "NOISE_BOUND");
  }
  ALCOVE_ASSIGN_OR_RETURN(const fhe::Layout reply, fhe::Layout::Full(layout.degree(), expanded));
  out->trim = fhe::FreeReplyBits(set.parameters, reply, worst);
  return std::shared_ptr<const EncodedRecords>(std::move(out));
}

}  // namespace alcove::fhe_proxy
