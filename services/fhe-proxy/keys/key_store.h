// Evaluation keys of every tenant: validated at upload, kept on disk, found again after a restart, loaded on use.
//
// A tenant's storage is bounded; when an upload does not fit, the tenant's own least recently used keys make room. One
// tenant can never push out another's keys: when the whole store is full, uploads are refused instead. Parsed keys are
// kept in memory up to a byte budget and read again from disk beyond it.
//
// Thread safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "libs/fhe/search/expand.h"
#include "libs/fhe/wire/objects.h"
#include "services/fhe-proxy/keys/key_record.h"
#include "services/fhe-proxy/keys/parameter_sets.h"

namespace alcove::fhe_proxy {

// What may be told about stored keys.
struct KeyInfo {
  std::string key_id;  // 64 hexadecimal digits: BLAKE2b-256 of tenant, parameter set and uploaded bytes
  std::string parameter_set;
  fhe::SealVersion version;  // replies carry it
  size_t stored_bytes = 0;
  absl::Time created_at;
  absl::Time last_used_at;
  std::vector<uint32_t> galois_elements;
  bool has_relin_keys = false;
  std::string label;
};

// Parsed keys, ready to compute with.
struct EvaluationKeys {
  const ParameterSet* set = nullptr;
  fhe::SealVersion version;
  fhe::GaloisKeys galois;
  std::optional<fhe::RelinKeys> relin;
  // Keys of the set's expansion, prepared for computation.
  std::shared_ptr<const fhe::ExpansionKeys> expansion;

  size_t MemoryBytes() const;
};

struct KeyUpload {
  std::string parameter_set;
  absl::string_view galois_keys;
  absl::string_view relin_keys;  // may be empty
  std::string label;             // at most 128 bytes
};

class KeyStore {
 public:
  struct Options {
    std::string folder;                              // made when missing; everything in it belongs to the store
    size_t max_upload_bytes = size_t{4} << 20;       // of one upload, all objects together
    size_t max_bytes_per_tenant = size_t{64} << 20;  // on disk
    size_t max_keys_per_tenant = 64;
    size_t max_bytes_total = size_t{16} << 30;    // on disk, all tenants
    size_t max_loaded_bytes = size_t{256} << 20;  // parsed, in memory
  };
  struct ReloadReport {
    size_t key_sets = 0;
    size_t bytes = 0;
    size_t damaged = 0;   // checksum or format wrong; the file was renamed to *.damaged
    size_t orphaned = 0;  // intact, but made for parameters no longer offered; left alone
  };
  struct Uploaded {
    KeyInfo info;
    bool already_stored = false;
  };
  struct Page {
    std::vector<KeyInfo> keys;    // newest first
    std::string next_page_token;  // empty on the last page
  };
  struct Stats {
    size_t key_sets = 0;
    size_t stored_bytes = 0;
    size_t loaded_bytes = 0;
    uint64_t evictions = 0;  // key sets removed to make room, since start
  };

  // Reads what an earlier process left. `clock` must outlive the store. Errors: the folder cannot be made or read.
  static absl::StatusOr<std::unique_ptr<KeyStore>> Open(Options options, const Clock* clock);

  const ReloadReport& reload_report() const { return reload_report_; }

  // Checks the objects and stores them durably; the same bytes again change nothing. Errors, nothing kept:
  // INVALID_ARGUMENT with a fhe::Fault for any malformed object; INVALID_ARGUMENT for the label; NOT_FOUND for the
  // parameter set; RESOURCE_EXHAUSTED for sizes and a full store or disk; FAILED_PRECONDITION (reason KEY_REVOKED) for
  // keys that were revoked.
  absl::StatusOr<Uploaded> Upload(const std::string& tenant, const KeyUpload& upload);

  // The keys, for a computation; counts as use. NOT_FOUND for an unknown id, one of another tenant included;
  // FAILED_PRECONDITION (reason KEY_REVOKED) for a revoked one; DATA_LOSS when the file no longer reads back.
  absl::StatusOr<std::shared_ptr<const EvaluationKeys>> Use(const std::string& tenant, const std::string& key_id);

  // page_size in 1 … 1000. INVALID_ARGUMENT for a token this store did not give.
  absl::StatusOr<Page> List(const std::string& tenant, size_t page_size, const std::string& page_token) const;

  // Forgets the keys and removes their file. With `revoke`, the id is refused from then on, uploads of the same bytes
  // included. NOT_FOUND when there is nothing to delete; revoking twice is fine.
  absl::Status Delete(const std::string& tenant, const std::string& key_id, bool revoke);

  Stats stats() const;

 private:
  struct Entry {
    KeyInfo info;
    absl::Time touched_at;  // last use already recorded on disk
    std::shared_ptr<const EvaluationKeys> loaded;
    size_t loaded_bytes = 0;
  };
  struct Tenant {
    std::map<std::string, Entry> keys;  // by id
    std::set<std::string> revoked;
    size_t bytes = 0;
  };

  KeyStore(Options options, const Clock* clock) : options_(std::move(options)), clock_(clock) {}
  absl::Status Reload();
  void ReloadFile(const std::string& path);
  absl::StatusOr<std::shared_ptr<const EvaluationKeys>> Parse(const ParameterSet& set, absl::string_view galois,
                                                              absl::string_view relin) const;
  std::string TenantFolder(const std::string& tenant) const;
  std::string KeyPath(const std::string& tenant, const std::string& key_id) const;
  // Removes the tenant's oldest-used keys until `bytes` more fit.
  absl::Status MakeRoom(const std::string& tenant, Tenant& state, size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Remember(Entry& entry, std::shared_ptr<const EvaluationKeys> keys) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Erase(Tenant& state, std::map<std::string, Entry>::iterator it) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  const Clock* const clock_;
  ReloadReport reload_report_;

  absl::Mutex writing_ ABSL_ACQUIRED_BEFORE(mu_);  // one change of the folder at a time; held during disk work
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Tenant> tenants_ ABSL_GUARDED_BY(mu_);
  size_t total_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t total_keys_ ABSL_GUARDED_BY(mu_) = 0;
  size_t loaded_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t evictions_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace alcove::fhe_proxy
