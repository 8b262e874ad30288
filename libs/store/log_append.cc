#include "libs/store/log_append.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"
#include "libs/store/internal/log_rows.h"
#include "libs/store/internal/text.h"

namespace alcove::store {
namespace {

using internal::Position;
using internal::Stream;
using sql::Blob;
using sql::Connection;
using sql::Int;
using sql::Row;
using sql::Text;

constexpr int64_t kMaxBatchBytes = 512 << 20;
constexpr absl::Duration kIdempotencyWindow = absl::Hours(24);

std::string EncodeResult(int64_t epoch, const AppendResult& result) {
  std::string out;
  internal::AppendVarint(static_cast<uint64_t>(epoch), &out);
  internal::AppendVarint(result.shards.size(), &out);
  for (const ShardSequence& s : result.shards) {
    internal::AppendVarint(s.shard, &out);
    internal::AppendVarint(s.last_sequence, &out);
  }
  return out;
}

absl::StatusOr<AppendResult> DecodeResult(int64_t epoch, absl::string_view in) {
  AppendResult result;
  uint64_t stored_epoch = 0;
  uint64_t count = 0;
  if (!internal::TakeVarint(&in, &stored_epoch) || !internal::TakeVarint(&in, &count) || count > in.size()) {
    return absl::DataLossError("stored reply is damaged");
  }
  result.replayed = true;
  // What was written before a resharding is below the floors of the placement: there is no sequence to wait for.
  if (static_cast<int64_t>(stored_epoch) != epoch) return result;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t shard = 0;
    uint64_t sequence = 0;
    if (!internal::TakeVarint(&in, &shard) || !internal::TakeVarint(&in, &sequence)) {
      return absl::DataLossError("stored reply is damaged");
    }
    result.shards.push_back({static_cast<int32_t>(shard), static_cast<Sequence>(sequence)});
  }
  return result;
}

}  // namespace

absl::Status LogStore::GroupCommit::Validate(const AppendRequest& request) {
  if (request.shards.empty()) return InvalidField("shards", "must not be empty");
  if (!request.idempotency_key.empty()) {
    ALCOVE_RETURN_IF_ERROR(internal::CheckName("idempotency_key", request.idempotency_key, 1, 128));
  }
  std::set<int32_t> seen;
  int64_t bytes = 0;
  for (const ShardBatch& batch : request.shards) {
    if (!seen.insert(batch.shard).second) {
      return InvalidField("shards", absl::StrCat("shard ", batch.shard, " is given twice"));
    }
    if (batch.records.empty()) return InvalidField("shards", absl::StrCat("shard ", batch.shard, " has no records"));
    for (size_t i = 0; i < batch.records.size(); ++i) {
      const LogRecord& record = batch.records[i];
      const auto field = [&] { return absl::StrCat("shards[shard ", batch.shard, "].records[", i, "]"); };
      if (record.key.empty() || record.key.size() > internal::kMaxKeyBytes) {
        return InvalidField(field(), absl::StrCat("the key has ", record.key.size(), " bytes; 1 to ",
                                                  internal::kMaxKeyBytes, " are allowed"));
      }
      if (record.data.size() > internal::kMaxDataBytes) {
        return InvalidField(field(), absl::StrCat("the data has ", record.data.size(), " bytes; at most ",
                                                  internal::kMaxDataBytes, " are allowed"));
      }
      if (record.kind != RecordKind::kPut && record.kind != RecordKind::kDelete && record.kind != RecordKind::kMerge) {
        return InvalidField(field(), "has an unknown kind");
      }
      bytes += static_cast<int64_t>(record.key.size() + record.data.size());
    }
  }
  if (bytes > kMaxBatchBytes) {
    return InvalidField("shards", absl::StrCat("the batch has ", bytes, " bytes; at most ", kMaxBatchBytes,
                                               " are allowed: send smaller batches"));
  }
  return absl::OkStatus();
}

void LogStore::GroupCommit::Encode(const AppendRequest& request, Pending* pending) {
  pending->collection_id = request.collection_id;
  pending->epoch = request.epoch;
  pending->idempotency_key = request.idempotency_key;
  for (const ShardBatch& batch : request.shards) {
    ShardPart& part = pending->parts.emplace_back();
    part.shard = batch.shard;
    part.count = static_cast<int64_t>(batch.records.size());
    part.chunks = internal::EncodeChunks(batch.records);
    for (const internal::Chunk& chunk : part.chunks) pending->bytes += static_cast<int64_t>(chunk.bytes.size());
  }
  if (request.idempotency_key.empty()) return;
  // The same records give the same digest however they are spread over shards: a repetition may come after a
  // resharding.
  Digest128 digest;
  for (const ShardBatch& batch : request.shards) {
    for (const LogRecord& record : batch.records) {
      const Digest128 one = Hash128(record.data, Hash64(record.key, static_cast<uint64_t>(record.kind)));
      digest.low += one.low;
      digest.high += one.high;
    }
  }
  pending->fingerprint = digest.hex();
}

// The statements of one group. All locks are taken first and in one global order (collections by id, then streams by
// address), so that two processes can wait for each other but never in a circle.
class LogStore::GroupCommit::Transaction {
 public:
  Transaction(Database* db, Connection& c, absl::Span<Pending* const> group) : db_(db), c_(c), group_(group) {}

  absl::Status Run() {
    ALCOVE_RETURN_IF_ERROR(LockCollections());
    ALCOVE_RETURN_IF_ERROR(LockStreams());
    bool appended = false;
    for (Pending* pending : group_) {
      pending->result = {};
      if (!pending->status.ok()) continue;
      ALCOVE_ASSIGN_OR_RETURN(const bool answered, AnswerFromEarlier(*pending));
      if (answered) continue;
      ALCOVE_RETURN_IF_ERROR(Insert(*pending));
      appended = true;
    }
    if (!appended) return absl::OkStatus();
    for (const auto& [address, stream] : streams_) {
      ALCOVE_RETURN_IF_ERROR(c_.Execute("UPDATE log_streams SET head_sequence = $1 WHERE stream_id = $2",
                                        {Int(stream.head.head_sequence), Int(stream.id)})
                                 .status());
    }
    if (db_->engine() == Engine::kPostgres) {
      ALCOVE_RETURN_IF_ERROR(c_.ExecuteScript("NOTIFY alcove_log"));
    }
    return absl::OkStatus();
  }

 private:
  struct Catalog {
    bool active = false;
    int64_t epoch = 0;
  };

  absl::Status LockCollections() {
    std::set<CollectionId> ids;
    for (const Pending* pending : group_) ids.insert(pending->collection_id);
    std::map<CollectionId, Catalog> catalog;
    for (const CollectionId id : ids) {
      ALCOVE_RETURN_IF_ERROR(
          c_.Query("SELECT state, epoch FROM collections WHERE id = $1 {FOR SHARE}", {Int(id)}, [&](const Row& row) {
            catalog[id] = {row.Int(0) == 1, row.Int(1)};
            return absl::OkStatus();
          }));
    }
    for (Pending* pending : group_) {
      const auto it = catalog.find(pending->collection_id);
      if (it == catalog.end() || !it->second.active) {
        pending->status = NotFound("collection", absl::StrCat("#", pending->collection_id));
      } else if (pending->epoch != it->second.epoch) {
        pending->status = absl::FailedPreconditionError(
            absl::StrCat("collection #", pending->collection_id, " is at placement epoch ", it->second.epoch, ", not ",
                         pending->epoch, ": read the catalog again"));
      } else {
        pending->status = absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  absl::Status LockStreams() {
    std::map<ShardAddress, std::vector<Pending*>> wanted;
    for (Pending* pending : group_) {
      if (!pending->status.ok()) continue;
      for (const ShardPart& part : pending->parts) {
        wanted[{pending->collection_id, pending->epoch, part.shard}].push_back(pending);
      }
    }
    for (auto& [address, users] : wanted) {
      absl::StatusOr<Stream> stream = internal::FindStream(c_, address, /*lock=*/true);
      if (absl::IsNotFound(stream.status())) {
        for (Pending* pending : users) {
          pending->status = InvalidField("shards", absl::StrCat(ToString(address), " does not exist"));
        }
        continue;
      }
      if (!stream.ok()) return stream.status();
      streams_[address] = *stream;
    }
    return absl::OkStatus();
  }

  // True when the batch was stored by an earlier call (or is a misuse of its key): nothing is left to do for it.
  absl::StatusOr<bool> AnswerFromEarlier(Pending& pending) {
    if (pending.idempotency_key.empty()) return false;
    std::optional<std::pair<std::string, std::string>> earlier;
    const int64_t since = internal::ToMicros(db_->clock().Now() - kIdempotencyWindow);
    ALCOVE_RETURN_IF_ERROR(
        c_.Query("SELECT fingerprint, result FROM log_requests WHERE collection_id = $1 AND request_key = $2 AND "
                 "created_at >= $3",
                 {Int(pending.collection_id), Text(pending.idempotency_key), Int(since)}, [&](const Row& row) {
                   earlier.emplace(row.Blob(0), row.Blob(1));
                   return absl::OkStatus();
                 }));
    if (!earlier) return false;
    if (earlier->first != pending.fingerprint) {
      pending.status = absl::FailedPreconditionError(
          absl::StrCat("idempotency key \"", pending.idempotency_key, "\" was used for another batch"));
      return true;
    }
    ALCOVE_ASSIGN_OR_RETURN(pending.result, DecodeResult(pending.epoch, earlier->second));
    return true;
  }

  absl::Status Insert(Pending& pending) {
    for (const ShardPart& part : pending.parts) {
      Stream& stream = streams_.at({pending.collection_id, pending.epoch, part.shard});
      Sequence& head = stream.head.head_sequence;
      if (head > internal::kMaxSequence - part.count) {
        return absl::ResourceExhaustedError(absl::StrCat(ToString(stream.head.address), " has no sequences left"));
      }
      for (const internal::Chunk& chunk : part.chunks) {
        head += chunk.count;
        ALCOVE_RETURN_IF_ERROR(c_.Execute("INSERT INTO log_tail (position, size, chunk) VALUES ($1, $2, $3)",
                                          {Int(Position(stream.id, head)),
                                           Int(static_cast<int64_t>(chunk.bytes.size())), Blob(chunk.bytes)})
                                   .status());
      }
      pending.result.shards.push_back({part.shard, head});
    }
    return pending.idempotency_key.empty() ? absl::OkStatus() : Remember(pending);
  }

  absl::Status Remember(const Pending& pending) {
    const absl::Time now = db_->clock().Now();
    // A few of the expired ones go with each new one, so the table stays as large as a day's requests.
    ALCOVE_RETURN_IF_ERROR(c_.Execute("DELETE FROM log_requests WHERE (collection_id, request_key) IN (SELECT "
                                      "collection_id, request_key FROM log_requests WHERE created_at < $1 LIMIT 16)",
                                      {Int(internal::ToMicros(now - kIdempotencyWindow))})
                               .status());
    return c_
        .Execute(
            "INSERT INTO log_requests (collection_id, request_key, fingerprint, result, created_at) VALUES ($1, "
            "$2, $3, $4, $5) ON CONFLICT (collection_id, request_key) DO UPDATE SET fingerprint = "
            "excluded.fingerprint, result = excluded.result, created_at = excluded.created_at",
            {Int(pending.collection_id), Text(pending.idempotency_key), Blob(pending.fingerprint),
             Blob(EncodeResult(pending.epoch, pending.result)), Int(internal::ToMicros(now))})
        .status();
  }

  Database* const db_;
  Connection& c_;
  const absl::Span<Pending* const> group_;
  std::map<ShardAddress, Stream> streams_;
};

absl::Status LogStore::GroupCommit::CommitTogether(absl::Span<Pending* const> group) {
  return db_->Write([&](Connection& c) { return Transaction(db_, c, group).Run(); });
}

void LogStore::GroupCommit::Commit(absl::Span<Pending* const> group) {
  absl::Status status = CommitTogether(group);
  if (status.ok()) {
    db_->changes().Changed();
    return;
  }
  if (group.size() == 1) {
    group[0]->status = status;
    return;
  }
  if (absl::IsUnavailable(status)) {
    // Nothing was wrong with the batches: each alone would wait as long again for the same answer.
    for (Pending* pending : group) pending->status = status;
    return;
  }
  // One batch may be too much (a full disk, say) where the others are not.
  for (Pending* pending : group) Commit(absl::MakeConstSpan(&pending, 1));
}

std::vector<LogStore::GroupCommit::Pending*> LogStore::GroupCommit::TakeGroup() {
  std::vector<Pending*> group;
  int64_t bytes = 0;
  while (!queue_.empty()) {
    Pending* next = queue_.front();
    bytes += next->bytes;
    if (!group.empty() && bytes > db_->options().group_commit_bytes) break;
    group.push_back(next);
    queue_.pop_front();
  }
  return group;
}

absl::StatusOr<AppendResult> LogStore::GroupCommit::Append(const AppendRequest& request) {
  ALCOVE_RETURN_IF_ERROR(Validate(request));
  Pending mine;
  Encode(request, &mine);

  absl::MutexLock lock(&mutex_);
  queue_.push_back(&mine);
  while (!mine.done) {
    auto my_turn = [this, &mine]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return mine.done || (!leader_at_work_ && queue_.front() == &mine);
    };
    mutex_.Await(absl::Condition(&my_turn));
    if (mine.done) break;
    leader_at_work_ = true;
    const std::vector<Pending*> group = TakeGroup();
    mutex_.Unlock();
    Commit(group);
    mutex_.Lock();
    for (Pending* pending : group) pending->done = true;
    leader_at_work_ = false;
  }
  if (!mine.status.ok()) return mine.status;
  return std::move(mine.result);
}

}  // namespace alcove::store
