#pragma once

// Bytes of one tail chunk: consecutive records of one shard (docs/formats/log_chunk.md).
//
//   byte     version, 1
//   varint   number of records, >= 1
//   records  byte kind, varint key size, key, varint data size, data
//   8 bytes  XXH3-64 of everything before, little-endian
//
// Which sequences they have is not in the chunk: the row's key says the last one.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/store/log_store.h"

namespace alcove::store::internal {

inline constexpr size_t kMaxKeyBytes = 1024;
inline constexpr size_t kMaxDataBytes = 64 << 20;
// A chunk is closed when it has grown past this: what one read must hold in memory at least.
inline constexpr size_t kChunkBytes = 2 << 20;

void AppendVarint(uint64_t value, std::string* out);
// Takes a varint off the front of `in`; false when it is malformed or longer than 64 bits.
bool TakeVarint(absl::string_view* in, uint64_t* value);

struct Chunk {
  int64_t count = 0;
  std::string bytes;
};

// Cuts records into chunks. They must satisfy the limits of LogRecord.
std::vector<Chunk> EncodeChunks(absl::Span<const LogRecord> records);

// The records of a chunk, as views into `bytes`. DATA_LOSS says what is wrong.
absl::StatusOr<std::vector<LogRecord>> DecodeChunk(absl::string_view bytes);

// Checksum of a base row's kind, key and data.
int64_t RecordChecksum(const LogRecord& record);

}  // namespace alcove::store::internal
