#pragma once

// Turns what libpqxx throws into a status. Every call into libpqxx goes through Guard: no exception leaves the adapter.

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace alcove::store::sql {

// The status of the exception being handled. `where` names the server. Sets `broken` when the connection is lost.
absl::Status StatusFromCurrentException(absl::string_view where, bool* broken);

// Runs `body` (returning absl::Status) and catches everything.
template <typename Body>
absl::Status Guard(absl::string_view where, bool* broken, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (...) {
    return StatusFromCurrentException(where, broken);
  }
}

}  // namespace alcove::store::sql
