#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/store/sql/connection.h"

namespace alcove::store::sql {

// `path`: the database file. Creates it (options.create_if_missing) in WAL mode.
absl::StatusOr<std::unique_ptr<Driver>> OpenSqlite(absl::string_view path, const StoreOptions& options);

}  // namespace alcove::store::sql
