#include "services/fhe-proxy/config.h"

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

int WorkerThreads(const config::v1::FheProxyConfig& config) {
  return config.threads() > 0 ? static_cast<int>(config.threads()) : AvailableCpus();
}

}  // namespace alcove::fhe_proxy
