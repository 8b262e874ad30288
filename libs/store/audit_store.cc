#include "libs/store/audit_store.h"

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/text.h"

namespace alcove::store {
namespace {

using sql::Connection;
using sql::Int;
using sql::Row;
using sql::Text;

constexpr size_t kMaxFieldBytes = 4 << 10;
constexpr size_t kMaxDetailBytes = 64 << 10;
constexpr int64_t kFirstPage = INT64_MAX;

#define ALCOVE_AUDIT_COLUMNS "id, time, tenant, actor, action, resource, outcome, request_id, detail"

AuditEvent FromRow(const Row& row) {
  AuditEvent e;
  e.id = row.Int(0);
  e.time = internal::FromMicros(row.Int(1));
  e.tenant = row.Text(2);
  e.actor = row.Text(3);
  e.action = row.Text(4);
  e.resource = row.Text(5);
  e.outcome = row.Text(6);
  e.request_id = row.Text(7);
  e.detail = row.Text(8);
  return e;
}

absl::Status CheckEvent(const AuditEvent& e) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckText("tenant", e.tenant, kMaxFieldBytes));
  ALCOVE_RETURN_IF_ERROR(internal::CheckText("actor", e.actor, kMaxFieldBytes));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("action", e.action, 1, kMaxFieldBytes));
  ALCOVE_RETURN_IF_ERROR(internal::CheckText("resource", e.resource, kMaxFieldBytes));
  ALCOVE_RETURN_IF_ERROR(internal::CheckText("outcome", e.outcome, kMaxFieldBytes));
  ALCOVE_RETURN_IF_ERROR(internal::CheckText("request_id", e.request_id, kMaxFieldBytes));
  return internal::CheckText("detail", e.detail, kMaxDetailBytes);
}

}  // namespace

absl::Status AuditStore::Append(absl::Span<const AuditEvent> events) {
  if (events.empty()) return absl::OkStatus();
  for (const AuditEvent& event : events) ALCOVE_RETURN_IF_ERROR(CheckEvent(event));
  const int64_t now = db_->NowMicros();
  return db_->Write([&](Connection& c) -> absl::Status {
    for (const AuditEvent& e : events) {
      ALCOVE_RETURN_IF_ERROR(
          c.Execute("INSERT INTO audit_events (time, tenant, actor, action, resource, outcome, request_id, detail) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    {Int(now), Text(e.tenant), Text(e.actor), Text(e.action), Text(e.resource), Text(e.outcome),
                     Text(e.request_id), Text(e.detail)})
              .status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<AuditPage> AuditStore::List(std::optional<absl::string_view> tenant, const PageRequest& page) {
  ALCOVE_ASSIGN_OR_RETURN(const int64_t size, internal::PageSize(page));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t before, internal::ReadPageNumber("audit", page.page_token, kFirstPage));
  if (tenant) ALCOVE_RETURN_IF_ERROR(internal::CheckText("tenant", *tenant, kMaxFieldBytes));
  AuditPage result;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    result.events.clear();
    const auto collect = [&](const Row& row) {
      result.events.push_back(FromRow(row));
      return absl::OkStatus();
    };
    if (tenant) {
      return c.Query("SELECT " ALCOVE_AUDIT_COLUMNS
                     " FROM audit_events WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
                     {Text(*tenant), Int(before), Int(size + 1)}, collect);
    }
    return c.Query("SELECT " ALCOVE_AUDIT_COLUMNS " FROM audit_events WHERE id < $1 ORDER BY id DESC LIMIT $2",
                   {Int(before), Int(size + 1)}, collect);
  }));
  if (static_cast<int64_t>(result.events.size()) > size) {
    result.events.resize(size);
    result.next_page_token = internal::MakePageToken("audit", absl::StrCat(result.events.back().id));
  }
  return result;
}

absl::StatusOr<int64_t> AuditStore::Expire(absl::Time before) {
  int64_t removed = 0;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(
        removed, c.Execute("DELETE FROM audit_events WHERE id IN (SELECT id FROM audit_events WHERE time < $1 "
                           "ORDER BY time LIMIT 10000)",
                           {Int(internal::ToMicros(before))}));
    return absl::OkStatus();
  }));
  return removed;
}

}  // namespace alcove::store
