#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/store/sql/connection.h"

namespace alcove::store::sql {

// `url`: postgresql://… or a libpq connection string. Connects once, so that a wrong address or password is told
// here.
absl::StatusOr<std::unique_ptr<Driver>> OpenPostgres(absl::string_view url, const StoreOptions& options);

}  // namespace alcove::store::sql
