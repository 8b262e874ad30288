// Between the domain's values and the protos, and the domain's errors as clients see them.
#pragma once

#include <absl/status/status.h>

#include "alcove/private_search/v1/private_search.pb.h"
#include "libs/fhe/wire/container.h"
#include "services/fhe-proxy/classify/classifier.h"
#include "services/fhe-proxy/database/encoded.h"
#include "services/fhe-proxy/keys/key_store.h"
#include "services/fhe-proxy/keys/parameter_sets.h"

namespace alcove::fhe_proxy {

void ToProto(const ParameterSet& set, size_t max_key_bytes, private_search::v1::ParameterSet* out);
void ToProto(const KeyInfo& info, private_search::v1::EvaluationKeys* out);

void ToProto(const fhe::Layout& layout, const fhe::SignPattern& signs, uint64_t blocks,
             private_search::v1::Layout* out);
void ToProto(const EncodedRecords& records, private_search::v1::RecordLayout* out);
// Without the parameter set, which needs the key store's limit.
void ToProto(const EncodedCollection& collection, private_search::v1::GetCollectionParametersResponse* out);
// Adds the clusters, when there are any.
void ClustersToProto(const EncodedCollection& collection, private_search::v1::GetCollectionParametersResponse* out);
void ToProto(const EncodedClassifier& classifier, private_search::v1::GetClassifierResponse* out);
Classifier FromProto(const private_search::v1::PutClassifierRequest& request);
fhe::Compression FromProto(private_search::v1::ReplyCompression compression);

// "4.1"
std::string VersionText(fhe::SealVersion version);

// The status with the reason of its fhe::Fault, if it has one: FHE_RESIDUE_OUT_OF_RANGE and so on.
absl::Status WithFaultReason(absl::Status status);

}  // namespace alcove::fhe_proxy
