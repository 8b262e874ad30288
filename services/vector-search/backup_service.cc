#include "services/vector-search/backup_service.h"

#include <utility>

#include "libs/common/status.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/coordinator/validate.h"
#include "services/vector-search/handler.h"

namespace alcove::vector_search {
namespace {

struct Nothing {};

void Finish(absl::Status status, Done<Nothing>& done) {
  if (!status.ok()) return done(std::move(status));
  done(Nothing());
}

}  // namespace

BackupFace::BackupFace(BackupJobs& jobs, Catalog& catalog, WorkQueue& queue, const rpc::MethodOptions& options)
    : Service(pb::BackupService::service_full_name()),
      jobs_(jobs),
      catalog_(catalog),
      queue_(queue),
      create_backup_(options, pb::BackupService::service_full_name(), "CreateBackup"),
      list_backups_(options, pb::BackupService::service_full_name(), "ListBackups"),
      get_backup_(options, pb::BackupService::service_full_name(), "GetBackup"),
      delete_backup_(options, pb::BackupService::service_full_name(), "DeleteBackup"),
      start_restore_(options, pb::BackupService::service_full_name(), "StartRestore"),
      get_restore_(options, pb::BackupService::service_full_name(), "GetRestore"),
      cancel_restore_(options, pb::BackupService::service_full_name(), "CancelRestore") {
  Unary("CreateBackup", &BackupFace::CreateBackup);
  Unary("ListBackups", &BackupFace::ListBackups);
  Unary("GetBackup", &BackupFace::GetBackup);
  Unary("DeleteBackup", &BackupFace::DeleteBackup);
  Unary("StartRestore", &BackupFace::StartRestore);
  Unary("GetRestore", &BackupFace::GetRestore);
  Unary("CancelRestore", &BackupFace::CancelRestore);
}

absl::StatusOr<std::string> BackupFace::OwnName(const RequestContext& ctx, const std::string& collection) const {
  if (collection.empty()) return collection;
  ALCOVE_ASSIGN_OR_RETURN(const CatalogEntryPtr entry, catalog_.Find(TenantOf(ctx), collection));
  return entry->name;
}

absl::Status BackupFace::CheckNameFree(const RequestContext& ctx, const std::string& collection) const {
  if (collection.empty()) return absl::OkStatus();
  ALCOVE_RETURN_IF_ERROR(ValidateCollectionName(collection));
  const auto entry = catalog_.Find(TenantOf(ctx), collection);
  if (!entry.ok()) return absl::OkStatus();
  return AlreadyExists((*entry)->name == collection ? "collection" : "alias", collection);
}

void BackupFace::CreateBackup(rpc::UnaryCall* call, const pb::CreateBackupRequest* request,
                              pb::CreateBackupResponse* response) {
  return Answer<pb::Backup>(
      create_backup_, call, queue_,
      [=, this](const RequestContext& ctx, Done<pb::Backup> done) {
        // Said first: what is asked for does not matter when there are no backups at all.
        if (absl::Status status = jobs_.folder().CheckConfigured(); !status.ok()) return done(std::move(status));
        const auto collection = OwnName(ctx, request->collection());
        if (!collection.ok()) return done(collection.status());
        done(jobs_.Create(TenantOf(ctx), request->name(), *collection));
      },
      [=](pb::Backup backup) { *response->mutable_backup() = std::move(backup); });
}

void BackupFace::ListBackups(rpc::UnaryCall* call, const pb::ListBackupsRequest* request,
                             pb::ListBackupsResponse* response) {
  return Answer<BackupPage>(
      list_backups_, call, queue_,
      [=, this](const RequestContext& ctx, Done<BackupPage> done) {
        done(jobs_.List(TenantOf(ctx), request->page_size(), request->page_token()));
      },
      [=](BackupPage page) {
        for (pb::Backup& backup : page.backups) *response->add_backups() = std::move(backup);
        response->set_next_page_token(std::move(page.next_page_token));
      });
}

void BackupFace::GetBackup(rpc::UnaryCall* call, const pb::GetBackupRequest* request, pb::GetBackupResponse* response) {
  return Answer<pb::Backup>(
      get_backup_, call, queue_,
      [=, this](const RequestContext& ctx, Done<pb::Backup> done) { done(jobs_.Get(TenantOf(ctx), request->name())); },
      [=](pb::Backup backup) { *response->mutable_backup() = std::move(backup); });
}

void BackupFace::DeleteBackup(rpc::UnaryCall* call, const pb::DeleteBackupRequest* request,
                              pb::DeleteBackupResponse* response) {
  return Answer<Nothing>(
      delete_backup_, call, queue_,
      [=, this](const RequestContext& ctx, Done<Nothing> done) {
        Finish(jobs_.Delete(TenantOf(ctx), request->name()), done);
      },
      [](Nothing) {});
}

void BackupFace::StartRestore(rpc::UnaryCall* call, const pb::StartRestoreRequest* request,
                              pb::StartRestoreResponse* response) {
  return Answer<pb::Restore>(
      start_restore_, call, queue_,
      [=, this](const RequestContext& ctx, Done<pb::Restore> done) {
        const auto backup = jobs_.Get(TenantOf(ctx), request->name());
        if (!backup.ok()) return done(backup.status());
        const std::string& name = request->collection().empty() ? backup->collection() : request->collection();
        if (absl::Status status = CheckNameFree(ctx, name); !status.ok()) return done(std::move(status));
        done(jobs_.StartRestore(TenantOf(ctx), request->name(), request->collection()));
      },
      [=](pb::Restore restore) { *response->mutable_restore() = std::move(restore); });
}

void BackupFace::GetRestore(rpc::UnaryCall* call, const pb::GetRestoreRequest* request,
                            pb::GetRestoreResponse* response) {
  return Answer<pb::Restore>(
      get_restore_, call, queue_,
      [=, this](const RequestContext& ctx, Done<pb::Restore> done) {
        done(jobs_.GetRestore(TenantOf(ctx), request->name()));
      },
      [=](pb::Restore restore) { *response->mutable_restore() = std::move(restore); });
}

void BackupFace::CancelRestore(rpc::UnaryCall* call, const pb::CancelRestoreRequest* request,
                               pb::CancelRestoreResponse* response) {
  return Answer<Nothing>(
      cancel_restore_, call, queue_,
      [=, this](const RequestContext& ctx, Done<Nothing> done) {
        Finish(jobs_.CancelRestore(TenantOf(ctx), request->name()), done);
      },
      [](Nothing) {});
}

}  // namespace alcove::vector_search
