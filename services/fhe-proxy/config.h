// The service's configuration as the domain's own options.
#pragma once

#include "alcove/config/v1/fhe_proxy.pb.h"
#include "services/fhe-proxy/budget/privacy_budget.h"
#include "services/fhe-proxy/classify/classifier_store.h"
#include "services/fhe-proxy/database/collections.h"
#include "services/fhe-proxy/keys/key_store.h"

namespace alcove::fhe_proxy {

KeyStore::Options KeyStoreOptions(const config::v1::FheProxyConfig& config);

Collections::Options CollectionsOptions(const config::v1::FheProxyConfig& config);
PrivacyBudget::Options BudgetOptions(const config::v1::FheProxyConfig& config);
ClassifierStore::Options ClassifierOptions(const config::v1::FheProxyConfig& config);

// The gRPC target of the vector-search processes, empty when none is configured. INVALID_ARGUMENT for an address that
// is no host:port.
absl::StatusOr<std::string> VectorSearchTarget(const config::v1::FheProxyConfig& config);

// Worker threads, at least 1.
int WorkerThreads(const config::v1::FheProxyConfig& config);

}  // namespace alcove::fhe_proxy
