#include "libs/store/sql/postgres_status.h"

#include <new>
#include <pqxx/except>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/store/sql/connection.h"

namespace alcove::store::sql {
namespace {

// libpq reports a refused login only as text. Server texts may be in another language: then it is UNAVAILABLE.
absl::Status ConnectionStatus(absl::string_view where, absl::string_view message) {
  const std::string text = absl::StrCat(where, ": ", absl::StripAsciiWhitespace(message));
  if (absl::StrContains(message, "password authentication failed") ||
      absl::StrContains(message, "no password supplied") || absl::StrContains(message, "authentication failed") ||
      (absl::StrContains(message, "role \"") && absl::StrContains(message, "does not exist"))) {
    return absl::UnauthenticatedError(text);
  }
  if (absl::StrContains(message, "no pg_hba.conf entry")) return absl::PermissionDeniedError(text);
  if (absl::StrContains(message, "database \"") && absl::StrContains(message, "does not exist")) {
    return absl::NotFoundError(text);
  }
  if (absl::StrContains(message, "invalid connection option") || absl::StrContains(message, "invalid URI") ||
      absl::StrContains(message, "invalid port") || absl::StrContains(message, "invalid integer value") ||
      absl::StrContains(message, "missing \"=\"")) {
    return absl::InvalidArgumentError(text);
  }
  return absl::UnavailableError(text);
}

absl::Status SqlStatus(absl::string_view where, const pqxx::sql_error& error, bool* broken) {
  const std::string& state = error.sqlstate();
  const std::string text = absl::StrCat(where, ": ", absl::StripAsciiWhitespace(error.what()),
                                        state.empty() ? "" : " (SQLSTATE ", state, state.empty() ? "" : ")");
  if (state == "40001" || state == "40P01") return MarkRetryable(absl::AbortedError(text));
  if (state == "55P03" || state == "57014") return absl::UnavailableError(text);  // lock_timeout, cancelled
  if (state == "42501" || state == "25006") return absl::PermissionDeniedError(text);
  if (state == "XX001" || state == "XX002") return absl::DataLossError(text);
  if (absl::StartsWith(state, "53")) return absl::ResourceExhaustedError(text);
  if (absl::StartsWith(state, "23")) return absl::AlreadyExistsError(text);
  if (absl::StartsWith(state, "22")) return absl::InvalidArgumentError(text);
  if (absl::StartsWith(state, "57P") || absl::StartsWith(state, "08")) {
    *broken = true;
    return MarkRetryable(absl::UnavailableError(text));
  }
  if (state.empty()) {
    // No SQLSTATE: the server did not answer the statement.
    *broken = true;
    return MarkRetryable(absl::UnavailableError(text));
  }
  return absl::InternalError(text);
}

}  // namespace

absl::Status StatusFromCurrentException(absl::string_view where, bool* broken) {
  try {
    throw;
  } catch (const pqxx::in_doubt_error& e) {
    *broken = true;
    return absl::UnavailableError(
        absl::StrCat(where, ": the connection was lost during commit; whether it happened is unknown: ", e.what()));
  } catch (const pqxx::serialization_failure& e) {
    return MarkRetryable(absl::AbortedError(absl::StrCat(where, ": ", e.what())));
  } catch (const pqxx::deadlock_detected& e) {
    return MarkRetryable(absl::AbortedError(absl::StrCat(where, ": ", e.what())));
  } catch (const pqxx::transaction_rollback& e) {
    return MarkRetryable(absl::AbortedError(absl::StrCat(where, ": ", e.what())));
  } catch (const pqxx::too_many_connections& e) {
    *broken = true;
    return absl::ResourceExhaustedError(absl::StrCat(where, ": ", e.what()));
  } catch (const pqxx::broken_connection& e) {
    *broken = true;
    return MarkRetryable(ConnectionStatus(where, e.what()));
  } catch (const pqxx::sql_error& e) {
    return SqlStatus(where, e, broken);
  } catch (const std::bad_alloc&) {
    *broken = true;
    return absl::ResourceExhaustedError(absl::StrCat(where, ": out of memory"));
  } catch (const std::exception& e) {
    *broken = true;
    return absl::InternalError(absl::StrCat(where, ": ", e.what()));
  } catch (...) {
    *broken = true;
    return absl::InternalError(absl::StrCat(where, ": unknown exception"));
  }
}

}  // namespace alcove::store::sql
