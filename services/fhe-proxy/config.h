// The service's configuration as the domain's own options.
#pragma once

#include "alcove/config/v1/fhe_proxy.pb.h"
#include "services/fhe-proxy/keys/key_store.h"

namespace alcove::fhe_proxy {

KeyStore::Options KeyStoreOptions(const config::v1::FheProxyConfig& config);

// Worker threads, at least 1.
int WorkerThreads(const config::v1::FheProxyConfig& config);

}  // namespace alcove::fhe_proxy
