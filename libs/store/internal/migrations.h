#pragma once

// The schema, as an ordered list of changes. Both engines run the same list; a change that was released is never
// edited: its checksum is stored in the database and compared at each start.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/store/sql/connection.h"

namespace alcove::store::internal {

struct Migration {
  int64_t version;  // 1, 2, 3 …
  const char* name;
  const char* sql;  // with the tokens of sql::Translate
};

// Ascending and without gaps. Further tables (conversations, messages, events) are further entries.
absl::Span<const Migration> Migrations();

// Must run inside a write transaction. Applies what is missing. FAILED_PRECONDITION when the database was written by
// a newer version or an applied migration differs from the list's.
absl::Status Migrate(sql::Connection& connection, Engine engine, absl::Span<const Migration> migrations,
                     int64_t now_us);

}  // namespace alcove::store::internal
