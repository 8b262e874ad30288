#pragma once

// One page of one shard's log, read inside a transaction.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "libs/store/internal/log_rows.h"
#include "libs/store/log_store.h"
#include "libs/store/sql/connection.h"

namespace alcove::store {

// The transaction must see one snapshot, or hold the lock of the stream's row: what is read takes several statements.
class LogStore::Reader {
 public:
  Reader(sql::Connection& c, const ShardAddress& address, LogPage* page) : c_(c), address_(address), page_(page) {}

  // See LogStore::ReadFrom.
  absl::Status Read(const ReadPosition& from, int64_t max_bytes);

 private:
  absl::Status CheckPosition(const ReadPosition& from) const;
  absl::Status ReadBase();
  absl::Status TakeBaseRow(const sql::Row& row);
  absl::Status ReadTail();
  absl::Status TakeChunk(const sql::Row& row);

  sql::Connection& c_;
  const ShardAddress& address_;
  LogPage* const page_;
  internal::Stream stream_;
  Sequence after_ = 0;
  int64_t budget_ = 0;
  bool tail_begun_ = false;
};

}  // namespace alcove::store
