#pragma once

// Append-only record of who did what: key created, collection deleted, login refused.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/store/types.h"

namespace alcove::store {

class Database;

struct AuditEvent {
  int64_t id = 0;   // set by the store, grows with time of storing
  absl::Time time;  // set by the store
  std::string tenant;
  std::string actor;     // API key id, "operator", a service's name
  std::string action;    // "key.create", "collection.delete"
  std::string resource;  // what it was done to
  std::string outcome;   // "ok" or a status code's name
  std::string request_id;
  std::string detail;  // JSON object or empty; never secrets, prompts or vectors
};

struct AuditPage {
  std::vector<AuditEvent> events;
  std::string next_page_token;
};

// Thread-safe. Each field is at most 4 KiB of UTF-8 (detail 64 KiB), else INVALID_ARGUMENT.
class AuditStore {
 public:
  explicit AuditStore(Database* db) : db_(db) {}
  AuditStore(const AuditStore&) = delete;
  AuditStore& operator=(const AuditStore&) = delete;

  // All events in one transaction.
  absl::Status Append(absl::Span<const AuditEvent> events);
  absl::Status Append(const AuditEvent& event) { return Append(absl::MakeConstSpan(&event, 1)); }

  // Newest first; nullopt lists every tenant.
  absl::StatusOr<AuditPage> List(std::optional<absl::string_view> tenant, const PageRequest& page = {});

  // Removes events older than `before`, at most 10,000 a call; returns how many.
  absl::StatusOr<int64_t> Expire(absl::Time before);

 private:
  Database* const db_;
};

}  // namespace alcove::store
