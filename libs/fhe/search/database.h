// An encoded collection: rows of signed bytes that can be set and cleared one by one, published as immutable snapshots
// of blocks for scoring, saved to a file and loaded again.
//
// The same structure serves three questions; only what is a row and what is a dimension differs:
//   search          rows are vectors; the query is the vector asked for; a reply holds every row's inner product
//   linear scoring  rows are the weights of a class; the query is the vector to be judged
//   lookup by id    dimension d is record d, row r is byte r of every record (LookupRows); the query is 1 at the wanted
//                   record and 0 elsewhere; a reply holds that record's bytes
//
// The rows themselves are kept beside the blocks (one byte a number against eight in a block), so that changing a row
// re-encodes its block without asking anybody, and a file holds rows only: an eighth of the memory, checked and
// re-encoded while loading at about the speed of a disk.
//
// Thread safety: any thread may call snapshot() at any time and keep what it returns; all other members are for one
// writer at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/search/block.h"
#include "libs/fhe/search/noise.h"

namespace alcove::fhe {

struct DatabaseOptions {
  // Which doublings, how many rows a block (search/layout.h).
  Layout layout;
  // The largest sum of squares of a row's numbers: S * S for unit vectors quantised with scale S, a little more for
  // rounding. Together with the parameters it bounds the noise; Create refuses what could decrypt wrongly with a
  // probability of 2^-64 or more a reply.
  double max_row_energy = 0;
  // Drawn before there are rows. Without them the bound holds only for rows that do not resemble each other
  // (search/signs.h); whoever decodes scores needs the same.
  SignPattern signs;
};

// What scoring works on; never changes once published.
struct DatabaseSnapshot {
  Layout layout;
  SignPattern signs;
  size_t rows = 0;        // row r is row r % rows_per_block of block r / rows_per_block
  uint64_t sequence = 0;  // what the writer passed to Commit
  std::vector<std::shared_ptr<const Block>> blocks;

  // The blocks as ScoringJob wants them.
  std::vector<const Block*> Pointers() const;
  size_t MemoryBytes() const;
};

class Database {
 public:
  // INVALID_ARGUMENT (a Fault where it is about the parameters) when layout and context do not go together or the noise
  // bound does not hold.
  static absl::StatusOr<std::unique_ptr<Database>> Create(std::shared_ptr<const Context> context,
                                                          const DatabaseOptions& options);

  const DatabaseOptions& options() const { return options_; }
  const Layout& layout() const { return options_.layout; }
  const Context& context() const { return *context_; }
  // Rows including those set since the last Commit.
  size_t rows() const { return rows_; }

  // Row `row` := values, layout.dimensions() numbers; rows between the present end and it become zero rows. Seen by
  // scoring after Commit. OUT_OF_RANGE when the row's energy is above the bound or it lies beyond kMaxDatabaseRows;
  // nothing has changed then.
  absl::Status Set(size_t row, absl::Span<const int8_t> values);
  // Makes it a zero row, which scores 0 always. OUT_OF_RANGE beyond the end.
  absl::Status Clear(size_t row);
  // The numbers of a row as last set.
  absl::Span<const int8_t> Row(size_t row) const;
  // Drops rows from `rows` on.
  void Truncate(size_t rows);
  // Packs the rows another way from the next Commit on, which then encodes all of them: for a collection that has
  // outgrown its layout. INVALID_ARGUMENT, and nothing has changed, when the layout has other dimensions or would not
  // have been taken by Create.
  absl::Status SetLayout(const Layout& layout);

  // Calls its second argument for each of 0 … n-1, in any order, on any threads; returns when all have returned.
  using ForEach = absl::FunctionRef<void(size_t n, absl::FunctionRef<void(size_t)> body)>;

  // Encodes the blocks that changed (about 3 ms each at 384 dimensions), `for_each` of them in whatever way it likes,
  // and publishes them as one snapshot with `sequence`, the log position the rows stand for. On an error (memory) the
  // previous snapshot stays and the next Commit tries again.
  absl::Status Commit(uint64_t sequence, ForEach for_each);
  // One block after another.
  absl::Status Commit(uint64_t sequence);
  // The last published state; never null.
  std::shared_ptr<const DatabaseSnapshot> snapshot() const;

  // Bytes of rows and of the current snapshot's blocks. Older snapshots live as long as somebody holds them.
  size_t MemoryBytes() const;
  // Bytes of the rows alone.
  size_t RowBytes() const { return values_.capacity(); }
  // Bytes a snapshot of `rows` rows would take.
  static size_t EstimateBytes(const Layout& layout, size_t rows) {
    return layout.Blocks(rows) * layout.degree() * layout.polynomials() * sizeof(uint64_t);
  }

  // The committed rows as bytes (search/README.md has the format). Rows set but not committed are not included, so that
  // sequence and rows always agree; FAILED_PRECONDITION when there are any.
  absl::StatusOr<std::string> Serialise() const;
  // Writes Serialise() to `path` by way of a temporary file, synced before it takes the name.
  absl::Status Save(const std::string& path) const;
  // Reads what Serialise wrote under the same parameters and commits it. DATA_LOSS when the bytes are damaged or cut
  // short; FAILED_PRECONDITION when they were written under other parameters or by a newer version.
  static absl::StatusOr<std::unique_ptr<Database>> Parse(std::shared_ptr<const Context> context,
                                                         absl::string_view bytes);
  static absl::StatusOr<std::unique_ptr<Database>> Load(std::shared_ptr<const Context> context,
                                                        const std::string& path);

 private:
  Database(std::shared_ptr<const Context> context, const DatabaseOptions& options);
  static absl::StatusOr<std::unique_ptr<Database>> ParseRows(std::shared_ptr<const Context> context,
                                                             absl::string_view bytes, uint64_t& sequence);
  static absl::Status Check(const Context& context, const DatabaseOptions& options);
  void Touch(size_t row);

  const std::shared_ptr<const Context> context_;
  DatabaseOptions options_;
  size_t rows_ = 0;
  std::vector<int8_t> values_;  // [rows_][dimensions]
  std::vector<bool> changed_;   // per block
  mutable absl::Mutex mutex_;
  std::shared_ptr<const DatabaseSnapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
};

inline constexpr size_t kMaxDatabaseRows = size_t{1} << 30;

// Records as the rows of a lookup: row r holds byte r of every record, as a signed number; shorter records end in
// zeros. Every row has records.size() numbers. Energy of a row: at most 128 * 128 * records.size().
std::vector<std::vector<int8_t>> LookupRows(absl::Span<const std::string> records);

}  // namespace alcove::fhe
