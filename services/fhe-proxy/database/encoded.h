// A collection, and documents, as plaintext polynomials: what searches and lookups compute on. This is the only place
// that knows how libs/fhe/search wants its blocks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>

#include "libs/common/task_pool.h"
#include "libs/fhe/search/block.h"
#include "libs/private_search/layout.h"
#include "libs/private_search/records.h"
#include "services/fhe-proxy/database/collection_source.h"
#include "services/fhe-proxy/database/row_table.h"
#include "services/fhe-proxy/keys/parameter_sets.h"

namespace alcove::fhe_proxy {

// Rows packed for scoring, with their ids in order.
struct EncodedBlock {
  std::shared_ptr<const fhe::Block> block;
  std::shared_ptr<const std::vector<std::string>> ids;
};

// What every reply's noise must stay within: 2^-64 for a wrong coefficient.
inline constexpr double kMaxFailureLog2 = -64;

// A collection as of one sequence. Immutable; versions share the blocks that did not change.
struct EncodedCollection {
  std::string sequence;  // names exactly this content and packing
  CollectionInfo info;   // heads: the sequences it contains
  const ParameterSet* set = nullptr;
  private_search::Layout layout;
  double row_scale = 0;
  double query_scale = 0;   // a unit query of this scale keeps every score within t / 2
  double max_row_norm = 0;  // of the integer rows
  uint64_t rows = 0;
  std::vector<EncodedBlock> blocks;

  size_t MemoryBytes() const;
  // Bytes of `rows` rows once encoded, without ids.
  static size_t EstimateBytes(const private_search::Layout& layout, uint64_t rows);
};

// Encodes `rows`; blocks of `before` whose rows are not among `changed` are taken over when the layout is the same.
// `info.heads` must be what `rows` contains. RESOURCE_EXHAUSTED when the rows' noise bound does not hold.
absl::StatusOr<std::shared_ptr<const EncodedCollection>> EncodeCollection(const ParameterSet& set, CollectionInfo info,
                                                                          const RowTable& rows,
                                                                          const std::vector<size_t>& changed,
                                                                          const EncodedCollection* before,
                                                                          TaskPool& pool);

// Documents of one collection version. Immutable.
struct EncodedRecords {
  std::string sequence;  // of the collection version whose rows they are
  const ParameterSet* set = nullptr;
  private_search::RecordLayout layout;
  std::vector<std::vector<std::shared_ptr<const fhe::Block>>> blocks;  // [part][piece]

  size_t MemoryBytes() const;
};

// `record(i)` gives the record of row i, of layout.record_bytes() bytes. RESOURCE_EXHAUSTED when so many records are
// beyond the noise bound.
absl::StatusOr<std::shared_ptr<const EncodedRecords>> EncodeRecords(
    const ParameterSet& set, std::string sequence, const private_search::RecordLayout& layout,
    absl::FunctionRef<const std::string&(uint64_t)> record, TaskPool& pool);

// The scale of a query of unit length with which every score stays within t / 2, whatever rounding adds.
double QueryScale(const ParameterSet& set, uint32_t dimension, double max_row_norm);

// Encodes one block: `positions` positions of `selectors` numbers each, position by position.
absl::StatusOr<std::shared_ptr<const fhe::Block>> EncodeBlock(const ParameterSet& set, absl::Span<const int8_t> values,
                                                              size_t positions, size_t selectors);

}  // namespace alcove::fhe_proxy
