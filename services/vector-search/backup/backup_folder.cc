#include "services/vector-search/backup/backup_folder.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>
#include <absl/time/clock.h>
#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libs/common/fs.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"
#include "libs/common/trace.h"

namespace alcove::vector_search {
namespace {

constexpr size_t kMaxName = 100;
constexpr size_t kMaxRecordBytes = 1 << 20;
constexpr uint32_t kMaxPage = 1000, kUsualPage = 100;
constexpr absl::string_view kPageToken = "backups:";
constexpr absl::string_view kRecord = "/backup.json", kRestoreRecord = "/restore.json";
constexpr absl::string_view kLock = "/backup.lock", kRestoreLock = "/restore.lock";
// Of folders on their way out; no name of a backup begins like this.
constexpr absl::string_view kRemoved = ".removed-";

// Of the whole file, and of the open file rather than of the process.
struct flock WholeFile() {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

// The lock of `path`; UNAVAILABLE when somebody has it.
absl::StatusOr<int> Lock(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, path);
  struct flock lock = WholeFile();
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return fd;
  const int error = errno;
  ::close(fd);
  if (error == EAGAIN || error == EACCES) return absl::UnavailableError(absl::StrCat(path, " is locked"));
  return ErrnoStatus(error, path);
}

// Whether somebody holds the lock. Looking takes nothing.
bool Locked(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  struct flock lock = WholeFile();
  const bool locked = ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  ::close(fd);
  return locked;
}

absl::Status WriteRecord(const std::string& path, const google::protobuf::Message& record) {
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  const auto printed = google::protobuf::util::MessageToJsonString(record, &json, options);
  if (!printed.ok()) return absl::InternalError(printed.ToString());
  return WriteFileAtomically(path, json, 0600);
}

template <typename Record>
absl::StatusOr<Record> ReadRecord(const std::string& path) {
  ALCOVE_ASSIGN_OR_RETURN(const std::string json, ReadFile(path, kMaxRecordBytes));
  Record record;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // of a later release
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &record, options);
  if (!parsed.ok()) return absl::DataLossError(absl::StrCat(path, ": is no record of a backup: ", parsed.ToString()));
  return record;
}

// A record that says RUNNING while nobody holds its lock: its process was killed. The lock is looked at before the
// record is read: who finishes writes the record first and lets go of the lock afterwards.
template <typename Record>
absl::StatusOr<Record> ReadState(const std::string& path, const std::string& lock) {
  const bool locked = Locked(lock);
  ALCOVE_ASSIGN_OR_RETURN(Record record, ReadRecord<Record>(path));
  if (record.state() == pb::JOB_STATE_RUNNING && !locked) {
    record.set_state(pb::JOB_STATE_FAILED);
    record.set_error(std::string(kAbandoned));
  }
  return record;
}

// Whether somebody works on what the lock and the record are of. Who has ended lets go of the lock a moment after the
// record says so.
template <typename Record>
bool AtWork(const std::string& record, const std::string& lock) {
  for (int look = 0; look < 40 && Locked(lock); ++look) {
    const auto known = ReadRecord<Record>(record);
    if (known.ok() && known->state() == pb::JOB_STATE_RUNNING) return true;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return Locked(lock);
}

// Finishes what a process that was killed had begun to remove.
void SweepRemoved(const std::string& tenant_folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(tenant_folder, error), end; !error && at != end; at.increment(error)) {
    if (!absl::StartsWith(at->path().filename().string(), kRemoved)) continue;
    std::error_code ignored;
    std::filesystem::remove_all(at->path(), ignored);
  }
}

}  // namespace

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

absl::Status BackupFolder::CheckName(absl::string_view name) {
  const auto fits = [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; };
  if (!name.empty() && name.size() <= kMaxName && absl::ascii_isalnum(name[0]) &&
      std::all_of(name.begin(), name.end(), fits)) {
    return absl::OkStatus();
  }
  return InvalidField(
      "name", absl::StrCat("must be 1 to ", kMaxName, " of A-Z a-z 0-9 . _ -, beginning with a letter or digit"));
}

absl::Status BackupFolder::CheckConfigured() const {
  if (!root_.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "backups are not configured: the operator names a folder for them in backup.directory of the vector-search "
      "processes; `alcovectl backup` works without");
}

// Tenants have any names; what could mean something to a file system is written as %XX.
std::string BackupFolder::TenantFolder(absl::string_view tenant) const {
  constexpr size_t kMaxFolder = 200;
  std::string out;
  for (const char c : tenant) {
    if (absl::ascii_isalnum(c) || c == '_' || c == '-') {
      out += c;
    } else {
      absl::StrAppend(&out, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  if (out.size() > kMaxFolder) {
    out = absl::StrCat(out.substr(0, kMaxFolder - 40), "~", Hash128(tenant).hex());  // '~' is in no other name
  }
  return absl::StrCat(root_, "/", out);
}

std::string BackupFolder::FolderOf(absl::string_view tenant, absl::string_view name) const {
  return absl::StrCat(TenantFolder(tenant), "/", name);
}

std::string BackupFolder::DataFile(const std::string& tenant, const pb::Backup& backup) const {
  return absl::StrCat(FolderOf(tenant, backup.name()), "/", backup.id(), ".backup");
}

absl::StatusOr<FileLock> BackupFolder::Claim(const std::string& tenant, const pb::Backup& backup) {
  ALCOVE_RETURN_IF_ERROR(CheckConfigured());
  ALCOVE_RETURN_IF_ERROR(CheckName(backup.name()));
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(TenantFolder(tenant), 0700));
  SweepRemoved(TenantFolder(tenant));
  const std::string folder = FolderOf(tenant, backup.name());
  if (const auto known = Get(tenant, backup.name()); known.ok() && known->state() == pb::JOB_STATE_FAILED) {
    ALCOVE_RETURN_IF_ERROR(Remove(tenant, backup.name()));
  }
  // Of several that try, one makes the folder.
  if (::mkdir(folder.c_str(), 0700) != 0) {
    if (errno == EEXIST) return AlreadyExists("backup", backup.name());
    return ErrnoStatus(errno, folder);
  }
  ALCOVE_ASSIGN_OR_RETURN(const int fd, Lock(absl::StrCat(folder, kLock)));
  FileLock lock(fd);
  ALCOVE_RETURN_IF_ERROR(WriteRecord(absl::StrCat(folder, kRecord), backup));
  return lock;
}

absl::StatusOr<pb::Backup> BackupFolder::Get(const std::string& tenant, const std::string& name) const {
  ALCOVE_RETURN_IF_ERROR(CheckConfigured());
  ALCOVE_RETURN_IF_ERROR(CheckName(name));
  const std::string folder = FolderOf(tenant, name);
  auto backup = ReadState<pb::Backup>(absl::StrCat(folder, kRecord), absl::StrCat(folder, kLock));
  if (absl::IsNotFound(backup.status())) {
    // Made and not yet described, or left so by a process that was killed just then.
    struct stat info = {};
    if (::stat(folder.c_str(), &info) != 0) return NotFound("backup", name);
    pb::Backup bare;
    bare.set_name(name);
    *bare.mutable_taken_at() = google::protobuf::util::TimeUtil::SecondsToTimestamp(info.st_mtim.tv_sec);
    const bool just_now = absl::Now() - absl::FromTimeT(info.st_mtim.tv_sec) < absl::Seconds(10);
    bare.set_state(just_now ? pb::JOB_STATE_RUNNING : pb::JOB_STATE_FAILED);
    if (!just_now) bare.set_error(std::string(kAbandoned));
    return bare;
  }
  return backup;
}

absl::StatusOr<BackupPage> BackupFolder::List(const std::string& tenant, uint32_t page_size,
                                              const std::string& page_token) const {
  ALCOVE_RETURN_IF_ERROR(CheckConfigured());
  if (page_size > kMaxPage) {
    return InvalidField("page_size", absl::StrCat("must be at most ", kMaxPage, ", not ", page_size));
  }
  const size_t limit = page_size == 0 ? kUsualPage : page_size;
  std::string after;
  if (!page_token.empty()) {
    std::string plain;
    absl::string_view rest;
    if (absl::WebSafeBase64Unescape(page_token, &plain)) rest = plain;
    if (!absl::ConsumePrefix(&rest, kPageToken) || !CheckName(rest).ok()) {
      return InvalidField("page_token", "is not a token of this listing; begin again without one");
    }
    after = std::string(rest);
  }
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(TenantFolder(tenant), error), end; !error && at != end;
       at.increment(error)) {
    std::string name = at->path().filename().string();
    if (name > after && CheckName(name).ok()) names.push_back(std::move(name));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoStatus(error.value(), TenantFolder(tenant));
  }
  std::sort(names.begin(), names.end());
  BackupPage page;
  for (const std::string& name : names) {
    if (page.backups.size() == limit) {
      page.next_page_token = absl::WebSafeBase64Escape(absl::StrCat(kPageToken, page.backups.back().name()));
      break;
    }
    auto backup = Get(tenant, name);
    if (absl::IsNotFound(backup.status())) continue;  // removed meanwhile
    if (!backup.ok()) return backup.status();
    page.backups.push_back(*std::move(backup));
  }
  return page;
}

absl::Status BackupFolder::Update(const std::string& tenant, const pb::Backup& backup) {
  const std::string path = absl::StrCat(FolderOf(tenant, backup.name()), kRecord);
  const auto known = ReadRecord<pb::Backup>(path);
  if (known.ok() ? known->id() != backup.id() : absl::IsNotFound(known.status())) {
    return absl::AbortedError("the backup was removed");
  }
  ALCOVE_RETURN_IF_ERROR(known.status());
  return WriteRecord(path, backup);
}

absl::Status BackupFolder::Remove(const std::string& tenant, const std::string& name) {
  ALCOVE_RETURN_IF_ERROR(CheckConfigured());
  ALCOVE_RETURN_IF_ERROR(CheckName(name));
  const std::string folder = FolderOf(tenant, name);
  if (AtWork<pb::Restore>(absl::StrCat(folder, kRestoreRecord), absl::StrCat(folder, kRestoreLock))) {
    return absl::FailedPreconditionError(
        absl::StrCat("backup \"", name, "\" is being restored; wait for it or cancel the restore"));
  }
  const std::string removed =
      absl::StrCat(TenantFolder(tenant), "/", kRemoved, absl::Hex(RandomBits(), absl::kZeroPad16));
  if (std::rename(folder.c_str(), removed.c_str()) != 0) {
    return errno == ENOENT ? NotFound("backup", name) : ErrnoStatus(errno, folder);
  }
  std::error_code error;
  std::filesystem::remove_all(removed, error);
  return error ? ErrnoStatus(error.value(), removed) : absl::OkStatus();
}

absl::StatusOr<FileLock> BackupFolder::ClaimRestore(const std::string& tenant, const pb::Restore& restore) {
  ALCOVE_ASSIGN_OR_RETURN(const pb::Backup backup, Get(tenant, restore.backup()));
  if (backup.state() != pb::JOB_STATE_COMPLETE) {
    return absl::FailedPreconditionError(
        absl::StrCat("backup \"", backup.name(), "\" is not complete",
                     backup.state() == pb::JOB_STATE_FAILED ? absl::StrCat(": ", backup.error()) : " yet"));
  }
  const std::string folder = FolderOf(tenant, restore.backup());
  absl::StatusOr<int> fd = absl::UnavailableError("");
  if (!AtWork<pb::Restore>(absl::StrCat(folder, kRestoreRecord), absl::StrCat(folder, kRestoreLock))) {
    fd = Lock(absl::StrCat(folder, kRestoreLock));
  }
  if (absl::IsUnavailable(fd.status())) {
    return absl::FailedPreconditionError(absl::StrCat("backup \"", restore.backup(), "\" is being restored already"));
  }
  if (!fd.ok()) return fd.status();
  FileLock lock(*fd);
  ALCOVE_RETURN_IF_ERROR(WriteRecord(absl::StrCat(folder, kRestoreRecord), restore));
  return lock;
}

absl::StatusOr<pb::Restore> BackupFolder::GetRestore(const std::string& tenant, const std::string& name) const {
  ALCOVE_RETURN_IF_ERROR(Get(tenant, name).status());
  const std::string folder = FolderOf(tenant, name);
  auto restore = ReadState<pb::Restore>(absl::StrCat(folder, kRestoreRecord), absl::StrCat(folder, kRestoreLock));
  return absl::IsNotFound(restore.status()) ? NotFound("restore of backup", name) : restore;
}

absl::Status BackupFolder::ReplaceRestore(const std::string& tenant, const pb::Restore& restore, bool even_if_ended) {
  const std::string path = absl::StrCat(FolderOf(tenant, restore.backup()), kRestoreRecord);
  ALCOVE_ASSIGN_OR_RETURN(const pb::Restore known, ReadRecord<pb::Restore>(path));
  if (known.id() != restore.id() || (known.state() != pb::JOB_STATE_RUNNING && !even_if_ended)) {
    return absl::AbortedError("the restore was given up");
  }
  return WriteRecord(path, restore);
}

absl::Status BackupFolder::UpdateRestore(const std::string& tenant, const pb::Restore& restore) {
  return ReplaceRestore(tenant, restore, /*even_if_ended=*/false);
}

absl::Status BackupFolder::EndRestore(const std::string& tenant, const pb::Restore& restore) {
  return ReplaceRestore(tenant, restore, /*even_if_ended=*/true);
}

absl::Status BackupFolder::CancelRestore(const std::string& tenant, const std::string& name) {
  ALCOVE_ASSIGN_OR_RETURN(pb::Restore restore, GetRestore(tenant, name));
  if (restore.state() != pb::JOB_STATE_RUNNING) {
    return absl::FailedPreconditionError(absl::StrCat("no restore of backup \"", name, "\" is under way"));
  }
  restore.set_state(pb::JOB_STATE_FAILED);
  restore.set_error("it was given up");
  *restore.mutable_finished_at() = google::protobuf::util::TimeUtil::GetCurrentTime();
  return WriteRecord(absl::StrCat(FolderOf(tenant, name), kRestoreRecord), restore);
}

}  // namespace alcove::vector_search
