#include "services/vector-search/backup/backup_jobs.h"

#include <cerrno>
#include <cstdio>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/util/time_util.h>
#include <openssl/evp.h>

#include "libs/common/fs.h"
#include "libs/common/hash.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/common/trace.h"

namespace alcove::vector_search {
namespace {

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

std::string NewId() { return absl::StrCat(absl::Hex(RandomBits(), absl::kZeroPad16)); }

// A name for a backup that was given none: what it holds and when. Characters names cannot have are left out.
std::string NameFor(const std::string& collection, absl::Time now, absl::string_view id) {
  std::string out;
  for (const char c : collection) {
    if (absl::ascii_isalnum(c) || (!out.empty() && (c == '.' || c == '_' || c == '-'))) out += c;
  }
  if (out.empty()) out = "all";
  if (out.size() > 60) out.resize(60);
  return absl::StrCat(out, "-", absl::FormatTime("%Y%m%d-%H%M%S", now, absl::UTCTimeZone()), "-", id.substr(0, 4));
}

// SHA-256 of a file in hexadecimal. `check` is asked after each piece.
template <typename Check>
absl::StatusOr<std::string> Sha256(const std::string& path, Check check) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  if (file == nullptr) return ErrnoStatus(errno, path);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (digest == nullptr || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1) {
    return absl::InternalError("SHA-256 is not to be had");
  }
  std::string piece(size_t{4} << 20, '\0');
  while (const size_t n = std::fread(piece.data(), 1, piece.size(), file.get())) {
    if (EVP_DigestUpdate(digest.get(), piece.data(), n) != 1) return absl::InternalError("SHA-256 failed");
    ALCOVE_RETURN_IF_ERROR(check());
  }
  if (std::ferror(file.get()) != 0) return ErrnoStatus(errno, path);
  uint8_t out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_DigestFinal_ex(digest.get(), out, &size) != 1) return absl::InternalError("SHA-256 failed");
  return ToHex(absl::MakeConstSpan(out, size));
}

}  // namespace

// Writes down now and then how far a job is, and ends it when it is not wanted any more. For one job's thread.
class BackupJobs::Noter {
 public:
  Noter(BackupJobs& jobs, std::function<absl::Status()> write)
      : jobs_(jobs), write_(std::move(write)), noted_(jobs.clock_->Now()) {}
  absl::Status operator()() {
    if (jobs_.stopping_.token().cancelled()) return jobs_.stopping_.token().status();
    const absl::Time now = jobs_.clock_->Now();
    if (now - noted_ < jobs_.options_.note_every) return absl::OkStatus();
    noted_ = now;
    return write_();
  }

 private:
  BackupJobs& jobs_;
  const std::function<absl::Status()> write_;
  absl::Time noted_;
};

BackupJobs::BackupJobs(BackupJobsOptions options, store::BackupStore* store, BackupHooks hooks)
    : options_(std::move(options)),
      store_(store),
      hooks_(std::move(hooks)),
      clock_(options_.clock == nullptr ? RealClock() : options_.clock),
      folder_(options_.directory) {
  if (options_.registry != nullptr) {
    ended_ = &options_.registry->AddCounterFamily("alcove_vector_backup_jobs_total",
                                                  "Backups and restores that have ended.", {"job", "outcome"});
  }
  if (!options_.directory.empty()) pool_ = std::make_unique<TaskPool>(options_.threads, "backup");
}

BackupJobs::~BackupJobs() { Stop(); }

void BackupJobs::BeginStop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  stopping_.Cancel(absl::UnavailableError("the process was stopped meanwhile"));
}

void BackupJobs::Stop() {
  BeginStop();
  if (pool_ != nullptr) pool_->WaitIdle();
}

absl::Status BackupJobs::Enter() {
  ALCOVE_RETURN_IF_ERROR(folder_.CheckConfigured());
  absl::MutexLock lock(&mutex_);
  if (stopped_) return absl::UnavailableError("the process is stopping");
  if (jobs_ >= options_.max_jobs) {
    return WithRetryAfter(
        absl::ResourceExhaustedError(absl::StrCat(jobs_, " backups and restores are under way or waiting already")),
        absl::Seconds(10));
  }
  ++jobs_;
  return absl::OkStatus();
}

void BackupJobs::Submit(std::function<void()> job) {
  pool_->Submit([this, job = std::move(job)] {
    job();
    absl::MutexLock lock(&mutex_);
    --jobs_;
  });
}

absl::StatusOr<pb::Backup> BackupJobs::Create(const std::string& tenant, const std::string& name,
                                              const std::string& collection) {
  pb::Backup backup;
  backup.set_id(NewId());
  const absl::Time now = clock_->Now();
  backup.set_name(name.empty() ? NameFor(collection, now, backup.id()) : name);
  backup.set_collection(collection);
  backup.set_state(pb::JOB_STATE_RUNNING);
  *backup.mutable_taken_at() = ToTimestamp(now);
  ALCOVE_RETURN_IF_ERROR(Enter());
  absl::StatusOr<FileLock> lock = folder_.Claim(tenant, backup);
  if (!lock.ok()) {
    absl::MutexLock jobs(&mutex_);
    --jobs_;
    return lock.status();
  }
  Submit([this, tenant, backup, held = std::make_shared<FileLock>(*std::move(lock))] { Make(tenant, backup); });
  return backup;
}

void BackupJobs::Make(const std::string& tenant, pb::Backup backup) {
  Noter note(*this, [&] { return folder_.Update(tenant, backup); });
  const std::string file = folder_.DataFile(tenant, backup);
  const auto work = [&]() -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(stopping_.token().status());
    store::BackupOptions options;
    options.collection.emplace(tenant, backup.collection());
    options.progress = [&](const store::BackupProgress& at) {
      backup.set_progress(at.fraction * 0.9);  // the rest is the checksum
      backup.set_records(static_cast<uint64_t>(at.records));
      backup.set_bytes(static_cast<uint64_t>(at.bytes));
      return note();
    };
    ALCOVE_ASSIGN_OR_RETURN(const store::BackupSummary summary, store_->Write(file, options));
    *backup.mutable_taken_at() = ToTimestamp(summary.taken_at);
    backup.set_collections(static_cast<uint64_t>(summary.collections));
    backup.set_records(static_cast<uint64_t>(summary.records));
    backup.set_bytes(static_cast<uint64_t>(summary.bytes));
    ALCOVE_ASSIGN_OR_RETURN(const std::string sha256, Sha256(file, [&] { return note(); }));
    backup.set_sha256(sha256);
    return absl::OkStatus();
  };
  const absl::Status status = work();
  *backup.mutable_finished_at() = ToTimestamp(clock_->Now());
  if (status.ok()) {
    backup.set_state(pb::JOB_STATE_COMPLETE);
    backup.set_progress(1);
  } else {
    RemoveFile(file).IgnoreError();  // of no use to anybody
    backup.set_state(pb::JOB_STATE_FAILED);
    backup.set_error(std::string(status.message()));
  }
  const absl::Status noted = folder_.Update(tenant, backup);
  if (ended_ != nullptr) ended_->With({"backup", status.ok() && noted.ok() ? "ok" : "failed"}).Increment();
  LogInfo("backup ended", {{"tenant", tenant},
                           {"backup", backup.name()},
                           {"collection", backup.collection()},
                           {"bytes", static_cast<int64_t>(backup.bytes())},
                           {"status", status.ok() ? noted : status}});
}

absl::StatusOr<pb::Backup> BackupJobs::Get(const std::string& tenant, const std::string& name) const {
  return folder_.Get(tenant, name);
}

absl::StatusOr<BackupPage> BackupJobs::List(const std::string& tenant, uint32_t page_size,
                                            const std::string& page_token) const {
  return folder_.List(tenant, page_size, page_token);
}

absl::Status BackupJobs::Delete(const std::string& tenant, const std::string& name) {
  return folder_.Remove(tenant, name);
}

absl::StatusOr<pb::Restore> BackupJobs::StartRestore(const std::string& tenant, const std::string& name,
                                                     const std::string& collection) {
  ALCOVE_ASSIGN_OR_RETURN(const pb::Backup backup, folder_.Get(tenant, name));
  if (backup.collection().empty() && !collection.empty()) {
    return InvalidField("collection", "must be empty: this backup holds all the tenant's collections");
  }
  pb::Restore restore;
  restore.set_id(NewId());
  restore.set_backup(name);
  restore.set_collection(collection.empty() ? backup.collection() : collection);
  restore.set_state(pb::JOB_STATE_RUNNING);
  *restore.mutable_started_at() = ToTimestamp(clock_->Now());
  if (backup.state() == pb::JOB_STATE_COMPLETE && hooks_.check_room) {
    ALCOVE_RETURN_IF_ERROR(
        hooks_.check_room(tenant, static_cast<int64_t>(backup.collections()), static_cast<int64_t>(backup.records())));
  }
  ALCOVE_RETURN_IF_ERROR(Enter());
  absl::StatusOr<FileLock> lock = folder_.ClaimRestore(tenant, restore);
  if (!lock.ok()) {
    absl::MutexLock jobs(&mutex_);
    --jobs_;
    return lock.status();
  }
  Submit([this, tenant, restore, backup, held = std::make_shared<FileLock>(*std::move(lock))] {
    Bring(tenant, restore, backup);
  });
  return restore;
}

void BackupJobs::Bring(const std::string& tenant, pb::Restore restore, const pb::Backup& backup) {
  Noter note(*this, [&] { return folder_.UpdateRestore(tenant, restore); });
  const auto work = [&]() -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(stopping_.token().status());
    ALCOVE_RETURN_IF_ERROR(folder_.UpdateRestore(tenant, restore));  // it may have been given up while it waited
    store::RestoreOptions options;
    options.as_tenant = tenant;
    options.as_name = restore.collection();
    options.progress = [&](const store::BackupProgress& at) {
      restore.set_progress(at.fraction);
      restore.set_records(static_cast<uint64_t>(at.records));
      return note();
    };
    ALCOVE_ASSIGN_OR_RETURN(const store::BackupSummary summary,
                            store_->Restore(folder_.DataFile(tenant, backup), options));
    restore.set_collections(static_cast<uint64_t>(summary.collections));
    restore.set_records(static_cast<uint64_t>(summary.records));
    return absl::OkStatus();
  };
  const absl::Status status = work();
  if (status.ok() && hooks_.restored) hooks_.restored();
  *restore.mutable_finished_at() = ToTimestamp(clock_->Now());
  if (status.ok()) {
    restore.set_state(pb::JOB_STATE_COMPLETE);
    restore.set_progress(1);
  } else {
    restore.set_state(pb::JOB_STATE_FAILED);
    restore.set_error(std::string(status.message()));
  }
  // Given up too late, it is complete all the same, and its record says so.
  const absl::Status noted = folder_.EndRestore(tenant, restore);
  if (ended_ != nullptr) ended_->With({"restore", status.ok() ? "ok" : "failed"}).Increment();
  LogInfo("restore ended", {{"tenant", tenant},
                            {"backup", restore.backup()},
                            {"collection", restore.collection()},
                            {"status", status.ok() ? noted : status}});
}

absl::StatusOr<pb::Restore> BackupJobs::GetRestore(const std::string& tenant, const std::string& name) const {
  return folder_.GetRestore(tenant, name);
}

absl::Status BackupJobs::CancelRestore(const std::string& tenant, const std::string& name) {
  return folder_.CancelRestore(tenant, name);
}

}  // namespace alcove::vector_search
