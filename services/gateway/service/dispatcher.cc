#include "services/gateway/service/dispatcher.h"

#include <type_traits>
#include <utility>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "services/gateway/flows/collection_setup.h"
#include "services/gateway/flows/documents.h"

namespace alcove::gateway {
namespace {

constexpr std::string_view kCreateCollection = "/alcove.vector.v1.VectorService/CreateCollection";
constexpr std::string_view kDeleteCollection = "/alcove.vector.v1.VectorService/DeleteCollection";
constexpr std::string_view kSetAlias = "/alcove.vector.v1.VectorService/SetAlias";
constexpr std::string_view kDeleteAlias = "/alcove.vector.v1.VectorService/DeleteAlias";
constexpr std::string_view kUpsertPoints = "/alcove.vector.v1.VectorService/UpsertPoints";
constexpr std::string_view kUpdatePoints = "/alcove.vector.v1.VectorService/UpdatePoints";
constexpr std::string_view kDeletePoints = "/alcove.vector.v1.VectorService/DeletePoints";

// The field that names the collection in the requests of the writes below.
constexpr int kCollectionField = 1;

bool ChangesAnAlias(std::string_view path) { return path == kSetAlias || path == kDeleteAlias; }

bool ChangesACollection(std::string_view path) {
  return path == kDeleteCollection || path == kUpsertPoints || path == kUpdatePoints || path == kDeletePoints;
}

absl::Status NotForClients(const MethodInfo& info) {
  if (info.internal) {
    return absl::UnimplementedError(absl::StrCat(info.method->full_name(), " is only for Alcove's own processes"));
  }
  return info.planned ? NotBuilt(info.method->full_name()) : absl::OkStatus();
}

}  // namespace

std::string PeekTextField(std::string_view message, int number) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(message.data()),
                                            static_cast<int>(message.size()));
  std::string found;
  while (const uint32_t tag = in.ReadTag()) {
    const bool text = WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    if (WireFormatLite::GetTagFieldNumber(tag) == number && text) {
      uint32_t length = 0;
      if (!in.ReadVarint32(&length) || !in.ReadString(&found, static_cast<int>(length))) break;
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      break;
    }
  }
  return found;
}

template <typename Env, typename Request, typename Reply,
          asio::awaitable<absl::StatusOr<Reply>> (*Flow)(Env&, const RequestContext&, const Request&)>
asio::awaitable<absl::StatusOr<MessagePtr>> Dispatcher::Run(Dispatcher& self, const RequestContext& ctx,
                                                            const google::protobuf::Message& request) {
  Env* env;
  if constexpr (std::is_same_v<Env, FlowEnv>) {
    env = self.parts_.flows;
  } else {
    env = self.parts_.keys;
  }
  absl::StatusOr<Reply> reply = co_await Flow(*env, ctx, static_cast<const Request&>(request));
  if (!reply.ok()) co_return reply.status();
  MessagePtr message = std::make_unique<Reply>(*std::move(reply));
  co_return message;
}

asio::awaitable<absl::StatusOr<MessagePtr>> Dispatcher::Status(Dispatcher& self, const RequestContext& ctx,
                                                               const google::protobuf::Message&) {
  const Parts& parts = self.parts_;
  alcove::common::v1::ProcessStatus own =
      DescribeThisProcess("gateway", parts.address, parts.version, parts.started_at);
  std::vector<KnownProcess> processes = parts.processes;
  absl::StatusOr<v1::GetStatusResponse> reply =
      co_await GetSuiteStatus(*parts.probe, std::move(processes), std::move(own), ctx);
  if (!reply.ok()) co_return reply.status();
  MessagePtr message = std::make_unique<v1::GetStatusResponse>(*std::move(reply));
  co_return message;
}

void Dispatcher::AddLocalMethods() {
  const std::string documents = "/alcove.gateway.v1.DocumentService/";
  local_[documents + "UpsertDocuments"] =
      &Run<FlowEnv, v1::UpsertDocumentsRequest, v1::UpsertDocumentsResponse, &UpsertDocuments>;
  local_[documents + "GetDocument"] = &Run<FlowEnv, v1::GetDocumentRequest, v1::GetDocumentResponse, &GetDocument>;
  local_[documents + "DeleteDocument"] =
      &Run<FlowEnv, v1::DeleteDocumentRequest, v1::DeleteDocumentResponse, &DeleteDocument>;
  local_[documents + "Search"] = &Run<FlowEnv, v1::SearchRequest, v1::SearchResponse, &SearchDocuments>;
  local_[documents + "FindSimilar"] =
      &Run<FlowEnv, v1::FindSimilarRequest, v1::FindSimilarResponse, &FindSimilarDocuments>;
  const std::string keys = "/alcove.gateway.v1.KeyService/";
  local_[keys + "CreateKey"] = &Run<KeyEnv, v1::CreateKeyRequest, v1::CreateKeyResponse, &CreateKey>;
  local_[keys + "ListKeys"] = &Run<KeyEnv, v1::ListKeysRequest, v1::ListKeysResponse, &ListKeys>;
  local_[keys + "RevokeKey"] = &Run<KeyEnv, v1::RevokeKeyRequest, v1::RevokeKeyResponse, &RevokeKey>;
  local_["/alcove.gateway.v1.StatusService/GetStatus"] = &Status;
}

Dispatcher::Dispatcher(Parts parts) : parts_(std::move(parts)) { AddLocalMethods(); }

bool Dispatcher::MayBypass(const MethodInfo& info) {
  return !info.internal && !info.planned && !info.upstream.empty() && info.path != kCreateCollection &&
         !ChangesACollection(info.path);
}

asio::awaitable<absl::StatusOr<MessagePtr>> Dispatcher::Call(const RequestContext& ctx, const MethodInfo& info,
                                                             MessagePtr request) {
  if (absl::Status status = NotForClients(info); !status.ok()) co_return status;
  if (const auto it = local_.find(info.path); it != local_.end()) co_return co_await it->second(*this, ctx, *request);
  std::string bytes = request->SerializeAsString();
  request.reset();
  absl::StatusOr<std::string> answer = co_await Forward(ctx, info, std::move(bytes));
  if (!answer.ok()) co_return answer.status();
  MessagePtr reply(info.reply->New());
  if (!reply->ParseFromString(*answer)) {
    co_return absl::InternalError(absl::StrCat(info.upstream, " sent a reply that cannot be read"));
  }
  co_return reply;
}

asio::awaitable<absl::StatusOr<std::string>> Dispatcher::CallBytes(const RequestContext& ctx, const MethodInfo& info,
                                                                   std::string request) {
  if (absl::Status status = NotForClients(info); !status.ok()) co_return status;
  const auto it = local_.find(info.path);
  if (it == local_.end()) co_return co_await Forward(ctx, info, std::move(request));
  MessagePtr message(info.request->New());
  if (!message->ParseFromString(request)) {
    co_return absl::InvalidArgumentError(absl::StrCat("the message is no ", info.method->input_type()->full_name()));
  }
  request.clear();
  absl::StatusOr<MessagePtr> reply = co_await it->second(*this, ctx, *message);
  if (!reply.ok()) co_return reply.status();
  co_return (*reply)->SerializeAsString();
}

asio::awaitable<absl::StatusOr<std::string>> Dispatcher::Forward(const RequestContext& ctx, const MethodInfo& info,
                                                                 std::string request) {
  FlowEnv& flows = *parts_.flows;
  if (info.upstream.empty()) co_return NotBuilt(info.method->full_name());
  std::string changed;
  if (info.path == kCreateCollection) {
    alcove::vector::v1::CreateCollectionRequest create;
    if (!create.ParseFromString(request)) {
      co_return absl::InvalidArgumentError("the message is no alcove.vector.v1.CreateCollectionRequest");
    }
    absl::Status completed = co_await CompleteCollection(flows, ctx, create);
    if (!completed.ok()) co_return completed;
    request = create.SerializeAsString();
    changed = create.collection().name();
  } else if (ChangesACollection(info.path) || ChangesAnAlias(info.path)) {
    changed = PeekTextField(request, kCollectionField);
  }
  const BackendMethod method{info.upstream.c_str(), info.path.c_str(), info.idempotent};
  RequestContext context = ctx;
  absl::StatusOr<std::string> reply =
      co_await flows.backends.Call(std::move(context), method, std::move(request), absl::InfiniteDuration());
  if (!changed.empty()) {
    if (info.path == kCreateCollection || info.path == kDeleteCollection || ChangesAnAlias(info.path)) {
      flows.collections.Forget(ctx.tenant(), changed);
    } else if (auto collection = co_await flows.collections.Get(ctx, changed); collection.ok()) {
      changed = (*collection)->name();  // it may have been written under an alias
    }
    // A failed write may have happened all the same.
    co_await flows.cache.Invalidate(ctx, CollectionTag(ctx.tenant(), changed));
  }
  co_return reply;
}

}  // namespace alcove::gateway
