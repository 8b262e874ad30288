#include "libs/store/internal/backup_walk.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/store/internal/log_chunk.h"
#include "libs/store/internal/log_rows.h"
#include "libs/store/internal/text.h"

namespace alcove::store::internal {
namespace {

class FileWalk {
 public:
  FileWalk(BackupInput& in, BackupVisitor& visitor) : in_(in), visitor_(visitor) {}

  absl::StatusOr<BackupSummary> Run(const BackupObserver& progress, int64_t file_bytes) {
    ALCOVE_ASSIGN_OR_RETURN(BackupBlockBytes block, in_.Next());
    if (block.type != BackupBlock::kHeader) return in_.Damaged("the first block is no header");
    ALCOVE_RETURN_IF_ERROR(TakeHeader(block.bytes));
    while (true) {
      ALCOVE_ASSIGN_OR_RETURN(block, in_.Next());
      switch (block.type) {
        case BackupBlock::kHeader: return in_.Damaged("a second header");
        case BackupBlock::kCollection: ALCOVE_RETURN_IF_ERROR(TakeCollection(block.bytes)); break;
        case BackupBlock::kRecords: ALCOVE_RETURN_IF_ERROR(TakeRecords(block.bytes)); break;
        case BackupBlock::kCollectionEnd: ALCOVE_RETURN_IF_ERROR(TakeCollectionEnd(block.bytes)); break;
        case BackupBlock::kRow: ALCOVE_RETURN_IF_ERROR(TakeRow(block.bytes)); break;
        case BackupBlock::kEnd: {
          BackupReader in(block.bytes);
          int64_t blocks = 0, records = 0;
          if (collection_ || !in.Number(&blocks) || !in.Number(&records) || !in.empty() || blocks != in_.blocks() - 1 ||
              records != summary_.records) {
            return in_.Damaged("the totals do not agree");
          }
          ALCOVE_RETURN_IF_ERROR(in_.ExpectEnd());
          summary_.bytes = in_.bytes();
          return summary_;
        }
      }
      if (progress && block.type == BackupBlock::kRecords) {
        ALCOVE_RETURN_IF_ERROR(
            progress({summary_.records, in_.bytes(),
                      static_cast<double>(in_.bytes()) / static_cast<double>(std::max<int64_t>(file_bytes, 1))}));
      }
    }
  }

 private:
  absl::Status TakeHeader(absl::string_view bytes) {
    BackupReader in(bytes);
    int64_t scope = 0, taken_at = 0;
    if (!in.Number(&scope) || scope < 0 || scope > static_cast<int64_t>(BackupScope::kTenant) ||
        !in.Number(&taken_at) || !in.empty()) {
      return in_.Damaged("header");
    }
    summary_.scope = static_cast<BackupScope>(scope);
    summary_.taken_at = FromMicros(taken_at);
    return visitor_.OnHeader({summary_.scope, summary_.taken_at});
  }

  absl::Status TakeCollection(absl::string_view bytes) {
    if (collection_) return in_.Damaged("a collection inside another");
    BackupReader in(bytes);
    BackupVisitor::CollectionHeader header;
    absl::string_view tenant, name, config, floors;
    int64_t shards = 0;
    if (!in.Bytes(&tenant) || !in.Bytes(&name) || !in.Bytes(&config) || !in.Bytes(&floors) ||
        !in.Number(&header.revision) || !in.Number(&header.created_at) || !in.Number(&header.epoch) ||
        !in.Number(&shards) || shards < 1 || shards > 4096 || header.epoch < 1) {
      return in_.Damaged("collection");
    }
    header.tenant = std::string(tenant);
    header.name = std::string(name);
    header.config = std::string(config);
    header.floors = std::string(floors);
    for (int64_t shard = 0; shard < shards; ++shard) {
      ShardHead head;
      head.address.shard = static_cast<int32_t>(shard);
      if (!in.Number(&head.head_sequence) || !in.Number(&head.base_sequence) || !in.Number(&head.tombstone_floor) ||
          head.head_sequence < 0 || head.head_sequence > kMaxSequence || head.base_sequence < 0 ||
          head.base_sequence > head.head_sequence || head.tombstone_floor < 0 ||
          head.tombstone_floor > head.base_sequence) {
        return in_.Damaged("shard of a collection");
      }
      header.shards.push_back(head);
    }
    if (!in.empty()) return in_.Damaged("collection");
    last_.assign(header.shards.size(), 0);
    records_ = 0;
    ++summary_.collections;
    collection_ = std::move(header);
    return visitor_.OnCollection(*collection_);
  }

  absl::Status TakeRecords(absl::string_view bytes) {
    if (!collection_) return in_.Damaged("records outside of a collection");
    BackupReader in(bytes);
    int64_t shard = 0, count = 0;
    if (!in.Number(&shard) || shard < 0 || shard >= static_cast<int64_t>(last_.size()) || !in.Number(&count) ||
        count < 1 || count > static_cast<int64_t>(bytes.size())) {
      return in_.Damaged("records");
    }
    const ShardHead& head = collection_->shards[static_cast<size_t>(shard)];
    Sequence& last = last_[static_cast<size_t>(shard)];
    std::vector<StoredRecord> records;
    for (int64_t i = 0; i < count; ++i) {
      StoredRecord record;
      int64_t kind = 0;
      if (!in.Number(&record.sequence) || !in.Number(&kind) || kind < 1 || kind > 3 || !in.Bytes(&record.key) ||
          record.key.empty() || record.key.size() > kMaxKeyBytes || !in.Bytes(&record.data) ||
          record.data.size() > kMaxDataBytes) {
        return in_.Damaged("record");
      }
      // Above the base there are no holes.
      if (record.sequence <= last || record.sequence > head.head_sequence ||
          (record.sequence > head.base_sequence && record.sequence != std::max(last, head.base_sequence) + 1)) {
        return in_.Damaged(absl::StrCat("shard ", shard, ": sequence ", record.sequence, " follows ", last));
      }
      record.kind = static_cast<RecordKind>(kind);
      last = record.sequence;
      records.push_back(record);
    }
    if (!in.empty()) return in_.Damaged("records");
    records_ += count;
    summary_.records += count;
    return visitor_.OnRecords(static_cast<int32_t>(shard), records);
  }

  absl::Status TakeCollectionEnd(absl::string_view bytes) {
    BackupReader in(bytes);
    int64_t count = 0;
    if (!collection_ || !in.Number(&count) || !in.empty() || count != records_) {
      return in_.Damaged("the number of a collection's records does not agree");
    }
    for (size_t shard = 0; shard < last_.size(); ++shard) {
      const ShardHead& head = collection_->shards[shard];
      if (head.head_sequence > head.base_sequence && last_[shard] != head.head_sequence) {
        return in_.Damaged(absl::StrCat("shard ", shard, " ends at ", last_[shard], ", not ", head.head_sequence));
      }
    }
    ALCOVE_RETURN_IF_ERROR(visitor_.OnCollectionEnd());
    collection_.reset();
    return absl::OkStatus();
  }

  absl::Status TakeRow(absl::string_view bytes) {
    BackupReader in(bytes);
    absl::string_view table;
    if (collection_ || !in.Bytes(&table)) return in_.Damaged("row");
    ++summary_.rows;
    return visitor_.OnRow(table, in);
  }

  BackupInput& in_;
  BackupVisitor& visitor_;
  BackupSummary summary_;
  std::optional<BackupVisitor::CollectionHeader> collection_;
  std::vector<Sequence> last_;
  int64_t records_ = 0;
};

}  // namespace

absl::StatusOr<BackupSummary> WalkBackup(const std::string& path, BackupVisitor& visitor,
                                         const BackupObserver& progress, int64_t file_bytes) {
  ALCOVE_ASSIGN_OR_RETURN(const std::unique_ptr<BackupInput> in, BackupInput::Open(path));
  return FileWalk(*in, visitor).Run(progress, file_bytes);
}

}  // namespace alcove::store::internal
