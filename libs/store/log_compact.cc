// Compaction and removal: the parts of LogStore that delete.

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/store/collection_store.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/log_chunk.h"
#include "libs/store/internal/log_rows.h"
#include "libs/store/internal/text.h"
#include "libs/store/log_append.h"
#include "libs/store/log_store.h"

namespace alcove::store {
namespace {

using internal::Position;
using internal::SequenceOf;
using internal::Stream;
using sql::Blob;
using sql::Connection;
using sql::Int;
using sql::Row;

// Rows one call of DropCollection removes: a few megabytes of small chunks, at most some gigabytes of full ones.
constexpr int64_t kRowsPerDrop = 1000;

// Folds tail chunks into the base, inside one transaction.
class Compaction {
 public:
  Compaction(Connection& c, const Stream& stream, const MergeFunction& merge)
      : c_(c), stream_(stream), merge_(merge), base_sequence_(stream.head.base_sequence) {}

  // Moves whole chunks that end at or below `up_to` until they hold `max_bytes`; at least one if there is one.
  absl::Status Move(Sequence up_to, int64_t max_bytes) {
    const int64_t begin = Position(stream_.id, base_sequence_);
    int64_t end = 0;
    int64_t bytes = 0;
    ALCOVE_RETURN_IF_ERROR(c_.Query(
        "SELECT position, size FROM log_tail WHERE position > $1 AND position <= $2 ORDER BY position LIMIT 4096",
        {Int(begin), Int(Position(stream_.id, up_to))}, [&](const Row& row) {
          bytes += row.Int(1);
          if (end == 0 || bytes <= max_bytes) end = row.Int(0);
          return absl::OkStatus();
        }));
    if (end == 0) return absl::OkStatus();
    ALCOVE_RETURN_IF_ERROR(c_.Query(
        "SELECT position, chunk FROM log_tail WHERE position > $1 AND position <= $2 ORDER BY position",
        {Int(begin), Int(end)}, [&](const Row& row) { return LoadChunk(SequenceOf(row.Int(0)), row.Blob(1)); }));
    for (auto& [key, state] : states_) ALCOVE_RETURN_IF_ERROR(Store(key, state));
    ALCOVE_RETURN_IF_ERROR(
        c_.Execute("DELETE FROM log_tail WHERE position > $1 AND position <= $2", {Int(begin), Int(end)}).status());
    return c_
        .Execute("UPDATE log_streams SET base_sequence = $1 WHERE stream_id = $2",
                 {Int(base_sequence_), Int(stream_.id)})
        .status();
  }

  Sequence base_sequence() const { return base_sequence_; }

 private:
  // What is known of one key. Its bytes are owned: chunks do not outlive their row.
  struct State {
    bool exists = false;
    Sequence sequence = 0;  // of the last record that had an effect, 0 when there is none
    std::string data;
    bool in_base = false;
    bool changed = false;
  };

  absl::Status LoadChunk(Sequence last, const std::string& bytes) {
    absl::StatusOr<std::vector<LogRecord>> records = internal::DecodeChunk(bytes);
    if (!records.ok()) return internal::DamagedAt(stream_.head.address, last, records.status().message());
    Sequence sequence = last - static_cast<Sequence>(records->size());
    if (sequence != base_sequence_) {
      return internal::DamagedAt(stream_.head.address, base_sequence_ + 1, "the next chunk does not follow");
    }
    for (const LogRecord& record : *records) ALCOVE_RETURN_IF_ERROR(Fold(record, ++sequence));
    base_sequence_ = last;
    return absl::OkStatus();
  }

  absl::Status Fold(const LogRecord& record, Sequence sequence) {
    auto [it, is_new] = states_.try_emplace(std::string(record.key));
    State& state = it->second;
    if (is_new) ALCOVE_RETURN_IF_ERROR(LoadBase(it->first, record.kind == RecordKind::kMerge, &state));
    switch (record.kind) {
      case RecordKind::kPut:
        state.exists = true;
        state.data.assign(record.data.data(), record.data.size());
        break;
      case RecordKind::kDelete:
        state.exists = false;
        state.data.assign(record.data.data(), record.data.size());
        break;
      case RecordKind::kMerge: {
        if (!merge_) {
          return absl::InvalidArgumentError(absl::StrCat("the log of ", ToString(stream_.head.address),
                                                         " holds merge records: a merge function is needed"));
        }
        const absl::string_view base = state.data;
        absl::StatusOr<std::optional<std::string>> merged =
            merge_(record.key, state.exists ? &base : nullptr, record.data);
        if (!merged.ok()) {
          return Annotate(merged.status(),
                          absl::StrCat("merging sequence ", sequence, " of ", ToString(stream_.head.address)));
        }
        if (!merged->has_value()) return absl::OkStatus();  // no effect on a key that does not exist
        state.exists = true;
        state.data = **std::move(merged);
        break;
      }
    }
    state.sequence = sequence;
    state.changed = true;
    return absl::OkStatus();
  }

  // The data is only needed when something is merged into it.
  absl::Status LoadBase(absl::string_view key, bool with_data, State* state) {
    const auto take = [&](const Row& row) -> absl::Status {
      state->in_base = true;
      state->sequence = SequenceOf(row.Int(0));
      const RecordKind kind = static_cast<RecordKind>(row.Int(1));
      state->exists = kind == RecordKind::kPut;
      if (!with_data) return absl::OkStatus();
      state->data = row.Blob(3);
      if (internal::RecordChecksum({kind, key, state->data}) != row.Int(2)) {
        return internal::DamagedAt(stream_.head.address, state->sequence, "record checksum does not match");
      }
      return absl::OkStatus();
    };
    static constexpr char kWithData[] =
        "SELECT position, kind, checksum, data FROM log_base WHERE stream_id = $1 AND record_key = $2";
    static constexpr char kWithoutData[] =
        "SELECT position, kind FROM log_base WHERE stream_id = $1 AND record_key = $2";
    return c_.Query(with_data ? kWithData : kWithoutData, {Int(stream_.id), Blob(key)}, take);
  }

  absl::Status Store(const std::string& key, const State& state) {
    if (!state.changed) return absl::OkStatus();
    if (state.in_base) {
      ALCOVE_RETURN_IF_ERROR(
          c_.Execute("DELETE FROM log_base WHERE stream_id = $1 AND record_key = $2", {Int(stream_.id), Blob(key)})
              .status());
    }
    const LogRecord record = {state.exists ? RecordKind::kPut : RecordKind::kDelete, key, state.data};
    return c_
        .Execute(
            "INSERT INTO log_base (position, stream_id, record_key, kind, size, checksum, data) VALUES ($1, $2, "
            "$3, $4, $5, $6, $7)",
            {Int(Position(stream_.id, state.sequence)), Int(stream_.id), Blob(key),
             Int(static_cast<int64_t>(record.kind)), Int(static_cast<int64_t>(key.size() + state.data.size())),
             Int(internal::RecordChecksum(record)), Blob(state.data)})
        .status();
  }

  Connection& c_;
  const Stream& stream_;
  const MergeFunction& merge_;
  Sequence base_sequence_;
  std::map<std::string, State> states_;
};

// Removes at most `*budget` rows of one stream, the stream itself once it is empty.
absl::Status DropStream(Connection& c, int64_t stream_id, int64_t* budget) {
  static constexpr const char* kDeletes[] = {
      "DELETE FROM log_tail WHERE position IN (SELECT position FROM log_tail WHERE position > $1 AND position <= $2 "
      "ORDER BY position LIMIT $3)",
      "DELETE FROM log_base WHERE position IN (SELECT position FROM log_base WHERE position > $1 AND position <= $2 "
      "ORDER BY position LIMIT $3)"};
  for (const char* statement : kDeletes) {
    if (*budget <= 0) return absl::OkStatus();
    ALCOVE_ASSIGN_OR_RETURN(const int64_t removed,
                            c.Execute(statement, {Int(Position(stream_id, 0)),
                                                  Int(Position(stream_id, internal::kMaxSequence)), Int(*budget)}));
    *budget -= removed;
  }
  if (*budget <= 0) return absl::OkStatus();
  ALCOVE_RETURN_IF_ERROR(c.Execute("DELETE FROM log_readers WHERE stream_id = $1", {Int(stream_id)}).status());
  return c.Execute("DELETE FROM log_streams WHERE stream_id = $1", {Int(stream_id)}).status();
}

}  // namespace

absl::StatusOr<CompactResult> LogStore::Compact(const ShardAddress& address, Sequence up_to, int64_t max_bytes,
                                                const MergeFunction& merge) {
  if (max_bytes <= 0) return InvalidField("max_bytes", "must be positive");
  CompactResult result;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(const Stream stream, internal::FindStream(c, address, /*lock=*/true));
    ALCOVE_ASSIGN_OR_RETURN(const bool held, internal::IsHeld(c, stream.id, db_->NowMicros()));
    if (held) {
      result = {stream.head.base_sequence, true};
      return absl::OkStatus();
    }
    const Sequence limit = std::min(up_to, stream.head.head_sequence);
    Compaction compaction(c, stream, merge);
    ALCOVE_RETURN_IF_ERROR(compaction.Move(limit, max_bytes));
    result.base_sequence = compaction.base_sequence();
    // A chunk that reaches past the limit stays whole in the tail: nothing more can be done either.
    result.done = result.base_sequence >= limit || result.base_sequence == stream.head.base_sequence;
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<bool> LogStore::PurgeTombstones(const ShardAddress& address, Sequence up_to, int64_t max_rows) {
  if (max_rows <= 0) return InvalidField("max_rows", "must be positive");
  bool done = false;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    done = true;
    ALCOVE_ASSIGN_OR_RETURN(const Stream stream, internal::FindStream(c, address, /*lock=*/true));
    Sequence floor = std::min(up_to, stream.head.base_sequence);
    if (floor <= stream.head.tombstone_floor) return absl::OkStatus();
    // A resharding that copies this log stands somewhere below: it would not see the deletes.
    bool copied = false;
    ALCOVE_RETURN_IF_ERROR(c.Query(
        "SELECT 1 FROM log_copies l JOIN collections c ON c.id = l.collection_id WHERE l.collection_id = $1 AND "
        "c.epoch = $2 AND l.shard = $3 AND l.copied_sequence < $4",
        {Int(address.collection_id), Int(address.epoch), Int(address.shard), Int(floor)}, [&](const Row&) {
          copied = true;
          return absl::OkStatus();
        }));
    ALCOVE_ASSIGN_OR_RETURN(const bool held, internal::IsHeld(c, stream.id, db_->NowMicros()));
    if (copied || held) return absl::OkStatus();
    int64_t rows = 0;
    int64_t last = 0;
    const int64_t begin = Position(stream.id, stream.head.tombstone_floor);
    ALCOVE_RETURN_IF_ERROR(c.Query(
        "SELECT position FROM log_base WHERE position > $1 AND position <= $2 AND kind = 2 ORDER BY position LIMIT $3",
        {Int(begin), Int(Position(stream.id, floor)), Int(max_rows)}, [&](const Row& row) {
          ++rows;
          last = SequenceOf(row.Int(0));
          return absl::OkStatus();
        }));
    if (rows == max_rows) {
      floor = last;
      done = false;
    }
    ALCOVE_RETURN_IF_ERROR(c.Execute("DELETE FROM log_base WHERE position > $1 AND position <= $2 AND kind = 2",
                                     {Int(begin), Int(Position(stream.id, floor))})
                               .status());
    return c.Execute("UPDATE log_streams SET tombstone_floor = $1 WHERE stream_id = $2", {Int(floor), Int(stream.id)})
        .status();
  }));
  return done;
}

absl::StatusOr<int64_t> LogStore::CountTombstones(const ShardAddress& address, Sequence up_to, int64_t limit) {
  int64_t count = 0;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(const Stream stream, internal::FindStream(c, address, /*lock=*/false));
    const Sequence floor = std::min(up_to, stream.head.base_sequence);
    return c.Query(
        "SELECT COUNT(*) FROM (SELECT position FROM log_base WHERE position > $1 AND position <= $2 AND kind = 2 "
        "LIMIT $3) AS t",
        {Int(Position(stream.id, stream.head.tombstone_floor)), Int(Position(stream.id, floor)), Int(limit)},
        [&](const Row& row) {
          count = row.Int(0);
          return absl::OkStatus();
        });
  }));
  return count;
}

absl::Status LogStore::ReportReader(const ShardAddress& address, absl::string_view reader, Sequence sequence) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("reader", reader));
  return db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(const Stream stream, internal::FindStream(c, address, /*lock=*/false));
    return c
        .Execute(
            "INSERT INTO log_readers (stream_id, reader, sequence, seen_at) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (stream_id, reader) DO UPDATE SET sequence = excluded.sequence, seen_at = "
            "excluded.seen_at",
            {Int(stream.id), sql::Text(reader), Int(sequence), Int(db_->NowMicros())})
        .status();
  });
}

absl::StatusOr<std::optional<Sequence>> LogStore::ReaderHorizon(const ShardAddress& address, absl::Time since) {
  std::optional<Sequence> horizon;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) -> absl::Status {
    horizon.reset();
    ALCOVE_ASSIGN_OR_RETURN(const Stream stream, internal::FindStream(c, address, /*lock=*/false));
    return c.Query("SELECT sequence FROM log_readers WHERE stream_id = $1 AND seen_at >= $2 ORDER BY sequence LIMIT 1",
                   {Int(stream.id), Int(internal::ToMicros(since))}, [&](const Row& row) {
                     horizon = row.Int(0);
                     return absl::OkStatus();
                   });
  }));
  return horizon;
}

absl::StatusOr<bool> LogStore::DropCollection(CollectionId collection_id) {
  bool gone = false;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    gone = false;
    int64_t state = 0;
    ALCOVE_RETURN_IF_ERROR(
        c.Query("SELECT state FROM collections WHERE id = $1 {FOR UPDATE}", {Int(collection_id)}, [&](const Row& row) {
          state = row.Int(0);
          return absl::OkStatus();
        }));
    if (state == 0) {
      gone = true;
      return absl::OkStatus();
    }
    if (state != static_cast<int64_t>(CollectionState::kDropping)) {
      return absl::FailedPreconditionError(
          absl::StrCat("collection #", collection_id, " is active: delete it from the catalog first"));
    }
    std::vector<int64_t> streams;
    ALCOVE_RETURN_IF_ERROR(c.Query("SELECT stream_id FROM log_streams WHERE collection_id = $1 ORDER BY stream_id",
                                   {Int(collection_id)}, [&](const Row& row) {
                                     streams.push_back(row.Int(0));
                                     return absl::OkStatus();
                                   }));
    int64_t budget = kRowsPerDrop;
    for (const int64_t stream : streams) {
      ALCOVE_RETURN_IF_ERROR(DropStream(c, stream, &budget));
      if (budget <= 0) return absl::OkStatus();
    }
    ALCOVE_RETURN_IF_ERROR(
        c.Execute("DELETE FROM log_requests WHERE collection_id = $1", {Int(collection_id)}).status());
    ALCOVE_RETURN_IF_ERROR(c.Execute("DELETE FROM log_copies WHERE collection_id = $1", {Int(collection_id)}).status());
    ALCOVE_RETURN_IF_ERROR(c.Execute("DELETE FROM collections WHERE id = $1", {Int(collection_id)}).status());
    gone = true;
    return c.Execute("UPDATE counters SET value = value + 1 WHERE name = 'catalog'", {}).status();
  }));
  return gone;
}

absl::StatusOr<bool> LogStore::DropEpoch(CollectionId collection_id, int64_t epoch) {
  bool gone = false;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    gone = false;
    bool in_use = false;
    ALCOVE_RETURN_IF_ERROR(c.Query("SELECT epoch, next_epoch FROM collections WHERE id = $1 AND state = 1 {FOR UPDATE}",
                                   {Int(collection_id)}, [&](const Row& row) {
                                     in_use = row.Int(0) == epoch || row.Int(1) == epoch;
                                     return absl::OkStatus();
                                   }));
    if (in_use) {
      return absl::FailedPreconditionError(
          absl::StrCat("epoch ", epoch, " of collection #", collection_id, " is in use"));
    }
    std::vector<int64_t> streams;
    ALCOVE_RETURN_IF_ERROR(
        c.Query("SELECT stream_id FROM log_streams WHERE collection_id = $1 AND epoch = $2 ORDER BY stream_id",
                {Int(collection_id), Int(epoch)}, [&](const Row& row) {
                  streams.push_back(row.Int(0));
                  return absl::OkStatus();
                }));
    int64_t budget = kRowsPerDrop;
    for (const int64_t stream : streams) {
      ALCOVE_RETURN_IF_ERROR(DropStream(c, stream, &budget));
      if (budget <= 0) return absl::OkStatus();
    }
    gone = true;
    return absl::OkStatus();
  }));
  return gone;
}

}  // namespace alcove::store
