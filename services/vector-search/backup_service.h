// alcove.vector.v1.BackupService over the backup jobs.
#pragma once

#include "alcove/vector/v1/backup.grpc.pb.h"
#include "libs/rpc/method.h"
#include "services/vector-search/backup/backup_jobs.h"
#include "services/vector-search/catalog/catalog.h"
#include "services/vector-search/work_queue.h"

namespace alcove::vector_search {

class BackupFace final : public rpc::Service {
 public:
  // All outlive the face. `queue` may wait for files.
  BackupFace(BackupJobs& jobs, Catalog& catalog, WorkQueue& queue, const rpc::MethodOptions& options);

#define ALCOVE_UNARY(Name)                                                            \
  void Name(rpc::UnaryCall* call, const ::alcove::vector::v1::Name##Request* request, \
            ::alcove::vector::v1::Name##Response* response);
  ALCOVE_UNARY(CreateBackup)
  ALCOVE_UNARY(ListBackups)
  ALCOVE_UNARY(GetBackup)
  ALCOVE_UNARY(DeleteBackup)
  ALCOVE_UNARY(StartRestore)
  ALCOVE_UNARY(GetRestore)
  ALCOVE_UNARY(CancelRestore)
#undef ALCOVE_UNARY

 private:
  // NOT_FOUND unless the collection exists; its own name when it was asked for by an alias; "" for "".
  absl::StatusOr<std::string> OwnName(const RequestContext& ctx, const std::string& collection) const;
  // ALREADY_EXISTS when a collection or alias has the name, as far as this process knows: the restore itself is sure.
  absl::Status CheckNameFree(const RequestContext& ctx, const std::string& collection) const;

  BackupJobs& jobs_;
  Catalog& catalog_;
  WorkQueue& queue_;
  rpc::UnaryMethod create_backup_, list_backups_, get_backup_, delete_backup_, start_restore_, get_restore_,
      cancel_restore_;
};

}  // namespace alcove::vector_search
