#include "libs/store/log_reader.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/store/internal/log_chunk.h"

namespace alcove::store {
namespace {

using internal::DamagedAt;
using internal::Position;
using internal::SequenceOf;
using sql::Connection;
using sql::Int;
using sql::Row;

constexpr int64_t kRowsPerRead = 4096;

// How far one read may go.
struct ReadPlan {
  int64_t end = 0;        // position of the last row that fits (at least one row), 0 if there is none
  bool complete = false;  // no row of the range lies behind `end`
};

absl::StatusOr<ReadPlan> PlanRead(Connection& c, const char* statement, int64_t after, int64_t last, int64_t* budget) {
  ReadPlan plan;
  int64_t rows = 0;
  bool full = false;
  ALCOVE_RETURN_IF_ERROR(c.Query(statement, {Int(after), Int(last), Int(kRowsPerRead)}, [&](const Row& row) {
    const int64_t size = row.Int(1);
    ++rows;
    full = full || (plan.end != 0 && size > *budget);
    if (!full) {
      *budget -= size;
      plan.end = row.Int(0);
    }
    return absl::OkStatus();
  }));
  plan.complete = !full && rows < kRowsPerRead;
  return plan;
}

}  // namespace

absl::Status LogStore::Reader::Read(const ReadPosition& from, int64_t max_bytes) {
  ALCOVE_ASSIGN_OR_RETURN(stream_, internal::FindStream(c_, address_, /*lock=*/false));
  page_->head_ = stream_.head;
  ALCOVE_RETURN_IF_ERROR(CheckPosition(from));
  after_ = from.after_sequence;
  budget_ = max_bytes;
  if (after_ < stream_.head.base_sequence) ALCOVE_RETURN_IF_ERROR(ReadBase());
  // What is left of the base goes first: the tail only follows a base read to its end.
  if (after_ >= stream_.head.base_sequence && budget_ > 0) ALCOVE_RETURN_IF_ERROR(ReadTail());
  page_->at_end_ = after_ >= stream_.head.head_sequence;
  return absl::OkStatus();
}

absl::Status LogStore::Reader::CheckPosition(const ReadPosition& from) const {
  const ShardHead& head = stream_.head;
  if (from.after_sequence < 0) return InvalidField("after_sequence", "must not be negative");
  if (from.after_sequence > head.head_sequence) {
    return absl::DataLossError(absl::StrCat("a reader has sequence ", from.after_sequence, " of ", ToString(address_),
                                            ", but the log ends at ", head.head_sequence,
                                            ": the database was restored from an older state"));
  }
  const bool began_here = from.tombstone_floor.has_value() && *from.tombstone_floor == head.tombstone_floor;
  if (from.after_sequence > 0 && from.after_sequence < head.tombstone_floor && !began_here) {
    return absl::OutOfRangeError(absl::StrCat("the log of ", ToString(address_), " has forgotten deletes up to ",
                                              head.tombstone_floor, "; a reader at ", from.after_sequence,
                                              " must begin again from 0"));
  }
  return absl::OkStatus();
}

absl::Status LogStore::Reader::ReadBase() {
  const int64_t last = Position(stream_.id, stream_.head.base_sequence);
  ALCOVE_ASSIGN_OR_RETURN(
      const ReadPlan plan,
      PlanRead(c_,
               "SELECT position, size FROM log_base WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3",
               Position(stream_.id, after_), last, &budget_));
  if (plan.end != 0) {
    ALCOVE_RETURN_IF_ERROR(c_.Query(
        "SELECT position, kind, record_key, checksum, data FROM log_base WHERE position > $1 AND position <= $2 "
        "ORDER BY position",
        {Int(Position(stream_.id, after_)), Int(plan.end)}, [&](const Row& row) { return TakeBaseRow(row); }));
  }
  after_ = plan.complete ? stream_.head.base_sequence : SequenceOf(plan.end);
  return absl::OkStatus();
}

absl::Status LogStore::Reader::TakeBaseRow(const Row& row) {
  const Sequence sequence = SequenceOf(row.Int(0));
  std::string bytes = row.Blob(2);
  const size_t key_size = bytes.size();
  bytes += row.Blob(4);
  const std::string& owned = *page_->buffers_.emplace_back(std::make_unique<std::string>(std::move(bytes)));
  const LogRecord record = {static_cast<RecordKind>(row.Int(1)), absl::string_view(owned).substr(0, key_size),
                            absl::string_view(owned).substr(key_size)};
  if (internal::RecordChecksum(record) != row.Int(3)) {
    return DamagedAt(address_, sequence, "record checksum does not match");
  }
  page_->records_.push_back({sequence, record.kind, record.key, record.data});
  return absl::OkStatus();
}

absl::Status LogStore::Reader::ReadTail() {
  if (after_ == stream_.head.head_sequence) return absl::OkStatus();
  const int64_t last = Position(stream_.id, stream_.head.head_sequence);
  ALCOVE_ASSIGN_OR_RETURN(
      const ReadPlan plan,
      PlanRead(c_,
               "SELECT position, size FROM log_tail WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3",
               Position(stream_.id, after_), last, &budget_));
  if (plan.end == 0) {
    return DamagedAt(address_, after_ + 1,
                     absl::StrCat("nothing follows, though the head is ", stream_.head.head_sequence));
  }
  return c_.Query("SELECT position, chunk FROM log_tail WHERE position > $1 AND position <= $2 ORDER BY position",
                  {Int(Position(stream_.id, after_)), Int(plan.end)}, [&](const Row& row) { return TakeChunk(row); });
}

absl::Status LogStore::Reader::TakeChunk(const Row& row) {
  const Sequence last = SequenceOf(row.Int(0));
  const std::string& owned = *page_->buffers_.emplace_back(std::make_unique<std::string>(row.Blob(1)));
  absl::StatusOr<std::vector<LogRecord>> records = internal::DecodeChunk(owned);
  if (!records.ok()) return DamagedAt(address_, last, records.status().message());
  Sequence sequence = last - static_cast<Sequence>(records->size()) + 1;
  // Only the first chunk may begin before the reader's position.
  const bool first = !tail_begun_;
  tail_begun_ = true;
  if (sequence > after_ + 1 || (sequence <= after_ && !first)) {
    return DamagedAt(address_, after_ + 1, absl::StrCat("the next chunk holds ", sequence, " to ", last));
  }
  for (const LogRecord& record : *records) {
    if (sequence > after_) page_->records_.push_back({sequence, record.kind, record.key, record.data});
    ++sequence;
  }
  after_ = last;
  return absl::OkStatus();
}

}  // namespace alcove::store
