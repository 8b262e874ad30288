// Resharding: the records of a collection's shards, copied into the logs of its next placement.

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/store/collection_store.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/log_chunk.h"
#include "libs/store/internal/log_rows.h"
#include "libs/store/log_append.h"
#include "libs/store/log_reader.h"

namespace alcove::store {
namespace {

using internal::Position;
using internal::Stream;
using sql::Blob;
using sql::Connection;
using sql::Int;
using sql::Row;
using sql::Text;

// What is to be copied, as one transaction sees it.
struct CopyState {
  Placement from, to;
  std::map<int32_t, Sequence> copied;  // [shard of `from`]
};

absl::StatusOr<CopyState> LoadState(Connection& c, CollectionId id, const char* statement) {
  CopyState state;
  bool found = false;
  ALCOVE_RETURN_IF_ERROR(c.Query(statement, {Int(id)}, [&](const Row& row) {
    found = true;
    state.from = {static_cast<int32_t>(row.Int(0)), row.Int(1)};
    state.to = {static_cast<int32_t>(row.Int(2)), row.Int(3)};
    return absl::OkStatus();
  }));
  if (!found) return NotFound("collection", absl::StrCat("#", id));
  if (state.to.epoch == 0) {
    return absl::FailedPreconditionError(absl::StrCat("collection #", id, " is not being resharded"));
  }
  ALCOVE_RETURN_IF_ERROR(
      c.Query("SELECT shard, copied_sequence FROM log_copies WHERE collection_id = $1 ORDER BY shard", {Int(id)},
              [&](const Row& row) {
                state.copied[static_cast<int32_t>(row.Int(0))] = row.Int(1);
                return absl::OkStatus();
              }));
  if (state.copied.size() != static_cast<size_t>(state.from.shard_count)) {
    return absl::InternalError(absl::StrCat("the resharding of collection #", id, " does not know its shards"));
  }
  return state;
}

constexpr char kForShare[] =
    "SELECT shard_count, epoch, next_shard_count, next_epoch FROM collections WHERE id = $1 AND state = 1 {FOR SHARE}";
constexpr char kForUpdate[] =
    "SELECT shard_count, epoch, next_shard_count, next_epoch FROM collections WHERE id = $1 AND state = 1 {FOR UPDATE}";
constexpr char kJustRead[] =
    "SELECT shard_count, epoch, next_shard_count, next_epoch FROM collections WHERE id = $1 AND state = 1";

// Appends records to a stream whose row is locked.
absl::Status AppendTo(Connection& c, Stream& stream, absl::Span<const LogRecord> records) {
  if (records.empty()) return absl::OkStatus();
  for (const internal::Chunk& chunk : internal::EncodeChunks(records)) {
    if (stream.head.head_sequence > internal::kMaxSequence - chunk.count) {
      return absl::ResourceExhaustedError(absl::StrCat(ToString(stream.head.address), " has no sequences left"));
    }
    stream.head.head_sequence += chunk.count;
    ALCOVE_RETURN_IF_ERROR(c.Execute("INSERT INTO log_tail (position, size, chunk) VALUES ($1, $2, $3)",
                                     {Int(Position(stream.id, stream.head.head_sequence)),
                                      Int(static_cast<int64_t>(chunk.bytes.size())), Blob(chunk.bytes)})
                               .status());
  }
  return c
      .Execute("UPDATE log_streams SET head_sequence = $1 WHERE stream_id = $2",
               {Int(stream.head.head_sequence), Int(stream.id)})
      .status();
}

}  // namespace

// The statements of one step. Locks are taken in the global order: the collection, then streams by address, and the
// epochs of a collection grow.
class LogStore::Resharding {
 public:
  Resharding(Connection& c, CollectionId id, const PlacementFunction& placement)
      : c_(c), id_(id), placement_(placement) {}

  absl::Status Load(const char* statement) {
    ALCOVE_ASSIGN_OR_RETURN(state_, LoadState(c_, id_, statement));
    return absl::OkStatus();
  }

  // Locks what is needed to copy `shards` of the former placement.
  absl::Status Lock(const std::vector<int32_t>& shards) {
    for (const int32_t shard : shards) {
      ALCOVE_ASSIGN_OR_RETURN(sources_[shard],
                              internal::FindStream(c_, {id_, state_.from.epoch, shard}, /*lock=*/true));
    }
    for (int32_t shard = 0; shard < state_.to.shard_count; ++shard) {
      ALCOVE_ASSIGN_OR_RETURN(Stream stream, internal::FindStream(c_, {id_, state_.to.epoch, shard}, /*lock=*/true));
      targets_.push_back(std::move(stream));
    }
    return absl::OkStatus();
  }

  // Copies one page of a locked shard; returns about how many bytes that were.
  absl::StatusOr<int64_t> CopyPage(int32_t shard, int64_t max_bytes) {
    const Stream& source = sources_.at(shard);
    Sequence& copied = state_.copied.at(shard);
    LogPage page;
    // Deletes are not purged past a copy, so its position is as good as one that began after the last purge.
    const ReadPosition position{copied, source.head.tombstone_floor};
    ALCOVE_RETURN_IF_ERROR(Reader(c_, source.head.address, &page).Read(position, max_bytes));
    std::vector<std::vector<LogRecord>> by_shard(targets_.size());
    int64_t bytes = 0;
    for (const StoredRecord& record : page.records()) {
      const int32_t target = placement_(record.key, state_.to.shard_count);
      if (target < 0 || target >= state_.to.shard_count) {
        return absl::InternalError(absl::StrCat("a key was placed on shard ", target));
      }
      by_shard[static_cast<size_t>(target)].push_back({record.kind, record.key, record.data});
      bytes += static_cast<int64_t>(record.key.size() + record.data.size());
    }
    for (size_t i = 0; i < by_shard.size(); ++i) ALCOVE_RETURN_IF_ERROR(AppendTo(c_, targets_[i], by_shard[i]));
    copied = page.at_end() ? source.head.head_sequence : page.records().back().sequence;
    ALCOVE_RETURN_IF_ERROR(
        c_.Execute("UPDATE log_copies SET copied_sequence = $1 WHERE collection_id = $2 AND shard = $3",
                   {Int(copied), Int(id_), Int(shard)})
            .status());
    return bytes;
  }

  // Heads as of this transaction, of locked streams or not.
  absl::StatusOr<ReshardProgress> Progress() {
    ReshardProgress progress;
    for (const auto& [shard, copied] : state_.copied) {
      ALCOVE_ASSIGN_OR_RETURN(const Stream stream,
                              internal::FindStream(c_, {id_, state_.from.epoch, shard}, /*lock=*/false));
      progress.copied += copied;
      progress.head += stream.head.head_sequence;
    }
    return progress;
  }

  // The shard that lags most, and whether it lags at all.
  absl::StatusOr<std::optional<int32_t>> Furthest() {
    std::optional<int32_t> furthest;
    Sequence most = 0;
    for (const auto& [shard, copied] : state_.copied) {
      ALCOVE_ASSIGN_OR_RETURN(const Stream stream,
                              internal::FindStream(c_, {id_, state_.from.epoch, shard}, /*lock=*/false));
      if (stream.head.head_sequence - copied > most) {
        most = stream.head.head_sequence - copied;
        furthest = shard;
      }
    }
    return furthest;
  }

  absl::Status Flip() {
    std::string floors;
    for (const Stream& target : targets_)
      absl::StrAppend(&floors, floors.empty() ? "" : ",", target.head.head_sequence);
    ALCOVE_RETURN_IF_ERROR(c_.Execute("UPDATE collections SET shard_count = $1, epoch = $2, next_shard_count = 0, "
                                      "next_epoch = 0, floors = $3 WHERE id = $4",
                                      {Int(state_.to.shard_count), Int(state_.to.epoch), Text(floors), Int(id_)})
                               .status());
    ALCOVE_RETURN_IF_ERROR(c_.Execute("DELETE FROM log_copies WHERE collection_id = $1", {Int(id_)}).status());
    return c_.Execute("UPDATE counters SET value = value + 1 WHERE name = 'catalog'", {}).status();
  }

  bool AllCopied() const {
    return std::all_of(sources_.begin(), sources_.end(), [this](const auto& source) {
      return state_.copied.at(source.first) == source.second.head.head_sequence;
    });
  }
  const CopyState& state() const { return state_; }

 private:
  Connection& c_;
  const CollectionId id_;
  const PlacementFunction& placement_;
  CopyState state_;
  std::map<int32_t, Stream> sources_;
  std::vector<Stream> targets_;  // [shard]
};

absl::StatusOr<ReshardProgress> LogStore::CopyForResharding(CollectionId collection_id, int64_t max_bytes,
                                                            const PlacementFunction& placement) {
  if (max_bytes <= 0) return InvalidField("max_bytes", "must be positive");
  ReshardProgress progress;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    Resharding resharding(c, collection_id, placement);
    ALCOVE_RETURN_IF_ERROR(resharding.Load(kForShare));
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<int32_t> shard, resharding.Furthest());
    if (shard) {
      ALCOVE_RETURN_IF_ERROR(resharding.Lock({*shard}));
      // Another process may have copied on before the locks were ours.
      ALCOVE_RETURN_IF_ERROR(resharding.Load(kForShare));
      ALCOVE_RETURN_IF_ERROR(resharding.CopyPage(*shard, max_bytes).status());
      if (db_->engine() == Engine::kPostgres) ALCOVE_RETURN_IF_ERROR(c.ExecuteScript("NOTIFY alcove_log"));
    }
    ALCOVE_ASSIGN_OR_RETURN(progress, resharding.Progress());
    return absl::OkStatus();
  }));
  db_->changes().Changed();
  return progress;
}

absl::StatusOr<ReshardProgress> LogStore::CommitResharding(CollectionId collection_id, int64_t max_bytes,
                                                           const PlacementFunction& placement) {
  if (max_bytes <= 0) return InvalidField("max_bytes", "must be positive");
  ReshardProgress progress;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    Resharding resharding(c, collection_id, placement);
    ALCOVE_RETURN_IF_ERROR(resharding.Load(kForUpdate));
    std::vector<int32_t> shards;
    for (const auto& [shard, copied] : resharding.state().copied) shards.push_back(shard);
    ALCOVE_RETURN_IF_ERROR(resharding.Lock(shards));
    int64_t budget = max_bytes;
    for (const int32_t shard : shards) {
      if (budget <= 0) break;
      ALCOVE_ASSIGN_OR_RETURN(const int64_t bytes, resharding.CopyPage(shard, budget));
      budget -= bytes;
    }
    if (resharding.AllCopied()) {
      ALCOVE_ASSIGN_OR_RETURN(progress, resharding.Progress());
      progress.committed = true;
      ALCOVE_RETURN_IF_ERROR(resharding.Flip());
    } else {
      ALCOVE_ASSIGN_OR_RETURN(progress, resharding.Progress());
      progress.committed = false;
    }
    if (db_->engine() == Engine::kPostgres) ALCOVE_RETURN_IF_ERROR(c.ExecuteScript("NOTIFY alcove_log"));
    return absl::OkStatus();
  }));
  db_->changes().Changed();
  return progress;
}

absl::StatusOr<ReshardProgress> LogStore::GetReshardProgress(CollectionId collection_id) {
  ReshardProgress progress;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) -> absl::Status {
    Resharding resharding(c, collection_id, nullptr);
    ALCOVE_RETURN_IF_ERROR(resharding.Load(kJustRead));
    ALCOVE_ASSIGN_OR_RETURN(progress, resharding.Progress());
    return absl::OkStatus();
  }));
  return progress;
}

}  // namespace alcove::store
