#include "libs/store/log_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/log_rows.h"
#include "libs/store/log_append.h"
#include "libs/store/log_reader.h"

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

absl::StatusOr<bool> IsHeld(sql::Connection& c, int64_t stream_id, int64_t now_us) {
  bool held = false;
  ALCOVE_RETURN_IF_ERROR(
      c.Query("SELECT 1 FROM log_readers WHERE stream_id = $1 AND reader >= 'backup-' AND reader < 'backup.' AND "
              "seen_at >= $2",
              {Int(stream_id), Int(now_us - absl::ToInt64Microseconds(kBackupHoldExpiry))}, [&](const Row&) {
                held = true;
                return absl::OkStatus();
              }));
  return held;
}

absl::Status DamagedAt(const ShardAddress& address, Sequence sequence, absl::string_view what) {
  return absl::DataLossError(absl::StrCat("log of ", ToString(address), " is damaged at sequence ", sequence, ": ",
                                          what, "; restore the database from a backup"));
}

}  // namespace internal

namespace {

using internal::Stream;
using sql::Connection;
using sql::Int;
using sql::Row;

// Looks in vain at the poll interval, and how much longer the pauses are after them. Who appends tells the processes it
// knows (HintAppended); looking is for the others.
constexpr int kQuietLooks = 200;
constexpr int kQuietFactor = 8;

}  // namespace

LogStore::LogStore(Database* db) : db_(db), group_(std::make_unique<GroupCommit>(db)) {}
LogStore::~LogStore() = default;

absl::StatusOr<AppendResult> LogStore::Append(const AppendRequest& request) { return group_->Append(request); }

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

    for (int looks = 0;; ++looks) {
      const absl::Time now = db_->clock().Now();
      if (now >= deadline) return WaitResult::kDeadline;
      const absl::Duration pause = db_->driver().poll_interval() * (looks < kQuietLooks ? 1 : kQuietFactor);
      const bool told = db_->changes().AwaitNews(mark, std::min(deadline, now + pause));
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
