// A shard's snapshot: what is in the blocks (docs/formats/shard_snapshot.md).
#include <algorithm>
#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/vector-search/shard/shard.h"

namespace alcove::vector_search {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kRecordHeaderBytes = 4 + 8 + 2 + 4;  // row, sequence, id size, payload size
constexpr int64_t kMaxRows = int64_t{1} << 31;

absl::Status Damaged(absl::string_view what) { return absl::DataLossError(absl::StrCat("snapshot: ", what)); }

template <typename T>
void AppendRaw(std::string& out, T value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  out.append(raw, sizeof value);
}

template <typename T>
T TakeRaw(absl::string_view& from) {
  T value;
  std::memcpy(&value, from.data(), sizeof value);
  from.remove_prefix(sizeof value);
  return value;
}

// The settings a snapshot's vector indexes depend on.
absl::string_view VectorSettings(absl::string_view config_bytes) {
  const auto vectors = PayloadObject(config_bytes).Find("vectors");
  return vectors ? vectors->bytes() : absl::string_view();
}

class BlockSink final : public ann::ByteSink {
 public:
  explicit BlockSink(SnapshotWriter& writer) : writer_(writer) {}
  absl::Status Append(std::string_view bytes) override {
    while (!bytes.empty()) {
      const size_t n = std::min(bytes.size(), kPieceBytes - buffer_.size());
      buffer_.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if (buffer_.size() == kPieceBytes) ALCOVE_RETURN_IF_ERROR(Flush());
    }
    return absl::OkStatus();
  }
  absl::Status Flush() {
    if (buffer_.empty()) return absl::OkStatus();
    const absl::Status status = writer_.WriteBlock(BlockType::kIndexBytes, buffer_);
    buffer_.clear();
    return status;
  }

 private:
  SnapshotWriter& writer_;
  std::string buffer_;
};

// Hands out the kIndexBytes blocks up to kIndexEnd.
class BlockSource final : public ann::ByteSource {
 public:
  explicit BlockSource(SnapshotReader& reader) : reader_(reader) {}
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    while (at_ == block_.bytes.size() && !ended_) ALCOVE_RETURN_IF_ERROR(NextBlock());
    const size_t n = std::min(size, block_.bytes.size() - at_);
    std::memcpy(out, block_.bytes.data() + at_, n);
    at_ += n;
    return n;
  }
  // Fails when there are bytes the index did not want.
  absl::Status Finish() {
    char extra;
    ALCOVE_ASSIGN_OR_RETURN(const size_t n, Read(&extra, 1));
    return n == 0 ? absl::OkStatus() : Damaged("bytes after an index");
  }

 private:
  absl::Status NextBlock() {
    ALCOVE_ASSIGN_OR_RETURN(block_, reader_.Next());
    at_ = 0;
    if (block_.type == BlockType::kIndexEnd) {
      ended_ = true;
      block_.bytes.clear();
      return absl::OkStatus();
    }
    return block_.type == BlockType::kIndexBytes ? absl::OkStatus() : Damaged("an index is not complete");
  }

  SnapshotReader& reader_;
  SnapshotBlock block_;
  size_t at_ = 0;
  bool ended_ = false;
};

}  // namespace

absl::StatusOr<store::Sequence> Shard::SaveTo(SnapshotWriter& writer) const {
  // With apply_mutex_ held nobody changes the shard, so sharing mutex_ for long keeps nobody waiting.
  absl::MutexLock apply(&apply_mutex_);
  absl::ReaderMutexLock lock(&mutex_);
  const store::Sequence sequence = applied_.load(std::memory_order_relaxed);

  for (size_t field = 0; field < sparse_->size(); ++field) {
    if (!sparse_->is_text(field)) writer.SetVersion(kSnapshotVersion);
  }
  const std::string config = EncodeConfig(options_.config);
  PayloadBuilder header;
  header.BeginObject();
  header.Key("applied_sequence");
  header.Integer(sequence);
  header.Key("collection_id");
  header.Integer(options_.address.collection_id);
  header.Key("config");
  header.Copy(ValueView(config.data() + 1));
  header.Key("epoch");
  header.Integer(options_.address.epoch);
  header.Key("identity");
  header.String(options_.identity);
  header.Key("points");
  header.Integer(static_cast<int64_t>(by_id_.size()));
  header.Key("rows");
  header.Integer(static_cast<int64_t>(rows_.size()));
  header.Key("shard");
  header.Integer(options_.address.shard);
  header.EndObject();
  ALCOVE_ASSIGN_OR_RETURN(const std::string header_bytes, std::move(header).Finish());
  ALCOVE_RETURN_IF_ERROR(writer.WriteBlock(BlockType::kHeader, header_bytes));

  std::string records;
  for (size_t row = 0; row < rows_.size(); ++row) {
    const RecordPtr& record = rows_[row];
    if (record == nullptr) continue;
    AppendRaw(records, static_cast<uint32_t>(row));
    AppendRaw(records, record->sequence);
    AppendRaw(records, static_cast<uint16_t>(record->id.size()));
    AppendRaw(records, static_cast<uint32_t>(record->payload.size()));
    records += record->id;
    records += record->payload;
    if (records.size() >= kPieceBytes) {
      ALCOVE_RETURN_IF_ERROR(writer.WriteBlock(BlockType::kRecords, records));
      records.clear();
    }
  }
  if (!records.empty()) ALCOVE_RETURN_IF_ERROR(writer.WriteBlock(BlockType::kRecords, records));
  ALCOVE_RETURN_IF_ERROR(SaveSparse(writer));

  for (size_t field = 0; field < field_names_.size(); ++field) {
    ALCOVE_RETURN_IF_ERROR(writer.WriteBlock(BlockType::kIndexBegin, field_names_[field]));
    BlockSink sink(writer);
    ALCOVE_RETURN_IF_ERROR((*indexes_)[field]->SaveTo(sink));
    ALCOVE_RETURN_IF_ERROR(sink.Flush());
    ALCOVE_RETURN_IF_ERROR(writer.WriteBlock(BlockType::kIndexEnd, ""));
  }
  ALCOVE_RETURN_IF_ERROR(writer.Finish());
  return sequence;
}

absl::Status Shard::SaveSparse(SnapshotWriter& writer) const {
  for (size_t field = 0; field < sparse_->size(); ++field) {
    if (sparse_->is_text(field)) continue;  // made anew from the payloads
    const std::string& name = sparse_->name(field);
    std::string head(1, static_cast<char>(name.size()));
    head += name;
    std::string block = head;
    for (size_t row = 0; row < rows_.size(); ++row) {
      const SparseComponents vector = sparse_->Get(field, static_cast<Row>(row));
      if (vector.empty()) continue;
      AppendRaw(block, static_cast<uint32_t>(row));
      AppendRaw(block, static_cast<uint32_t>(vector.indices.size()));
      block.append(reinterpret_cast<const char*>(vector.indices.data()), vector.indices.size() * sizeof(uint32_t));
      block.append(reinterpret_cast<const char*>(vector.values.data()), vector.values.size() * sizeof(float));
      if (block.size() >= kPieceBytes) {
        ALCOVE_RETURN_IF_ERROR(writer.WriteBlock(BlockType::kSparse, block));
        block = head;
      }
    }
    if (block.size() > head.size()) ALCOVE_RETURN_IF_ERROR(writer.WriteBlock(BlockType::kSparse, block));
  }
  return absl::OkStatus();
}

absl::Status Shard::LoadSparse(absl::string_view bytes) {
  absl::MutexLock lock(&mutex_);
  if (bytes.empty()) return Damaged("malformed sparse vectors");
  const auto name_size = TakeRaw<uint8_t>(bytes);
  if (bytes.size() < name_size) return Damaged("malformed sparse vectors");
  const absl::string_view name = bytes.substr(0, name_size);
  bytes.remove_prefix(name_size);
  const size_t field = sparse_->Find(name);
  if (field == SparseFields::kNone || sparse_->is_text(field)) return Damaged("sparse vectors of an unknown field");
  SparseVector vector;
  vector.name = name;
  while (!bytes.empty()) {
    if (bytes.size() < 2 * sizeof(uint32_t)) return Damaged("malformed sparse vectors");
    const auto row = TakeRaw<uint32_t>(bytes);
    const auto count = TakeRaw<uint32_t>(bytes);
    constexpr size_t kEntryBytes = sizeof(uint32_t) + sizeof(float);
    if (count == 0 || count > kMaxSparseComponents || bytes.size() < count * kEntryBytes || row >= rows_.size() ||
        rows_[row] == nullptr || !sparse_->Get(field, row).empty()) {
      return Damaged("malformed sparse vectors");
    }
    vector.indices.resize(count);
    vector.values.resize(count);
    std::memcpy(vector.indices.data(), bytes.data(), count * sizeof(uint32_t));
    bytes.remove_prefix(count * sizeof(uint32_t));
    std::memcpy(vector.values.data(), bytes.data(), count * sizeof(float));
    bytes.remove_prefix(count * sizeof(float));
    if (!CheckComponents(vector.indices, vector.values).ok()) return Damaged("malformed sparse vectors");
    sparse_->SetVectors(row, {&vector, 1}, /*others_stay=*/true);
  }
  return absl::OkStatus();
}

absl::Status Shard::LoadHeader(absl::string_view bytes) {
  if (!ValidatePayload(bytes).ok()) return Damaged("malformed header");
  const ObjectView header = PayloadObject(bytes);
  const auto integer = [&](absl::string_view name) -> int64_t {
    const auto value = header.Find(name);
    return value && value->kind() == ValueKind::kInteger ? value->integer() : -1;
  };
  const auto identity = header.Find("identity");
  if (integer("collection_id") != options_.address.collection_id || integer("epoch") != options_.address.epoch ||
      integer("shard") != options_.address.shard || !identity || identity->kind() != ValueKind::kString ||
      identity->string() != options_.identity) {
    return Damaged("it belongs to another shard or another database");
  }
  const auto config = header.Find("config");
  if (!config || config->kind() != ValueKind::kObject) return Damaged("malformed header");
  const auto vectors = config->object().Find("vectors");
  if (!vectors || vectors->bytes() != VectorSettings(EncodeConfig(options_.config))) {
    return Damaged("it was made with other vector settings");
  }
  const int64_t sequence = integer("applied_sequence");
  const int64_t rows = integer("rows");
  if (sequence < 0 || rows < 0 || rows > kMaxRows) return Damaged("malformed header");
  applied_.store(sequence, std::memory_order_release);
  return absl::OkStatus();
}

absl::Status Shard::LoadRecords(absl::string_view bytes) {
  absl::MutexLock lock(&mutex_);
  while (!bytes.empty()) {
    if (bytes.size() < kRecordHeaderBytes) return Damaged("malformed records");
    const auto row = TakeRaw<uint32_t>(bytes);
    const auto sequence = TakeRaw<int64_t>(bytes);
    const auto id_size = TakeRaw<uint16_t>(bytes);
    const auto payload_size = TakeRaw<uint32_t>(bytes);
    if (id_size == 0 || id_size > kMaxPointIdBytes || bytes.size() < size_t{id_size} + payload_size) {
      return Damaged("malformed records");
    }
    // Rows come in ascending order, and gaps are rows to use again.
    if (row < rows_.size() || row >= kMaxRows || row - rows_.size() > (size_t{1} << 28)) {
      return Damaged("rows out of order");
    }
    while (rows_.size() < row) {
      free_rows_.push_back(static_cast<Row>(rows_.size()));
      rows_.emplace_back();
    }
    const absl::string_view id = bytes.substr(0, id_size);
    const absl::string_view payload = bytes.substr(id_size, payload_size);
    bytes.remove_prefix(size_t{id_size} + payload_size);
    if (!ValidatePayload(payload).ok()) return Damaged("malformed payload");
    if (by_id_.contains(id)) return Damaged("an id is there twice");
    // Insert would prefer a free row.
    std::vector<Row> gaps = std::exchange(free_rows_, {});
    Insert(id, std::string(payload), sequence);
    free_rows_ = std::move(gaps);
  }
  return absl::OkStatus();
}

absl::Status Shard::LoadIndex(SnapshotReader& reader, absl::string_view field) {
  const auto name = std::find(field_names_.begin(), field_names_.end(), field);
  if (name == field_names_.end()) return Damaged("index of an unknown vector field");
  BlockSource source(reader);
  ann::LoadOptions load;
  load.max_threads = options_.index_threads;
  if (options_.config.vectors.at(*name).on_disk) load.vectors_directory = options_.vectors_directory;
  ALCOVE_ASSIGN_OR_RETURN(auto index, ann::LoadIndex(source, load));
  ALCOVE_RETURN_IF_ERROR(source.Finish());

  absl::MutexLock lock(&mutex_);
  if (index->dim() != options_.config.vectors.at(*name).dimension) return Damaged("index of another dimension");
  size_t rows = 0;
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (rows_[row] != nullptr && index->Contains(static_cast<ann::RowId>(row))) ++rows;
  }
  if (rows != index->size()) return Damaged("an index holds rows without a point");
  // Not yet published: nobody else has seen this shard.
  auto indexes = std::const_pointer_cast<Indexes>(indexes_);
  (*indexes)[static_cast<size_t>(name - field_names_.begin())] = std::move(index);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Shard>> Shard::Load(ShardOptions options, const std::string& path) {
  ALCOVE_ASSIGN_OR_RETURN(SnapshotReader reader, SnapshotReader::Open(path));
  ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<Shard> shard, Create(std::move(options)));
  ALCOVE_ASSIGN_OR_RETURN(SnapshotBlock block, reader.Next());
  if (block.type != BlockType::kHeader) return Damaged("no header");
  ALCOVE_RETURN_IF_ERROR(shard->LoadHeader(block.bytes));
  const std::string header = std::move(block.bytes);
  size_t indexes = 0;
  while (true) {
    ALCOVE_ASSIGN_OR_RETURN(block, reader.Next());
    if (block.type == BlockType::kEnd) break;
    if (block.type == BlockType::kRecords && indexes == 0) {
      ALCOVE_RETURN_IF_ERROR(shard->LoadRecords(block.bytes));
    } else if (block.type == BlockType::kSparse && indexes == 0) {
      ALCOVE_RETURN_IF_ERROR(shard->LoadSparse(block.bytes));
    } else if (block.type == BlockType::kIndexBegin) {
      ALCOVE_RETURN_IF_ERROR(shard->LoadIndex(reader, block.bytes));
      ++indexes;
    } else {
      return Damaged("blocks out of order");
    }
  }
  if (indexes != shard->field_names_.size()) return Damaged("an index is missing");
  const auto points = PayloadObject(header).Find("points");
  absl::MutexLock lock(&shard->mutex_);
  if (!points || points->kind() != ValueKind::kInteger ||
      points->integer() != static_cast<int64_t>(shard->by_id_.size())) {
    return Damaged("points are missing");
  }
  for (size_t row = 0; row < shard->rows_.size(); ++row) {
    if (const RecordPtr& record = shard->rows_[row]; record != nullptr) {
      shard->sparse_->SetPayload(static_cast<Row>(row), nullptr, &record->payload);
    }
  }
  shard->changes_.store(0, std::memory_order_relaxed);
  return shard;
}

}  // namespace alcove::vector_search
