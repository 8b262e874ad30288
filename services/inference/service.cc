#include "services/inference/service.h"

#include <memory>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/hpke/envelope.h"
#include "libs/rpc/process_status.h"
#include "libs/rpc/status.h"
#include "services/inference/convert.h"

namespace alcove::inference {
namespace {

constexpr char const* kService = v1::InferenceService::service_full_name();

// A request of at most this many bytes is tokenized at once (a few tens of microseconds) instead of on the pool.
constexpr size_t kTokenizeAtOnceBytes = 4096;

// HPKE's `info`: what is sealed for this opens for nothing else.
constexpr char kSealingPurpose[] = "alcove sealed embedding v1";

// A stream that ends at once with a status.
template <class Response>
class EndedStream final : public rpc::WriteReactor<Response> {
 public:
  EndedStream(rpc::ServerCall& call, const absl::Status& status) : rpc::WriteReactor<Response>(call) {
    this->Finish(status);
  }
  void OnDone() override { delete this; }
};

}  // namespace

InferenceFace::InferenceFace(const ModelCatalog& catalog, Executor& executor, hpke::PrivateKey sealing_key,
                             const rpc::MethodOptions& options, const Clock& clock)
    : Service(kService),
      catalog_(catalog),
      executor_(executor),
      sealing_key_(std::move(sealing_key)),
      pool_(options.pool),
      clock_(clock),
      started_at_(clock.Now()),
      embed_(options, kService, "Embed"),
      rerank_(options, kService, "Rerank"),
      tokenize_(options, kService, "Tokenize"),
      list_models_(options, kService, "ListModels"),
      get_model_(options, kService, "GetModel"),
      load_model_(options, kService, "LoadModel"),
      unload_model_(options, kService, "UnloadModel"),
      get_sealing_key_(options, kService, "GetSealingKey"),
      embed_sealed_(options, kService, "EmbedSealed"),
      get_status_(options, kService, "GetStatus") {
  Unary("Embed", &InferenceFace::Embed);
  Unary("Rerank", &InferenceFace::Rerank);
  Unary("Tokenize", &InferenceFace::Tokenize);
  Unary("ListModels", &InferenceFace::ListModels);
  Unary("GetModel", &InferenceFace::GetModel);
  Unary("LoadModel", &InferenceFace::LoadModel);
  Unary("UnloadModel", &InferenceFace::UnloadModel);
  Unary("GetSealingKey", &InferenceFace::GetSealingKey);
  Unary("EmbedSealed", &InferenceFace::EmbedSealed);
  Unary("GetStatus", &InferenceFace::GetStatus);
  ServerStreaming("Generate", &InferenceFace::Generate);
}

void InferenceFace::SetAddress(const std::string& address) {
  absl::MutexLock lock(&mu_);
  address_ = address;
}

void InferenceFace::Embed(rpc::UnaryCall* call, const v1::EmbedRequest* request, v1::EmbedResponse* response) {
  return embed_.HandleAsync(call, [=, this](const RequestContext& ctx, rpc::Finish finish) mutable {
    if (request->ByteSizeLong() <= kTokenizeAtOnceBytes) {
      DoEmbed(ctx, *request, *response, std::move(finish));
      return;
    }
    pool_->Submit(
        [=, this, finish = std::move(finish)]() mutable { DoEmbed(ctx, *request, *response, std::move(finish)); });
  });
}

void InferenceFace::DoEmbed(const RequestContext& ctx, const v1::EmbedRequest& request, v1::EmbedResponse& response,
                            absl::AnyInvocable<void(absl::Status)> finish) {
  if (absl::Status status = ctx.Check(clock_); !status.ok()) return finish(std::move(status));
  const auto model = catalog_.Find(request.model());
  if (!model.ok()) return finish(model.status());
  absl::StatusOr<EmbedInput> input = ReadEmbedInput(request, **model);
  if (!input.ok()) return finish(input.status());
  response.set_model((*model)->name());
  response.set_prompt_tokens(input->tokens);
  response.set_truncated_texts(input->truncated);
  executor_.Submit(ctx, (*model)->name(), std::move(input->sequences),
                   ToPriority(request.priority(), ctx.criticality()),
                   [&response, dimensions = request.dimensions(),
                    finish = std::move(finish)](absl::StatusOr<EmbedResult> result) mutable {
                     if (!result.ok()) return finish(result.status());
                     WriteEmbeddings(*result, dimensions, response);
                     finish(absl::OkStatus());
                   });
}

void InferenceFace::GetSealingKey(rpc::UnaryCall* call, const v1::GetSealingKeyRequest*,
                                  v1::GetSealingKeyResponse* response) {
  return get_sealing_key_.Handle(call, [=, this](const RequestContext&) -> absl::Status {
    const hpke::PublicKey& key = sealing_key_.public_key();
    response->set_key_id(hpke::KeyName(key));
    response->set_public_key(key.data(), key.size());
    response->set_purpose(kSealingPurpose);
    return absl::OkStatus();
  });
}

void InferenceFace::EmbedSealed(rpc::UnaryCall* call, const v1::EmbedSealedRequest* request,
                                v1::EmbedSealedResponse* response) {
  return embed_sealed_.HandleAsync(call, [=, this](const RequestContext& ctx, rpc::Finish finish) mutable {
    pool_->Submit([=, this, finish = std::move(finish)]() mutable {
      DoEmbedSealed(ctx, *request, *response, std::move(finish));
    });
  });
}

void InferenceFace::DoEmbedSealed(const RequestContext& ctx, const v1::EmbedSealedRequest& request,
                                  v1::EmbedSealedResponse& response, rpc::Finish finish) {
  const std::string own = hpke::KeyName(sealing_key_.public_key());
  if (request.key_id() != own) {
    return finish(WithReason(
        absl::FailedPreconditionError(absl::StrCat("the text is sealed to the key \"", request.key_id(),
                                                   "\"; this process has \"", own, "\". Fetch the key again")),
        "SEALING_KEY_UNKNOWN"));
  }
  const auto aead =
      request.aead() == v1::SEALING_AEAD_UNSPECIFIED ? hpke::Aead::kAes256Gcm : static_cast<hpke::Aead>(request.aead());
  auto opened = hpke::OpenRequest(sealing_key_, kSealingPurpose, aead, request.sealed());
  if (!opened.ok()) return finish(WithReason(opened.status(), "ENVELOPE_DOES_NOT_OPEN"));
  // Everything of the call lives until its answer is sealed.
  struct Call {
    v1::EmbedRequest request;
    v1::EmbedResponse response;
    hpke::Replies replies;
  };
  auto call = std::make_shared<Call>(Call{{}, {}, std::move(opened->replies)});
  if (!call->request.ParseFromString(opened->text)) {
    return finish(absl::InvalidArgumentError("the sealed text is no EmbedRequest"));
  }
  DoEmbed(ctx, call->request, call->response,
          [call, &response, finish = std::move(finish)](absl::Status status) mutable {
            if (!status.ok()) return finish(std::move(status));
            auto sealed = call->replies.Seal(call->response.SerializeAsString());
            if (!sealed.ok()) return finish(sealed.status());
            response.set_sealed(*std::move(sealed));
            finish(absl::OkStatus());
          });
}

void InferenceFace::Rerank(rpc::UnaryCall* call, const v1::RerankRequest* request, v1::RerankResponse* response) {
  return rerank_.Handle(call, [=, this](const RequestContext&) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(const LoadedModel* model, catalog_.Find(request->model()));
    return absl::FailedPreconditionError(
        absl::StrCat("model \"", model->name(), "\" has no ranking head; it makes embeddings"));
  });
}

rpc::WriteReactor<v1::GenerateResponse>* InferenceFace::Generate(rpc::ServerCall* call,
                                                                 const v1::GenerateRequest* request) {
  return new EndedStream<v1::GenerateResponse>(*call, NotBuilt("text generation"));
}

void InferenceFace::Tokenize(rpc::UnaryCall* call, const v1::TokenizeRequest* request, v1::TokenizeResponse* response) {
  return tokenize_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(const LoadedModel* model, catalog_.Find(request->model()));
    if (request->texts_size() > kMaxTexts) {
      return InvalidField("texts",
                          absl::StrCat("has ", request->texts_size(), " entries; at most ", kMaxTexts, " are allowed"));
    }
    response->set_model(model->name());
    const Tokenizer& tokenizer = model->embedding().tokenizer();
    for (const std::string& text : request->texts()) {
      ALCOVE_RETURN_IF_ERROR(ctx.Check(clock_));
      const std::vector<int32_t> ids =
          request->skip_special_tokens() ? tokenizer.EncodeWithoutSpecialTokens(text) : tokenizer.Encode(text, 0).ids;
      response->add_tokens()->mutable_ids()->Add(ids.begin(), ids.end());
    }
    return absl::OkStatus();
  });
}

void InferenceFace::ListModels(rpc::UnaryCall* call, const v1::ListModelsRequest*, v1::ListModelsResponse* response) {
  return list_models_.Handle(call, [=, this](const RequestContext&) -> absl::Status {
    for (const LoadedModel* model : catalog_.All()) ToProto(*model, catalog_.IsDefault(*model), response->add_models());
    return absl::OkStatus();
  });
}

void InferenceFace::GetModel(rpc::UnaryCall* call, const v1::GetModelRequest* request, v1::GetModelResponse* response) {
  return get_model_.Handle(call, [=, this](const RequestContext&) -> absl::Status {
    if (request->name().empty()) return InvalidField("name", "is empty");
    ALCOVE_ASSIGN_OR_RETURN(const LoadedModel* model, catalog_.Find(request->name()));
    ToProto(*model, catalog_.IsDefault(*model), response->mutable_model());
    return absl::OkStatus();
  });
}

void InferenceFace::LoadModel(rpc::UnaryCall* call, const v1::LoadModelRequest*, v1::LoadModelResponse*) {
  return load_model_.Handle(call, [](const RequestContext&) { return NotBuilt("loading models at run time"); });
}

void InferenceFace::UnloadModel(rpc::UnaryCall* call, const v1::UnloadModelRequest*, v1::UnloadModelResponse*) {
  return unload_model_.Handle(call, [](const RequestContext&) { return NotBuilt("unloading models at run time"); });
}

void InferenceFace::GetStatus(rpc::UnaryCall* call, const v1::GetStatusRequest*, v1::GetStatusResponse* response) {
  return get_status_.Handle(call, [=, this](const RequestContext&) -> absl::Status {
    std::string address;
    {
      absl::MutexLock lock(&mu_);
      address = address_;
    }
    rpc::DescribeProcess("inference", address, started_at_, response->mutable_process());
    size_t weight_bytes = 0;
    const std::vector<const LoadedModel*> models = catalog_.All();
    for (const LoadedModel* model : models) {
      ToProto(*model, catalog_.IsDefault(*model), response->add_models());
      weight_bytes += model->embedding().memory_bytes();
    }
    const ExecutorStats stats = executor_.stats();
    response->set_queue_depth(stats.queued);
    response->set_batches(stats.batches);
    response->set_texts(stats.texts);
    auto& facts = *response->mutable_process()->mutable_facts();
    facts["devices"] = "cpu";
    facts["kernels"] = std::string(models.front()->embedding().ops().name());
    facts["workers"] = absl::StrCat(executor_.workers());
    facts["weight_bytes"] = absl::StrCat(weight_bytes);
    facts["workspace_bytes"] = absl::StrCat(executor_.workspace_bytes());
    facts["running_texts"] = absl::StrCat(stats.running);
    return absl::OkStatus();
  });
}

}  // namespace alcove::inference
