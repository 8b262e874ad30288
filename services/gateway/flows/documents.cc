#include "services/gateway/flows/documents.h"

#include <utility>

#include "libs/common/status.h"

namespace alcove::gateway {

namespace vector = alcove::vector::v1;

void SplitPayload(google::protobuf::Struct payload, std::string* text, google::protobuf::Struct* metadata) {
  auto& fields = *payload.mutable_fields();
  if (const auto it = fields.find(kTextField); it != fields.end() && it->second.has_string_value()) {
    *text = std::move(*it->second.mutable_string_value());
    fields.erase(it);
  }
  *metadata = std::move(payload);
}

void FillHit(vector::ScoredPoint& point, v1::DocumentHit* hit) {
  hit->set_id(std::move(*point.mutable_id()));
  hit->set_score(point.score());
  for (vector::Highlight& highlight : *point.mutable_highlights()) {
    if (highlight.field() == kTextField) hit->mutable_highlights()->Swap(highlight.mutable_fragments());
  }
  SplitPayload(std::move(*point.mutable_payload()), hit->mutable_text(), hit->mutable_metadata());
}

void FillHits(vector::SearchPointsResponse& found, google::protobuf::RepeatedPtrField<v1::DocumentHit>* hits) {
  hits->Reserve(found.points_size());
  for (vector::ScoredPoint& point : *found.mutable_points()) FillHit(point, hits->Add());
}

void StageTimer::End(std::string_view stage, google::protobuf::RepeatedPtrField<v1::StageTiming>* timings) {
  const int64_t now = env_.clock->MonotonicNanos();
  const int64_t spent = now - std::exchange(begin_, now);
  if (env_.observer != nullptr) env_.observer->OnStage(flow_, stage, absl::Nanoseconds(spent));
  if (timings == nullptr) return;
  v1::StageTiming* timing = timings->Add();
  timing->set_stage(std::string(stage));
  timing->set_micros(spent / 1000);
}

asio::awaitable<absl::StatusOr<v1::GetDocumentResponse>> GetDocument(FlowEnv& env, const RequestContext& ctx,
                                                                     const v1::GetDocumentRequest& request) {
  if (request.id().empty()) co_return InvalidField("id", "must be given");
  vector::GetPointsRequest get;
  get.set_collection(request.collection());
  get.add_ids(request.id());
  absl::StatusOr<vector::GetPointsResponse> reply =
      co_await CallBackend<vector::GetPointsResponse>(env.backends, ctx, methods::kGetPoints, get);
  if (!reply.ok()) co_return reply.status();
  if (reply->points().empty()) co_return NotFound("document", request.id());
  vector::Point& point = *reply->mutable_points(0);
  v1::GetDocumentResponse response;
  v1::Document& document = *response.mutable_document();
  document.set_id(std::move(*point.mutable_id()));
  SplitPayload(std::move(*point.mutable_payload()), document.mutable_text(), document.mutable_metadata());
  co_return response;
}

asio::awaitable<absl::StatusOr<v1::DeleteDocumentResponse>> DeleteDocument(FlowEnv& env, const RequestContext& ctx,
                                                                           const v1::DeleteDocumentRequest& request) {
  if (request.id().empty()) co_return InvalidField("id", "must be given");
  vector::DeletePointsRequest remove;
  remove.set_collection(request.collection());
  remove.add_ids(request.id());
  absl::StatusOr<vector::DeletePointsResponse> reply =
      co_await CallBackend<vector::DeletePointsResponse>(env.backends, ctx, methods::kDeletePoints, remove);
  if (!reply.ok()) co_return reply.status();
  auto collection = co_await env.collections.Get(ctx, request.collection());
  co_await env.cache.Invalidate(
      ctx, CollectionTag(ctx.tenant(), collection.ok() ? (*collection)->name() : request.collection()));
  v1::DeleteDocumentResponse response;
  response.set_sequence(reply->sequence());
  co_return response;
}

asio::awaitable<absl::StatusOr<v1::FindSimilarResponse>> FindSimilarDocuments(FlowEnv& env, const RequestContext& ctx,
                                                                              const v1::FindSimilarRequest& request) {
  if (request.id().empty()) co_return InvalidField("id", "must be given");
  StageTimer timer(env, "similar");
  vector::SearchPointsRequest search;
  search.set_collection(request.collection());
  search.set_id(request.id());
  search.set_limit(request.limit());
  if (request.has_filter()) *search.mutable_filter() = request.filter();
  absl::StatusOr<vector::SearchPointsResponse> found =
      co_await CallBackend<vector::SearchPointsResponse>(env.backends, ctx, methods::kSearchPoints, search);
  if (!found.ok()) co_return found.status();
  v1::FindSimilarResponse response;
  FillHits(*found, response.mutable_hits());
  *response.mutable_shards() = std::move(*found->mutable_shards());
  timer.End("search", response.mutable_timings());
  co_return response;
}

}  // namespace alcove::gateway
