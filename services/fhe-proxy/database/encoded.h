// A collection, and its documents, ready for computation, with what clients need to know of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>

#include "libs/common/task_pool.h"
#include "libs/fhe/search/database.h"
#include "libs/fhe/search/noise.h"
#include "libs/private_search/records.h"
#include "services/fhe-proxy/database/collection_source.h"
#include "services/fhe-proxy/database/row_table.h"
#include "services/fhe-proxy/keys/parameter_sets.h"

namespace alcove::fhe_proxy {

// A collection as of one sequence. Immutable; versions share the blocks, and their ids, that did not change.
struct EncodedCollection {
  std::string sequence;  // names exactly this content and packing
  CollectionInfo info;   // heads: the sequences it contains
  const ParameterSet* set = nullptr;
  std::shared_ptr<const fhe::DatabaseSnapshot> database;
  // Of each block, in the order of its rows; empty rows come last and have none.
  std::vector<std::shared_ptr<const std::vector<std::string>>> ids;
  fhe::TrimBits trim;  // bits of a reply that carry nothing
  double row_scale = 0;
  double query_scale = 0;   // a unit query of this scale keeps every score within t / 2
  double max_row_norm = 0;  // of the integer rows
  uint64_t rows = 0;        // points; the database counts empty rows, too
  // Null when the collection is not cut into clusters.
  std::shared_ptr<const Clusters> clusters;
  std::vector<std::vector<uint32_t>> cluster_blocks;  // of each

  const fhe::Layout& layout() const { return database->layout; }
  const fhe::SignPattern& signs() const { return database->signs; }
  size_t blocks() const { return database->blocks.size(); }
  size_t IdBytes() const;
  // Blocks and ids.
  size_t MemoryBytes() const { return database->MemoryBytes() + IdBytes(); }
};

// Encodes what changed in `rows` since `before`, which was made from the same table (null: ids are not shared).
// `info.heads` must be what `rows` contains.
absl::StatusOr<std::shared_ptr<const EncodedCollection>> EncodeCollection(CollectionInfo info, RowTable& rows,
                                                                          const EncodedCollection* before,
                                                                          TaskPool& pool);

// Documents of one collection version. Immutable.
struct EncodedRecords {
  std::string sequence;  // of the collection version whose rows they are
  const ParameterSet* set = nullptr;
  private_search::RecordLayout layout;
  fhe::SignPattern signs;                                              // of the coefficients of every block
  fhe::TrimBits trim;                                                  // bits of a reply that carry nothing
  std::vector<std::vector<std::shared_ptr<const fhe::Block>>> blocks;  // [part][piece]

  size_t MemoryBytes() const;
};

// `record(i)` gives the record of row i, of layout.record_bytes() bytes. Signs of coefficients are drawn from `seed`,
// which must not depend on the records. RESOURCE_EXHAUSTED (NOISE_BOUND) when so many
// records are beyond the noise bound of the set.
absl::StatusOr<std::shared_ptr<const EncodedRecords>> EncodeRecords(
    const ParameterSet& set, std::string sequence, const private_search::RecordLayout& layout, absl::string_view seed,
    absl::FunctionRef<const std::string&(uint64_t)> record, TaskPool& pool);

// The scale of a query of unit length with which every score stays within t / 2, whatever rounding adds.
double QueryScale(const ParameterSet& set, uint32_t dimension, double max_row_norm);

}  // namespace alcove::fhe_proxy
