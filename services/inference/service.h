// alcove.inference.v1.InferenceService over the domain: embeddings, tokens, models, status. Ranking, generation and
// loading at run time answer errors that say what is missing.
#pragma once

#include <string>

#include <absl/functional/any_invocable.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "alcove/inference/v1/inference.grpc.pb.h"
#include "libs/common/clock.h"
#include "libs/common/task_pool.h"
#include "libs/hpke/hpke.h"
#include "libs/rpc/method.h"
#include "services/inference/catalog.h"
#include "services/inference/scheduler/executor.h"

namespace alcove::inference {

// Thread safe. What it is given outlives it.
class InferenceFace final : public rpc::Service {
 public:
  // `options.pool` tokenizes large requests and opens sealed ones.
  InferenceFace(const ModelCatalog& catalog, Executor& executor, hpke::PrivateKey sealing_key,
                const rpc::MethodOptions& options, const Clock& clock);

  void SetAddress(const std::string& address) ABSL_LOCKS_EXCLUDED(mu_);

  void Embed(rpc::UnaryCall* call, const v1::EmbedRequest* request, v1::EmbedResponse* response);
  void Rerank(rpc::UnaryCall* call, const v1::RerankRequest* request, v1::RerankResponse* response);
  rpc::WriteReactor<v1::GenerateResponse>* Generate(rpc::ServerCall* call, const v1::GenerateRequest* request);
  void Tokenize(rpc::UnaryCall* call, const v1::TokenizeRequest* request, v1::TokenizeResponse* response);
  void ListModels(rpc::UnaryCall* call, const v1::ListModelsRequest* request, v1::ListModelsResponse* response);
  void GetModel(rpc::UnaryCall* call, const v1::GetModelRequest* request, v1::GetModelResponse* response);
  void LoadModel(rpc::UnaryCall* call, const v1::LoadModelRequest* request, v1::LoadModelResponse* response);
  void UnloadModel(rpc::UnaryCall* call, const v1::UnloadModelRequest* request, v1::UnloadModelResponse* response);
  void GetSealingKey(rpc::UnaryCall* call, const v1::GetSealingKeyRequest* request,
                     v1::GetSealingKeyResponse* response);
  void EmbedSealed(rpc::UnaryCall* call, const v1::EmbedSealedRequest* request, v1::EmbedSealedResponse* response);
  void GetStatus(rpc::UnaryCall* call, const v1::GetStatusRequest* request, v1::GetStatusResponse* response);

 private:
  // `finish` is called once, with the response filled when it is OK.
  void DoEmbed(const RequestContext& ctx, const v1::EmbedRequest& request, v1::EmbedResponse& response,
               absl::AnyInvocable<void(absl::Status)> finish);
  void DoEmbedSealed(const RequestContext& ctx, const v1::EmbedSealedRequest& request,
                     v1::EmbedSealedResponse& response, rpc::Finish finish);

  const ModelCatalog& catalog_;
  Executor& executor_;
  const hpke::PrivateKey sealing_key_;
  TaskPool* const pool_;
  const Clock& clock_;
  const absl::Time started_at_;
  absl::Mutex mu_;
  std::string address_ ABSL_GUARDED_BY(mu_);
  rpc::UnaryMethod embed_, rerank_, tokenize_, list_models_, get_model_, load_model_, unload_model_, get_sealing_key_,
      embed_sealed_, get_status_;
};

}  // namespace alcove::inference
