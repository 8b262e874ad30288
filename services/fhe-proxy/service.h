// alcove.private_search.v1.PrivateSearchService over the domain: parameters, keys, searches, lookups, classifiers.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <absl/time/time.h>

#include "alcove/private_search/v1/private_search.grpc.pb.h"
#include "libs/common/clock.h"
#include "libs/rpc/method.h"
#include "services/fhe-proxy/budget/privacy_budget.h"
#include "services/fhe-proxy/classify/classifier_store.h"
#include "services/fhe-proxy/database/collections.h"
#include "services/fhe-proxy/keys/key_store.h"
#include "services/fhe-proxy/search/engine.h"

namespace alcove::fhe_proxy {

// Thread safe.
class PrivateSearchFace final : public rpc::Service {
 public:
  // All outlive the face.
  struct Parts {
    KeyStore* keys;
    Collections* collections;
    ClassifierStore* classifiers;
    PrivacyBudget* budget;
    TaskPool* compute;  // where ciphertexts are worked on; the method options' pool only waits
    const Clock* clock;
    size_t max_upload_bytes;
    size_t max_queries;  // of one request
  };
  PrivateSearchFace(const Parts& parts, const rpc::MethodOptions& options);

  void SetAddress(const std::string& address);

  void GetParameters(rpc::UnaryCall* call, const private_search::v1::GetParametersRequest* request,
                     private_search::v1::GetParametersResponse* response);
  void UploadKeys(rpc::UnaryCall* call, const private_search::v1::UploadKeysRequest* request,
                  private_search::v1::UploadKeysResponse* response);
  void ListKeys(rpc::UnaryCall* call, const private_search::v1::ListKeysRequest* request,
                private_search::v1::ListKeysResponse* response);
  void DeleteKeys(rpc::UnaryCall* call, const private_search::v1::DeleteKeysRequest* request,
                  private_search::v1::DeleteKeysResponse* response);
  void GetCollectionParameters(rpc::UnaryCall* call, const private_search::v1::GetCollectionParametersRequest* request,
                               private_search::v1::GetCollectionParametersResponse* response);
  rpc::WriteReactor<private_search::v1::ListRowsResponse>* ListRows(rpc::ServerCall* call,
                                                                    const private_search::v1::ListRowsRequest* request);
  rpc::WriteReactor<private_search::v1::SearchResponse>* Search(rpc::ServerCall* call,
                                                                const private_search::v1::SearchRequest* request);
  rpc::WriteReactor<private_search::v1::LookupResponse>* Lookup(rpc::ServerCall* call,
                                                                const private_search::v1::LookupRequest* request);
  void Score(rpc::UnaryCall* call, const private_search::v1::ScoreRequest* request,
             private_search::v1::ScoreResponse* response);
  void PutClassifier(rpc::UnaryCall* call, const private_search::v1::PutClassifierRequest* request,
                     private_search::v1::PutClassifierResponse* response);
  void GetClassifier(rpc::UnaryCall* call, const private_search::v1::GetClassifierRequest* request,
                     private_search::v1::GetClassifierResponse* response);
  void ListClassifiers(rpc::UnaryCall* call, const private_search::v1::ListClassifiersRequest* request,
                       private_search::v1::ListClassifiersResponse* response);
  void DeleteClassifier(rpc::UnaryCall* call, const private_search::v1::DeleteClassifierRequest* request,
                        private_search::v1::DeleteClassifierResponse* response);
  void GetStatus(rpc::UnaryCall* call, const private_search::v1::GetStatusRequest* request,
                 private_search::v1::GetStatusResponse* response);

 private:
  // Queries being computed; the memory they take is bounded by their number.
  class ActiveQueries;

  absl::StatusOr<std::shared_ptr<const EncodedCollection>> VersionFor(const RequestContext& ctx,
                                                                      const CollectionName& name,
                                                                      const std::string& sequence, bool allow_older);

  // The queries of a request, each of which gets `replies` replies that its budget must hold.
  template <typename Request>
  EncryptedQueries QueriesOf(const RequestContext& ctx, const Request& request, size_t replies);

  const Parts parts_;
  const rpc::MethodOptions options_;
  const absl::Time started_at_;
  std::string address_;
  std::atomic<size_t> active_queries_{0};
  rpc::UnaryMethod get_parameters_, upload_keys_, list_keys_, delete_keys_, get_collection_parameters_, score_,
      put_classifier_, get_classifier_, list_classifiers_, delete_classifier_, get_status_;
  rpc::MethodRecorder list_rows_, search_, lookup_;
};

}  // namespace alcove::fhe_proxy
