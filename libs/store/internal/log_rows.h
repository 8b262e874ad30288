#pragma once

// The rows behind LogStore that several of its files use.

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/store/log_store.h"
#include "libs/store/sql/connection.h"

namespace alcove::store::internal {

// Key of a record or chunk: the stream in the high bits, the sequence in the low 40. That is room for 8 million
// streams over the life of a database and 10^12 records in each.
inline constexpr int kSequenceBits = 40;
inline constexpr Sequence kMaxSequence = (int64_t{1} << kSequenceBits) - 1;
inline constexpr int64_t Position(int64_t stream_id, Sequence sequence) {
  return (stream_id << kSequenceBits) | sequence;
}
inline constexpr Sequence SequenceOf(int64_t position) { return position & kMaxSequence; }

// A row of log_streams.
struct Stream {
  int64_t id = 0;
  ShardHead head;
};

// A backup that is under way is a reader of this name, until so long after it was last heard of.
inline constexpr char kBackupHoldPrefix[] = "backup-";
inline constexpr absl::Duration kBackupHoldExpiry = absl::Minutes(10);
// Whether a backup reads the stream, whose row is locked: it must not be compacted.
absl::StatusOr<bool> IsHeld(sql::Connection& c, int64_t stream_id, int64_t now_us);

// NOT_FOUND names the address. With `lock`, the row stays locked until the transaction ends.
absl::StatusOr<Stream> FindStream(sql::Connection& c, const ShardAddress& address, bool lock);

absl::Status DamagedAt(const ShardAddress& address, Sequence sequence, absl::string_view what);

}  // namespace alcove::store::internal
