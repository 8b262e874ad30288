#include "services/fhe-proxy/vector_source.h"

#include <algorithm>
#include <map>

#include <absl/strings/str_cat.h>
#include <google/protobuf/util/json_util.h>

#include "libs/common/status.h"
#include "libs/rpc/context.h"
#include "libs/rpc/status.h"

namespace alcove::fhe_proxy {
namespace {

namespace pb = vector::v1;

constexpr absl::Duration kCallTimeout = absl::Seconds(30);
constexpr char kTextField[] = "text";
constexpr size_t kMaxIds = 1000;

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(const RequestContext& ctx, Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                              const Request& request) {
  grpc::ClientContext client;
  const CancellationRegistration registration = rpc::ContextToClient(ctx.WithTimeout(kCallTimeout), client);
  Response response;
  const grpc::Status status = (stub.*method)(&client, request, &response);
  if (!status.ok()) return rpc::FromGrpc(status);
  return response;
}

// What a person reads of a payload: its text, else all of it.
std::string DocumentOf(const google::protobuf::Struct& payload) {
  const auto text = payload.fields().find(kTextField);
  if (text != payload.fields().end() && text->second.kind_case() == google::protobuf::Value::kStringValue) {
    return text->second.string_value();
  }
  std::string json;
  if (payload.fields().empty() || !google::protobuf::util::MessageToJsonString(payload, &json).ok()) return "";
  return json;
}

}  // namespace

VectorSource::VectorSource(std::shared_ptr<grpc::Channel> channel) {
  if (channel == nullptr) return;
  changes_ = pb::ChangeService::NewStub(channel);
  vectors_ = pb::VectorService::NewStub(channel);
}

absl::Status VectorSource::Configured() const {
  if (changes_ != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError("this service knows no vector-search process (vector_search in its settings)");
}

absl::StatusOr<CollectionInfo> VectorSource::Describe(const RequestContext& ctx, const std::string& collection,
                                                      const std::string& vector_name) {
  ALCOVE_RETURN_IF_ERROR(Configured());
  pb::DescribeLogRequest request;
  request.set_collection(collection);
  request.set_vector_name(vector_name);
  ALCOVE_ASSIGN_OR_RETURN(const auto response, Call(ctx, *changes_, &pb::ChangeService::Stub::DescribeLog, request));
  CollectionInfo info;
  info.identity = response.identity();
  info.dimension = response.config().dimension();
  switch (response.config().metric()) {
    case pb::METRIC_DOT: info.metric = Metric::kDot; break;
    case pb::METRIC_L2: info.metric = Metric::kL2; break;
    default: info.metric = Metric::kCosine; break;
  }
  info.epoch = response.epoch();
  info.heads.assign(response.heads().begin(), response.heads().end());
  return info;
}

absl::StatusOr<ChangePage> VectorSource::Changes(const RequestContext& ctx, const std::string& collection,
                                                 const std::string& vector_name, const CollectionInfo& info,
                                                 uint32_t shard, const ChangeCursor& cursor) {
  ALCOVE_RETURN_IF_ERROR(Configured());
  pb::ReadChangesRequest request;
  request.set_collection(collection);
  request.set_vector_name(vector_name);
  request.set_identity(info.identity);
  request.set_shard(shard);
  request.set_after_sequence(cursor.after_sequence);
  if (cursor.tombstone_floor) request.set_tombstone_floor(*cursor.tombstone_floor);
  ALCOVE_ASSIGN_OR_RETURN(auto response, Call(ctx, *changes_, &pb::ChangeService::Stub::ReadChanges, request));
  ChangePage page;
  page.last_sequence = response.last_sequence();
  page.tombstone_floor = response.tombstone_floor();
  page.at_end = response.at_end();
  if (!page.at_end && page.last_sequence <= cursor.after_sequence) {
    return absl::InternalError("vector-search sent a page that leads nowhere");
  }
  std::vector<size_t> asked;
  page.changes.reserve(static_cast<size_t>(response.changes_size()));
  for (pb::Change& change : *response.mutable_changes()) {
    PointChange& out = page.changes.emplace_back();
    out.id = std::move(*change.mutable_id());
    out.removed = change.kind() == pb::CHANGE_KIND_DELETE;
    out.payload_only = change.kind() == pb::CHANGE_KIND_PAYLOAD;
    out.vector.assign(change.vector().begin(), change.vector().end());
    if (change.kind() == pb::CHANGE_KIND_VECTOR) asked.push_back(page.changes.size() - 1);
  }
  // What such a change left of a point only the shard knows. It may be newer than the page; the changes that made it so
  // come later and say the same.
  CollectionInfo at = info;
  at.heads.assign(info.heads.size(), 0);
  at.heads[shard] = page.last_sequence;
  for (size_t begin = 0; begin < asked.size(); begin += kMaxIds) {
    const size_t end = std::min(asked.size(), begin + kMaxIds);
    std::vector<std::string> ids;
    for (size_t i = begin; i < end; ++i) ids.push_back(page.changes[asked[i]].id);
    ALCOVE_ASSIGN_OR_RETURN(auto vectors, Vectors(ctx, collection, vector_name, at, ids));
    for (size_t i = begin; i < end; ++i) page.changes[asked[i]].vector = std::move(vectors[i - begin]);
  }
  return page;
}

absl::StatusOr<std::vector<std::string>> VectorSource::Documents(const RequestContext& ctx,
                                                                 const std::string& collection,
                                                                 const CollectionInfo& at,
                                                                 absl::Span<const std::string> ids) {
  ALCOVE_RETURN_IF_ERROR(Configured());
  pb::GetPointsRequest request;
  request.set_collection(collection);
  request.set_min_sequence(at.SequenceToken());
  for (const std::string& id : ids) request.add_ids(id);
  ALCOVE_ASSIGN_OR_RETURN(const auto response, Call(ctx, *vectors_, &pb::VectorService::Stub::GetPoints, request));
  std::map<absl::string_view, const pb::Point*> by_id;
  for (const pb::Point& point : response.points()) by_id[point.id()] = &point;
  std::vector<std::string> out;
  for (const std::string& id : ids) {
    const auto it = by_id.find(id);
    out.push_back(it == by_id.end() ? "" : DocumentOf(it->second->payload()));
  }
  return out;
}

absl::StatusOr<std::vector<std::vector<float>>> VectorSource::Vectors(const RequestContext& ctx,
                                                                      const std::string& collection,
                                                                      const std::string& vector_name,
                                                                      const CollectionInfo& at,
                                                                      absl::Span<const std::string> ids) {
  ALCOVE_RETURN_IF_ERROR(Configured());
  pb::GetPointsRequest request;
  request.set_collection(collection);
  request.set_with_vectors(true);
  request.mutable_payload()->set_none(true);
  request.set_min_sequence(at.SequenceToken());
  for (const std::string& id : ids) request.add_ids(id);
  ALCOVE_ASSIGN_OR_RETURN(const auto response, Call(ctx, *vectors_, &pb::VectorService::Stub::GetPoints, request));
  std::map<absl::string_view, const pb::Point*> by_id;
  for (const pb::Point& point : response.points()) by_id[point.id()] = &point;
  std::vector<std::vector<float>> out;
  for (const std::string& id : ids) {
    std::vector<float>& vector = out.emplace_back();
    const auto it = by_id.find(id);
    if (it == by_id.end()) continue;
    const pb::Point& point = *it->second;
    if (vector_name.empty()) {
      vector.assign(point.vector().begin(), point.vector().end());
    } else if (const auto named = point.named_vectors().find(vector_name); named != point.named_vectors().end()) {
      vector.assign(named->second.values().begin(), named->second.values().end());
    }
  }
  return out;
}

}  // namespace alcove::fhe_proxy
