#include "libs/store/log_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/log_chunk.h"
#include "libs/store/internal/log_rows.h"
#include "libs/store/log_append.h"

namespace alcove::store {
namespace internal {

using sql::Int;
using sql::Row;

absl::StatusOr<Stream> FindStream(sql::Connection& c, const ShardAddress& address, bool lock) {
  Stream stream;
  const auto take = [&](const Row& row) {
    stream.id = row.Int(0);
    stream.head = {address, row.Int(1), row.Int(2), row.Int(3)};
    return absl::OkStatus();
  };
  static constexpr char kFindAndLock[] =
      "SELECT stream_id, head_sequence, base_sequence, tombstone_floor FROM log_streams "
      "WHERE collection_id = $1 AND epoch = $2 AND shard = $3 {FOR UPDATE}";
  static constexpr char kJustFind[] =
      "SELECT stream_id, head_sequence, base_sequence, tombstone_floor FROM log_streams "
      "WHERE collection_id = $1 AND epoch = $2 AND shard = $3";
  ALCOVE_RETURN_IF_ERROR(c.Query(lock ? kFindAndLock : kJustFind,
                                 {Int(address.collection_id), Int(address.epoch), Int(address.shard)}, take));
  if (stream.id == 0) return NotFound("shard log", ToString(address));
  return stream;
}

absl::Status DamagedAt(const ShardAddress& address, Sequence sequence, absl::string_view what) {
  return absl::DataLossError(absl::StrCat("log of ", ToString(address), " is damaged at sequence ", sequence, ": ",
                                          what, "; restore the database from a backup"));
}

}  // namespace internal

namespace {

using internal::DamagedAt;
using internal::Position;
using internal::SequenceOf;
using internal::Stream;
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

LogStore::LogStore(Database* db) : db_(db), group_(std::make_unique<GroupCommit>(db)) {}
LogStore::~LogStore() = default;

absl::StatusOr<AppendResult> LogStore::Append(const AppendRequest& request) { return group_->Append(request); }

// Reads one page inside a transaction.
class LogStore::Reader {
 public:
  Reader(Connection& c, const ShardAddress& address, LogPage* page) : c_(c), address_(address), page_(page) {}

  absl::Status Read(const ReadPosition& from, int64_t max_bytes) {
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

 private:
  absl::Status CheckPosition(const ReadPosition& from) const {
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

  absl::Status ReadBase() {
    const int64_t last = Position(stream_.id, stream_.head.base_sequence);
    ALCOVE_ASSIGN_OR_RETURN(
        const ReadPlan plan,
        PlanRead(
            c_, "SELECT position, size FROM log_base WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3",
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

  absl::Status TakeBaseRow(const Row& row) {
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

  absl::Status ReadTail() {
    if (after_ == stream_.head.head_sequence) return absl::OkStatus();
    const int64_t last = Position(stream_.id, stream_.head.head_sequence);
    ALCOVE_ASSIGN_OR_RETURN(
        const ReadPlan plan,
        PlanRead(
            c_, "SELECT position, size FROM log_tail WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3",
            Position(stream_.id, after_), last, &budget_));
    if (plan.end == 0) {
      return DamagedAt(address_, after_ + 1,
                       absl::StrCat("nothing follows, though the head is ", stream_.head.head_sequence));
    }
    return c_.Query("SELECT position, chunk FROM log_tail WHERE position > $1 AND position <= $2 ORDER BY position",
                    {Int(Position(stream_.id, after_)), Int(plan.end)}, [&](const Row& row) { return TakeChunk(row); });
  }

  absl::Status TakeChunk(const Row& row) {
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

  Connection& c_;
  const ShardAddress& address_;
  LogPage* const page_;
  Stream stream_;
  Sequence after_ = 0;
  int64_t budget_ = 0;
  bool tail_begun_ = false;
};

absl::StatusOr<LogPage> LogStore::ReadFrom(const ShardAddress& address, const ReadPosition& position,
                                           int64_t max_bytes) {
  if (max_bytes <= 0) return InvalidField("max_bytes", "must be positive");
  LogPage page;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    page = LogPage();
    return Reader(c, address, &page).Read(position, max_bytes);
  }));
  return page;
}

absl::StatusOr<ShardHead> LogStore::Head(const ShardAddress& address) {
  Stream stream;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(stream, internal::FindStream(c, address, /*lock=*/false));
    return absl::OkStatus();
  }));
  return stream.head;
}

namespace {

ShardHead HeadFromRow(const Row& row) {
  return {{row.Int(0), row.Int(1), static_cast<int32_t>(row.Int(2))}, row.Int(3), row.Int(4), row.Int(5)};
}

}  // namespace

absl::StatusOr<std::vector<ShardHead>> LogStore::Heads(CollectionId collection_id) {
  std::vector<ShardHead> heads;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    heads.clear();
    return c.Query(
        "SELECT collection_id, epoch, shard, head_sequence, base_sequence, tombstone_floor FROM log_streams "
        "WHERE collection_id = $1 ORDER BY collection_id, epoch, shard",
        {Int(collection_id)}, [&](const Row& row) {
          heads.push_back(HeadFromRow(row));
          return absl::OkStatus();
        });
  }));
  return heads;
}

absl::StatusOr<std::vector<ShardHead>> LogStore::AllHeads() {
  std::vector<ShardHead> heads;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    heads.clear();
    return c.Query(
        "SELECT collection_id, epoch, shard, head_sequence, base_sequence, tombstone_floor FROM log_streams "
        "ORDER BY collection_id, epoch, shard",
        {}, [&](const Row& row) {
          heads.push_back(HeadFromRow(row));
          return absl::OkStatus();
        });
  }));
  return heads;
}

absl::StatusOr<WaitResult> LogStore::WaitForAppend(absl::Span<const ShardPosition> positions, absl::Time deadline,
                                                   const std::atomic<bool>* cancelled) {
  if (positions.empty()) return InvalidField("positions", "must not be empty");
  const internal::ChangeHub::Mark entered = db_->changes().Now();
  if (cancelled != nullptr && cancelled->load()) return WaitResult::kWoken;
  while (true) {
    const internal::ChangeHub::Mark mark = db_->changes().Now();
    // The marker is read before the heads: a commit between the two is seen by the heads, one after by the marker.
    ALCOVE_RETURN_IF_ERROR(db_->PollAppends());
    bool news = false;
    ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) -> absl::Status {
      news = false;
      for (const ShardPosition& position : positions) {
        ALCOVE_ASSIGN_OR_RETURN(const Stream stream, internal::FindStream(c, position.address, /*lock=*/false));
        news = news || stream.head.head_sequence > position.after_sequence;
      }
      return absl::OkStatus();
    }));
    if (news) return WaitResult::kNews;

    while (true) {
      const absl::Time now = db_->clock().Now();
      if (now >= deadline) return WaitResult::kDeadline;
      const bool told = db_->changes().AwaitNews(mark, std::min(deadline, now + db_->driver().poll_interval()));
      if (db_->changes().WokenSince(entered)) return WaitResult::kWoken;
      if (told) break;
      ALCOVE_RETURN_IF_ERROR(db_->PollAppends());
      // Notifications can be lost with the connection that listens for them: then only the heads tell.
      if (db_->engine() == Engine::kPostgres) break;
    }
  }
}

void LogStore::HintAppended() { db_->changes().Changed(); }
void LogStore::WakeWaiters() { db_->changes().Wake(); }

}  // namespace alcove::store
