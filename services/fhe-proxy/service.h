// alcove.private_search.v1.PrivateSearchService over the domain: parameters and keys. Scoring methods answer
// UNIMPLEMENTED in this version.
#pragma once

#include <string>

#include <absl/time/time.h>

#include "alcove/private_search/v1/private_search.grpc.pb.h"
#include "libs/common/clock.h"
#include "libs/rpc/method.h"
#include "services/fhe-proxy/keys/key_store.h"

namespace alcove::fhe_proxy {

// Thread safe. The store and the clock must outlive it.
class PrivateSearchFace final : public private_search::v1::PrivateSearchService::CallbackService {
 public:
  PrivateSearchFace(KeyStore& keys, size_t max_upload_bytes, const rpc::MethodOptions& options, const Clock& clock);

  void SetAddress(const std::string& address);

  grpc::ServerUnaryReactor* GetParameters(grpc::CallbackServerContext* server,
                                          const private_search::v1::GetParametersRequest* request,
                                          private_search::v1::GetParametersResponse* response) override;
  grpc::ServerUnaryReactor* UploadKeys(grpc::CallbackServerContext* server,
                                       const private_search::v1::UploadKeysRequest* request,
                                       private_search::v1::UploadKeysResponse* response) override;
  grpc::ServerUnaryReactor* ListKeys(grpc::CallbackServerContext* server,
                                     const private_search::v1::ListKeysRequest* request,
                                     private_search::v1::ListKeysResponse* response) override;
  grpc::ServerUnaryReactor* DeleteKeys(grpc::CallbackServerContext* server,
                                       const private_search::v1::DeleteKeysRequest* request,
                                       private_search::v1::DeleteKeysResponse* response) override;
  grpc::ServerWriteReactor<private_search::v1::SearchResponse>* Search(
      grpc::CallbackServerContext* server, const private_search::v1::SearchRequest* request) override;
  grpc::ServerWriteReactor<private_search::v1::LookupResponse>* Lookup(
      grpc::CallbackServerContext* server, const private_search::v1::LookupRequest* request) override;
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* server, const private_search::v1::ScoreRequest* request,
                                  private_search::v1::ScoreResponse* response) override;
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* server,
                                      const private_search::v1::GetStatusRequest* request,
                                      private_search::v1::GetStatusResponse* response) override;

 private:
  KeyStore& keys_;
  const size_t max_upload_bytes_;
  const Clock& clock_;
  const absl::Time started_at_;
  std::string address_;
  rpc::UnaryMethod get_parameters_, upload_keys_, list_keys_, delete_keys_, score_, get_status_;
};

}  // namespace alcove::fhe_proxy
