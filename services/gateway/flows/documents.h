#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "alcove/gateway/v1/gateway.pb.h"
#include "alcove/vector/v1/vector.pb.h"
#include "services/gateway/flows/flow_env.h"

// The methods of alcove.gateway.v1.DocumentService. A document is a point whose payload is its metadata plus the field
// "text". Requests must outlive the awaitables.
namespace alcove::gateway {

inline constexpr char kTextField[] = "text";
inline constexpr char kTextIndexField[] = "text";  // the sparse field over it, where a collection gets one of itself
inline constexpr int kMaxDocuments = 1000;
inline constexpr size_t kMaxTextBytes = 256 * 1024;
inline constexpr size_t kMaxQueryBytes = 32 * 1024;
inline constexpr size_t kMaxIdBytes = 256;
inline constexpr size_t kMaxUpsertBytes = 64u << 20;

// ingest: check → embed in batches → store all points in one write → forget cached searches of the collection.
asio::awaitable<absl::StatusOr<v1::UpsertDocumentsResponse>> UpsertDocuments(FlowEnv& env, const RequestContext& ctx,
                                                                             const v1::UpsertDocumentsRequest& request);

// retrieve: cached answer → embed the query (cached), unless it is searched by words only → search → cache the answer.
// FAILED_PRECONDITION for a search by words in a collection without a text index.
asio::awaitable<absl::StatusOr<v1::SearchResponse>> SearchDocuments(FlowEnv& env, const RequestContext& ctx,
                                                                    const v1::SearchRequest& request);

asio::awaitable<absl::StatusOr<v1::FindSimilarResponse>> FindSimilarDocuments(FlowEnv& env, const RequestContext& ctx,
                                                                              const v1::FindSimilarRequest& request);
asio::awaitable<absl::StatusOr<v1::GetDocumentResponse>> GetDocument(FlowEnv& env, const RequestContext& ctx,
                                                                     const v1::GetDocumentRequest& request);
asio::awaitable<absl::StatusOr<v1::DeleteDocumentResponse>> DeleteDocument(FlowEnv& env, const RequestContext& ctx,
                                                                           const v1::DeleteDocumentRequest& request);

// The document of a stored payload: its text, and everything else as metadata.
void SplitPayload(google::protobuf::Struct payload, std::string* text, google::protobuf::Struct* metadata);
// One hit; a highlight of the text field becomes the hit's.
void FillHit(alcove::vector::v1::ScoredPoint& point, v1::DocumentHit* hit);
// Hits of found points.
void FillHits(alcove::vector::v1::SearchPointsResponse& found,
              google::protobuf::RepeatedPtrField<v1::DocumentHit>* hits);

// Measures one stage after another and writes them down in the reply and the metrics.
class StageTimer {
 public:
  StageTimer(FlowEnv& env, std::string_view flow) : env_(env), flow_(flow), begin_(env.clock->MonotonicNanos()) {}
  // The stage that ends now began when the one before ended.
  void End(std::string_view stage, google::protobuf::RepeatedPtrField<v1::StageTiming>* timings = nullptr);

 private:
  FlowEnv& env_;
  const std::string_view flow_;
  int64_t begin_;
};

}  // namespace alcove::gateway
