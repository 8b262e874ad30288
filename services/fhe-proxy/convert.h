// Between the domain's values and the protos, and the domain's errors as clients see them.
#pragma once

#include <absl/status/status.h>

#include "alcove/private_search/v1/private_search.pb.h"
#include "services/fhe-proxy/keys/key_store.h"
#include "services/fhe-proxy/keys/parameter_sets.h"

namespace alcove::fhe_proxy {

void ToProto(const ParameterSet& set, size_t max_key_bytes, private_search::v1::ParameterSet* out);
void ToProto(const KeyInfo& info, private_search::v1::EvaluationKeys* out);

// "4.1"
std::string VersionText(fhe::SealVersion version);

// The status with the reason of its fhe::Fault, if it has one: FHE_RESIDUE_OUT_OF_RANGE and so on.
absl::Status WithFaultReason(absl::Status status);

}  // namespace alcove::fhe_proxy
