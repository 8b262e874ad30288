#include "services/fhe-proxy/classify/classifier_store.h"

#include <filesystem>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/fhe/random/blake2b.h"

namespace alcove::fhe_proxy {
namespace {

constexpr size_t kMaxFileBytes = size_t{16} << 20;
constexpr absl::string_view kSuffix = ".classifier";

}  // namespace

absl::StatusOr<std::unique_ptr<ClassifierStore>> ClassifierStore::Open(Options options) {
  std::unique_ptr<ClassifierStore> store(new ClassifierStore(std::move(options)));
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(store->options_.folder, 0700));
  ALCOVE_RETURN_IF_ERROR(store->Reload());
  return store;
}

std::string ClassifierStore::PathOf(const std::string& tenant, const std::string& name) const {
  return absl::StrCat(options_.folder, "/",
                      fhe::Blake2bHex(absl::StrCat(tenant.size(), ":", tenant, name)).substr(0, 32), kSuffix);
}

absl::Status ClassifierStore::Reload() {
  namespace fs = std::filesystem;
  std::error_code error;
  for (fs::directory_iterator file(options_.folder, error), end; !error && file != end; file.increment(error)) {
    const std::string path = file->path().string();
    if (!absl::EndsWith(path, kSuffix)) continue;
    const auto bytes = ReadFile(path, kMaxFileBytes);
    auto stored = bytes.ok() ? DecodeClassifier(*bytes) : absl::StatusOr<StoredClassifier>(bytes.status());
    if (!stored.ok() || PathOf(stored->tenant, stored->classifier.name) != path) {
      std::error_code ignored;
      fs::rename(path, path + ".damaged", ignored);
      ++damaged_;
      continue;
    }
    const std::string name = stored->classifier.name;
    absl::MutexLock lock(&mu_);
    tenants_[stored->tenant][name].classifier = std::make_shared<const Classifier>(std::move(stored->classifier));
  }
  if (error) return absl::UnavailableError(absl::StrCat("cannot list ", options_.folder, ": ", error.message()));
  return absl::OkStatus();
}

absl::Status ClassifierStore::Put(const std::string& tenant, Classifier classifier) {
  ALCOVE_RETURN_IF_ERROR(CheckClassifier(classifier));
  absl::MutexLock writing(&writing_);
  {
    absl::MutexLock lock(&mu_);
    const auto& own = tenants_[tenant];
    if (own.size() >= options_.max_per_tenant && !own.contains(classifier.name)) {
      return WithReason(absl::ResourceExhaustedError(absl::StrCat("a tenant has at most ", options_.max_per_tenant,
                                                                  " classifiers; delete one that is no longer used")),
                        "TOO_MANY_CLASSIFIERS");
    }
  }
  ALCOVE_RETURN_IF_ERROR(
      WriteFileAtomically(PathOf(tenant, classifier.name), EncodeClassifier(tenant, classifier), 0600));
  absl::MutexLock lock(&mu_);
  const std::string name = classifier.name;
  tenants_[tenant][name] = {std::make_shared<const Classifier>(std::move(classifier)), {}};
  return absl::OkStatus();
}

absl::Status ClassifierStore::Delete(const std::string& tenant, const std::string& name) {
  absl::MutexLock writing(&writing_);
  {
    absl::MutexLock lock(&mu_);
    const auto own = tenants_.find(tenant);
    if (own == tenants_.end() || !own->second.contains(name)) return NotFound("classifier", name);
  }
  ALCOVE_RETURN_IF_ERROR(RemoveFile(PathOf(tenant, name)));
  absl::MutexLock lock(&mu_);
  tenants_[tenant].erase(name);
  return absl::OkStatus();
}

std::vector<ClassifierStore::Info> ClassifierStore::List(const std::string& tenant) const {
  std::vector<Info> out;
  absl::MutexLock lock(&mu_);
  const auto own = tenants_.find(tenant);
  if (own == tenants_.end()) return out;
  for (const auto& [name, entry] : own->second) {
    out.push_back({name, entry.classifier->dimension, entry.classifier->labels});
  }
  return out;
}

absl::StatusOr<std::shared_ptr<const EncodedClassifier>> ClassifierStore::Encoded(const std::string& tenant,
                                                                                  const std::string& name,
                                                                                  const ParameterSet& set) {
  std::shared_ptr<const Classifier> classifier;
  {
    absl::MutexLock lock(&mu_);
    const auto own = tenants_.find(tenant);
    if (own == tenants_.end()) return NotFound("classifier", name);
    const auto it = own->second.find(name);
    if (it == own->second.end()) return NotFound("classifier", name);
    if (const auto ready = it->second.encoded.find(set.name); ready != it->second.encoded.end()) return ready->second;
    classifier = it->second.classifier;
  }
  ALCOVE_ASSIGN_OR_RETURN(auto encoded, EncodeForScoring(*classifier, set));
  absl::MutexLock lock(&mu_);
  const auto own = tenants_.find(tenant);
  if (own != tenants_.end()) {
    const auto it = own->second.find(name);
    if (it != own->second.end() && it->second.classifier == classifier) it->second.encoded[set.name] = encoded;
  }
  return encoded;
}

}  // namespace alcove::fhe_proxy
