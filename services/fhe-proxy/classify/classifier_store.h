// Classifiers of every tenant: checked when they are put, kept on disk, found again after a restart, encoded on use.
//
// Thread safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include "services/fhe-proxy/classify/classifier.h"

namespace alcove::fhe_proxy {

class ClassifierStore {
 public:
  struct Options {
    std::string folder;  // made when missing
    size_t max_per_tenant = 100;
  };
  struct Info {
    std::string name;
    uint32_t dimension = 0;
    std::vector<std::string> labels;
  };

  // Reads what an earlier process left; damaged files are set aside as *.damaged and counted.
  static absl::StatusOr<std::unique_ptr<ClassifierStore>> Open(Options options);
  size_t damaged() const { return damaged_; }

  // Stores or replaces the tenant's classifier of that name, durably. INVALID_ARGUMENT for what is wrong with it,
  // RESOURCE_EXHAUSTED (TOO_MANY_CLASSIFIERS).
  absl::Status Put(const std::string& tenant, Classifier classifier);
  // NOT_FOUND.
  absl::Status Delete(const std::string& tenant, const std::string& name);
  // In order of name.
  std::vector<Info> List(const std::string& tenant) const;
  // NOT_FOUND, also for another tenant's.
  absl::StatusOr<std::shared_ptr<const EncodedClassifier>> Encoded(const std::string& tenant, const std::string& name,
                                                                   const ParameterSet& set);

 private:
  struct Entry {
    std::shared_ptr<const Classifier> classifier;
    std::map<std::string, std::shared_ptr<const EncodedClassifier>> encoded;  // by parameter set
  };

  explicit ClassifierStore(Options options) : options_(std::move(options)) {}
  absl::Status Reload();
  std::string PathOf(const std::string& tenant, const std::string& name) const;

  const Options options_;
  size_t damaged_ = 0;
  absl::Mutex writing_ ABSL_ACQUIRED_BEFORE(mu_);  // one change of the folder at a time
  mutable absl::Mutex mu_;
  std::map<std::string, std::map<std::string, Entry>> tenants_ ABSL_GUARDED_BY(mu_);
};

}  // namespace alcove::fhe_proxy
