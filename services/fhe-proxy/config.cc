#include "services/fhe-proxy/config.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "libs/common/net_address.h"
#include "libs/common/status.h"
#include "libs/common/task_pool.h"

namespace alcove::fhe_proxy {

KeyStore::Options KeyStoreOptions(const config::v1::FheProxyConfig& config) {
  KeyStore::Options options;
  options.folder = config.data_dir() + "/keys";
  options.max_upload_bytes = config.keys().max_upload_bytes();
  options.max_bytes_per_tenant = config.keys().max_bytes_per_tenant();
  options.max_keys_per_tenant = config.keys().max_per_tenant();
  options.max_bytes_total = config.keys().max_total_bytes();
  options.max_loaded_bytes = config.keys().max_loaded_bytes();
  return options;
}

Collections::Options CollectionsOptions(const config::v1::FheProxyConfig& config) {
  Collections::Options options;
  options.folder = config.data_dir() + "/collections";
  options.max_memory_bytes = config.database().max_memory_bytes();
  options.max_document_bytes = config.database().max_document_bytes();
  options.cluster_rows = config.database().cluster_rows();
  return options;
}

PrivacyBudget::Options BudgetOptions(const config::v1::FheProxyConfig& config) {
  PrivacyBudget::Options options;
  options.folder = config.data_dir() + "/budget";
  options.replies_per_key = static_cast<int64_t>(config.budget().replies_per_key());
  options.replies_per_tenant = static_cast<int64_t>(config.budget().replies_per_tenant());
  options.period =
      absl::Seconds(config.budget().period().seconds()) + absl::Nanoseconds(config.budget().period().nanos());
  return options;
}

ClassifierStore::Options ClassifierOptions(const config::v1::FheProxyConfig& config) {
  return {config.data_dir() + "/classifiers"};
}

absl::StatusOr<std::string> VectorSearchTarget(const config::v1::FheProxyConfig& config) {
  const auto& addresses = config.vector_search();
  if (addresses.empty()) return std::string();
  for (const std::string& address : addresses) {
    const auto parsed = ParseHostPort(address);
    if (!parsed.ok()) return Annotate(parsed.status(), "vector_search");
  }
  if (addresses.size() == 1) return addresses[0];
  // Several addresses make one target only when they are numbers; names resolve by DNS, one target each.
  const bool v6 = absl::StartsWith(addresses[0], "[");
  return absl::StrCat(v6 ? "ipv6:" : "ipv4:", absl::StrJoin(addresses, ","));
}

int WorkerThreads(const config::v1::FheProxyConfig& config) {
  return config.threads() > 0 ? static_cast<int>(config.threads()) : AvailableCpus();
}

}  // namespace alcove::fhe_proxy
