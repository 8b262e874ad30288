#include "services/fhe-proxy/keys/key_store.h"

#include <algorithm>
#include <filesystem>

#include <absl/strings/escaping.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "libs/fhe/fault.h"
#include "libs/fhe/random/blake2b.h"

namespace alcove::fhe_proxy {
namespace {

constexpr size_t kMaxLabelBytes = 128;
constexpr size_t kMaxKeysInUpload = 32;  // Galois elements; a default SEAL set has 24 at N = 4096
constexpr absl::Duration kTouchInterval = absl::Minutes(1);
constexpr absl::string_view kKeySuffix = ".key";
constexpr absl::string_view kRevokedSuffix = ".revoked";

std::string KeyId(const std::string& tenant, const KeyUpload& upload) {
  std::string all;
  const auto add = [&](absl::string_view part) {
    const uint64_t size = part.size();
    all.append(reinterpret_cast<const char*>(&size), sizeof size);
    all.append(part.data(), part.size());
  };
  add(tenant);
  add(upload.parameter_set);
  add(upload.galois_keys);
  add(upload.relin_keys);
  return fhe::Blake2bHex(all);
}

bool IsKeyId(absl::string_view id) {
  return id.size() == 64 &&
         std::all_of(id.begin(), id.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

absl::Status Revoked(const std::string& key_id) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat("keys ", key_id, " were revoked")), "KEY_REVOKED");
}

std::string PageToken(const KeyInfo& info) {
  return absl::StrCat(absl::ToUnixNanos(info.created_at), ".", info.key_id);
}

size_t WordBytes(const std::vector<fhe::KeySwitchKey>& keys) {
  size_t bytes = 0;
  for (const fhe::KeySwitchKey& key : keys) {
    for (const fhe::PublicKey& digit : key.digits) bytes += digit.value.words.size() * 8 + sizeof digit;
  }
  return bytes;
}

// The file's time is how a restart knows the order of use; losing it costs only a worse eviction choice.
void RecordUse(const std::string& path, absl::Time now) {
  const timespec times[2] = {absl::ToTimespec(now), absl::ToTimespec(now)};
  (void)utimensat(AT_FDCWD, path.c_str(), times, 0);
}

}  // namespace

size_t EvaluationKeys::MemoryBytes() const {
  return sizeof *this + WordBytes(galois.keys) + (relin ? WordBytes(relin->keys) : 0) + expansion->MemoryBytes();
}

std::string KeyStore::TenantFolder(const std::string& tenant) const {
  return absl::StrCat(options_.folder, "/", fhe::Blake2bHex(tenant).substr(0, 32));
}

std::string KeyStore::KeyPath(const std::string& tenant, const std::string& key_id) const {
  return absl::StrCat(TenantFolder(tenant), "/", key_id, kKeySuffix);
}

absl::StatusOr<std::unique_ptr<KeyStore>> KeyStore::Open(Options options, const Clock* clock) {
  std::unique_ptr<KeyStore> store(new KeyStore(std::move(options), clock));
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(store->options_.folder, 0700));
  ALCOVE_RETURN_IF_ERROR(store->Reload());
  return store;
}

absl::Status KeyStore::Reload() {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<std::string> files;
  for (fs::directory_iterator tenant(options_.folder, error), end; !error && tenant != end; tenant.increment(error)) {
    if (!tenant->is_directory(error)) continue;
    for (fs::directory_iterator file(tenant->path(), error); !error && file != end; file.increment(error)) {
      files.push_back(file->path().string());
    }
    if (error) break;
  }
  if (error) return absl::UnavailableError(absl::StrCat("cannot list ", options_.folder, ": ", error.message()));
  for (const std::string& path : files) ReloadFile(path);
  // A crash between a revocation's mark and the removal of the keys leaves both; the removal is finished here.
  absl::MutexLock lock(&mu_);
  for (auto& [tenant, state] : tenants_) {
    for (const std::string& id : state.revoked) {
      const auto it = state.keys.find(id);
      if (it == state.keys.end()) continue;
      ALCOVE_RETURN_IF_ERROR(RemoveFile(KeyPath(tenant, id)));
      --reload_report_.key_sets;
      reload_report_.bytes -= it->second.info.stored_bytes;
      Erase(state, it);
    }
  }
  return absl::OkStatus();
}

void KeyStore::ReloadFile(const std::string& path) {
  const absl::string_view name = path;
  // A revocation mark holds the tenant's name; its file name is the id.
  if (absl::EndsWith(name, kRevokedSuffix)) {
    const std::string id = std::filesystem::path(path).stem().string();
    const auto tenant = ReadFile(path, 4096);
    if (!tenant.ok() || !IsKeyId(id)) return;
    absl::MutexLock lock(&mu_);
    tenants_[*tenant].revoked.insert(id);
    return;
  }
  if (!absl::EndsWith(name, kKeySuffix)) return;
  const auto bytes = ReadFile(path, options_.max_upload_bytes + (size_t{1} << 20));
  const auto record = bytes.ok() ? DecodeKeyRecord(*bytes) : absl::StatusOr<KeyRecord>(bytes.status());
  if (!record.ok() || KeyPath(record->tenant, record->key_id) != path) {
    std::error_code ignored;
    std::filesystem::rename(path, path + ".damaged", ignored);
    ++reload_report_.damaged;
    return;
  }
  const auto set = FindSet(record->parameter_set);
  if (!set.ok() || fhe::WriteParameters((*set)->parameters, {}) != record->seal_parameters) {
    ++reload_report_.orphaned;
    return;
  }
  Entry entry;
  entry.info = {record->key_id,          record->parameter_set,       record->version,
                bytes->size(),           record->created_at,          record->created_at,
                record->galois_elements, !record->relin_keys.empty(), record->label};
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0) {
    entry.info.last_used_at = std::max(entry.info.created_at, absl::TimeFromTimespec(info.st_mtim));
  }
  entry.touched_at = entry.info.last_used_at;
  absl::MutexLock lock(&mu_);
  Tenant& state = tenants_[record->tenant];
  state.bytes += bytes->size();
  total_bytes_ += bytes->size();
  ++total_keys_;
  state.keys[record->key_id] = std::move(entry);
  ++reload_report_.key_sets;
  reload_report_.bytes += bytes->size();
}

absl::StatusOr<std::shared_ptr<const EvaluationKeys>> KeyStore::Parse(const ParameterSet& set, absl::string_view galois,
                                                                      absl::string_view relin) const {
  auto keys = std::make_shared<EvaluationKeys>();
  keys->set = &set;
  auto read = fhe::ReadGaloisKeys(galois, set.parameters, kMaxKeysInUpload);
  if (!read.ok()) return fhe::Within("galois_keys", read.status());
  keys->version = read->version;
  keys->galois = std::move(read->object);
  for (uint32_t element : set.galois_elements) {
    if (keys->galois.Find(element) == nullptr) {
      return fhe::FaultError(fhe::Fault::kMissingKey, absl::StrCat("galois_keys: no key for Galois element ", element,
                                                                   ", which the parameter set ", set.name, " needs"));
    }
  }
  ALCOVE_ASSIGN_OR_RETURN(
      fhe::ExpansionKeys expansion,
      fhe::ExpansionKeys::Prepare(*set.context, keys->galois, static_cast<int>(set.galois_elements.size())));
  keys->expansion = std::make_shared<const fhe::ExpansionKeys>(std::move(expansion));
  if (!relin.empty()) {
    auto read_relin = fhe::ReadRelinKeys(relin, set.parameters);
    if (!read_relin.ok()) return fhe::Within("relin_keys", read_relin.status());
    if (!(read_relin->version == keys->version)) {
      return fhe::FaultError(fhe::Fault::kMixedVersions, "relin_keys: written by another SEAL than galois_keys");
    }
    keys->relin = std::move(read_relin->object);
  }
  return std::shared_ptr<const EvaluationKeys>(std::move(keys));
}

absl::StatusOr<KeyStore::Uploaded> KeyStore::Upload(const std::string& tenant, const KeyUpload& upload) {
  if (upload.label.size() > kMaxLabelBytes || !IsValidUtf8(upload.label)) {
    return InvalidField("label", "must be UTF-8 of at most 128 bytes");
  }
  if (upload.galois_keys.size() + upload.relin_keys.size() > options_.max_upload_bytes) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                          "the keys take ", FormatBytes(upload.galois_keys.size() + upload.relin_keys.size()),
                          "; at most ", FormatBytes(options_.max_upload_bytes),
                          " are accepted. Save them seeded (SEAL's Serializable) and compressed")),
                      "KEYS_TOO_LARGE");
  }
  ALCOVE_ASSIGN_OR_RETURN(const ParameterSet* set, FindSet(upload.parameter_set));
  ALCOVE_ASSIGN_OR_RETURN(auto keys, Parse(*set, upload.galois_keys, upload.relin_keys));

  KeyRecord record;
  record.tenant = tenant;
  record.key_id = KeyId(tenant, upload);
  record.parameter_set = set->name;
  record.seal_parameters = fhe::WriteParameters(set->parameters, {});
  record.label = upload.label;
  record.created_at = clock_->Now();
  record.version = keys->version;
  for (const fhe::KeySwitchKey& key : keys->galois.keys) {
    record.galois_elements.push_back(static_cast<uint32_t>(2 * key.index + 1));
  }
  record.galois_keys.assign(upload.galois_keys.data(), upload.galois_keys.size());
  record.relin_keys.assign(upload.relin_keys.data(), upload.relin_keys.size());

  absl::MutexLock writing(&writing_);
  const std::string bytes = EncodeKeyRecord(record);
  {
    absl::MutexLock lock(&mu_);
    Tenant& state = tenants_[tenant];
    if (state.revoked.contains(record.key_id)) return Revoked(record.key_id);
    if (const auto it = state.keys.find(record.key_id); it != state.keys.end()) {
      it->second.info.last_used_at = record.created_at;
      return Uploaded{it->second.info, true};
    }
    ALCOVE_RETURN_IF_ERROR(MakeRoom(tenant, state, bytes.size()));
  }
  // The file first: keys are known only once they are durable.
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(TenantFolder(tenant), 0700));
  ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(KeyPath(tenant, record.key_id), bytes, 0600));
  RecordUse(KeyPath(tenant, record.key_id), record.created_at);
  Entry entry;
  entry.info = {record.key_id,          record.parameter_set,       record.version,
                bytes.size(),           record.created_at,          record.created_at,
                record.galois_elements, !record.relin_keys.empty(), record.label};
  entry.touched_at = record.created_at;
  absl::MutexLock lock(&mu_);
  Tenant& state = tenants_[tenant];
  state.bytes += bytes.size();
  total_bytes_ += bytes.size();
  ++total_keys_;
  Entry& stored = state.keys[record.key_id] = std::move(entry);
  Remember(stored, std::move(keys));
  return Uploaded{stored.info, false};
}

absl::Status KeyStore::MakeRoom(const std::string& tenant, Tenant& state, size_t bytes) {
  if (bytes > options_.max_bytes_per_tenant) {
    return WithReason(
        absl::ResourceExhaustedError(absl::StrCat("keys of ", FormatBytes(bytes), " do not fit the tenant's ",
                                                  FormatBytes(options_.max_bytes_per_tenant))),
        "KEYS_TOO_LARGE");
  }
  // What the whole store lacks, the tenant's own old keys may still give.
  size_t freed = 0;
  std::vector<std::map<std::string, Entry>::iterator> by_use;
  for (auto it = state.keys.begin(); it != state.keys.end(); ++it) by_use.push_back(it);
  std::sort(by_use.begin(), by_use.end(),
            [](const auto& a, const auto& b) { return a->second.info.last_used_at < b->second.info.last_used_at; });
  size_t victims = 0;
  const auto fits = [&] {
    return state.bytes - freed + bytes <= options_.max_bytes_per_tenant &&
           state.keys.size() - victims < options_.max_keys_per_tenant &&
           total_bytes_ - freed + bytes <= options_.max_bytes_total;
  };
  while (!fits() && victims < by_use.size()) freed += by_use[victims++]->second.info.stored_bytes;
  if (!fits()) {
    return WithReason(absl::ResourceExhaustedError("the key store is full; delete keys that are no longer used"),
                      "KEY_STORE_FULL");
  }
  for (size_t i = 0; i < victims; ++i) {
    ALCOVE_RETURN_IF_ERROR(RemoveFile(KeyPath(tenant, by_use[i]->first)));
    Erase(state, by_use[i]);
    ++evictions_;
  }
  return absl::OkStatus();
}

void KeyStore::Erase(Tenant& state, std::map<std::string, Entry>::iterator it) {
  state.bytes -= it->second.info.stored_bytes;
  total_bytes_ -= it->second.info.stored_bytes;
  loaded_bytes_ -= it->second.loaded_bytes;
  --total_keys_;
  state.keys.erase(it);
}

void KeyStore::Remember(Entry& entry, std::shared_ptr<const EvaluationKeys> keys) {
  if (entry.loaded != nullptr) return;
  entry.loaded_bytes = keys->MemoryBytes();
  entry.loaded = std::move(keys);
  loaded_bytes_ += entry.loaded_bytes;
  while (loaded_bytes_ > options_.max_loaded_bytes) {
    Entry* oldest = nullptr;
    for (auto& [name, tenant] : tenants_) {
      for (auto& [id, candidate] : tenant.keys) {
        if (candidate.loaded == nullptr || &candidate == &entry) continue;
        if (oldest == nullptr || candidate.info.last_used_at < oldest->info.last_used_at) oldest = &candidate;
      }
    }
    if (oldest == nullptr) break;
    loaded_bytes_ -= oldest->loaded_bytes;
    oldest->loaded.reset();
    oldest->loaded_bytes = 0;
  }
}

absl::StatusOr<std::shared_ptr<const EvaluationKeys>> KeyStore::Use(const std::string& tenant,
                                                                    const std::string& key_id) {
  std::string parameter_set;
  bool touch = false;
  const absl::Time now = clock_->Now();
  std::shared_ptr<const EvaluationKeys> keys;
  {
    absl::MutexLock lock(&mu_);
    const auto state = tenants_.find(tenant);
    if (state == tenants_.end()) return NotFound("keys", key_id);
    if (state->second.revoked.contains(key_id)) return Revoked(key_id);
    const auto it = state->second.keys.find(key_id);
    if (it == state->second.keys.end()) return NotFound("keys", key_id);
    Entry& entry = it->second;
    entry.info.last_used_at = now;
    touch = now - entry.touched_at >= kTouchInterval;
    if (touch) entry.touched_at = now;
    keys = entry.loaded;
    parameter_set = entry.info.parameter_set;
  }
  const std::string path = KeyPath(tenant, key_id);
  if (touch) RecordUse(path, now);
  if (keys != nullptr) return keys;

  ALCOVE_ASSIGN_OR_RETURN(const ParameterSet* set, FindSet(parameter_set));
  const auto bytes = ReadFile(path, options_.max_upload_bytes + (size_t{1} << 20));
  if (!bytes.ok()) return absl::IsNotFound(bytes.status()) ? NotFound("keys", key_id) : bytes.status();
  ALCOVE_ASSIGN_OR_RETURN(const KeyRecord record, DecodeKeyRecord(*bytes));
  auto parsed = Parse(*set, record.galois_keys, record.relin_keys);
  if (!parsed.ok()) return absl::DataLossError(absl::StrCat("stored keys no longer read: ", parsed.status().message()));
  absl::MutexLock lock(&mu_);
  // The keys may have been deleted while they were read; then nothing remembers them.
  Tenant& state = tenants_[tenant];
  if (const auto it = state.keys.find(key_id); it != state.keys.end()) Remember(it->second, *parsed);
  return *parsed;
}

absl::StatusOr<KeyStore::Page> KeyStore::List(const std::string& tenant, size_t page_size,
                                              const std::string& page_token) const {
  absl::Time before = absl::InfiniteFuture();
  std::string before_id;
  if (!page_token.empty()) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(page_token, absl::MaxSplits('.', 1));
    int64_t nanos = 0;
    if (!absl::SimpleAtoi(parts.first, &nanos) || !IsKeyId(parts.second)) {
      return InvalidField("page_token", "was not given by this service");
    }
    before = absl::FromUnixNanos(nanos);
    before_id = parts.second;
  }
  Page page;
  absl::MutexLock lock(&mu_);
  const auto state = tenants_.find(tenant);
  if (state == tenants_.end()) return page;
  std::vector<const KeyInfo*> order;
  for (const auto& [id, entry] : state->second.keys) {
    if (std::pair(entry.info.created_at, id) < std::pair(before, before_id)) order.push_back(&entry.info);
  }
  std::sort(order.begin(), order.end(), [](const KeyInfo* a, const KeyInfo* b) {
    return std::pair(a->created_at, absl::string_view(a->key_id)) >
           std::pair(b->created_at, absl::string_view(b->key_id));
  });
  for (size_t i = 0; i < std::min(page_size, order.size()); ++i) page.keys.push_back(*order[i]);
  if (order.size() > page_size) page.next_page_token = PageToken(page.keys.back());
  return page;
}

absl::Status KeyStore::Delete(const std::string& tenant, const std::string& key_id, bool revoke) {
  if (!IsKeyId(key_id)) return NotFound("keys", key_id);
  absl::MutexLock writing(&writing_);
  {
    absl::MutexLock lock(&mu_);
    const auto state = tenants_.find(tenant);
    const bool revoked = state != tenants_.end() && state->second.revoked.contains(key_id);
    if (revoked) return revoke ? absl::OkStatus() : NotFound("keys", key_id);
    if (state == tenants_.end() || !state->second.keys.contains(key_id)) return NotFound("keys", key_id);
  }
  if (revoke) {
    // The mark before the removal: a crash in between leaves the keys unusable, never usable again.
    ALCOVE_RETURN_IF_ERROR(
        WriteFileAtomically(absl::StrCat(TenantFolder(tenant), "/", key_id, kRevokedSuffix), tenant, 0600));
    absl::MutexLock lock(&mu_);
    tenants_[tenant].revoked.insert(key_id);
  }
  ALCOVE_RETURN_IF_ERROR(RemoveFile(KeyPath(tenant, key_id)));
  absl::MutexLock lock(&mu_);
  Tenant& state = tenants_[tenant];
  if (const auto it = state.keys.find(key_id); it != state.keys.end()) Erase(state, it);
  return absl::OkStatus();
}

KeyStore::Stats KeyStore::stats() const {
  absl::MutexLock lock(&mu_);
  return {total_keys_, total_bytes_, loaded_bytes_, evictions_};
}

}  // namespace alcove::fhe_proxy
