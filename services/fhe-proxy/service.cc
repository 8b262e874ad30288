#include "services/fhe-proxy/service.h"

#include <ctime>

#include <absl/strings/str_cat.h>
#include <google/protobuf/util/time_util.h>

#include "libs/common/log.h"
#include "libs/common/memory.h"
#include "libs/common/status.h"
#include "libs/rpc/service_main.h"
#include "libs/rpc/status.h"
#include "services/fhe-proxy/convert.h"

namespace alcove::fhe_proxy {
namespace {

namespace pb = private_search::v1;

constexpr char const* kService = pb::PrivateSearchService::service_full_name();
constexpr size_t kDefaultPage = 100;
constexpr size_t kMaxPage = 1000;

// A stream that ends at once with a status.
template <class Response>
class EndedStream final : public grpc::ServerWriteReactor<Response> {
 public:
  explicit EndedStream(const absl::Status& status) { this->Finish(rpc::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

absl::Status CheckTenant(const RequestContext& ctx) {
  if (!ctx.tenant().empty()) return absl::OkStatus();
  return absl::UnauthenticatedError("evaluation keys belong to a tenant, and the request names none");
}

}  // namespace

PrivateSearchFace::PrivateSearchFace(KeyStore& keys, size_t max_upload_bytes, const rpc::MethodOptions& options,
                                     const Clock& clock)
    : keys_(keys),
      max_upload_bytes_(max_upload_bytes),
      clock_(clock),
      started_at_(clock.Now()),
      get_parameters_(options, kService, "GetParameters"),
      upload_keys_(options, kService, "UploadKeys"),
      list_keys_(options, kService, "ListKeys"),
      delete_keys_(options, kService, "DeleteKeys"),
      score_(options, kService, "Score"),
      get_status_(options, kService, "GetStatus") {}

void PrivateSearchFace::SetAddress(const std::string& address) { address_ = address; }

grpc::ServerUnaryReactor* PrivateSearchFace::GetParameters(grpc::CallbackServerContext* server,
                                                           const pb::GetParametersRequest* request,
                                                           pb::GetParametersResponse* response) {
  return get_parameters_.Handle(server, [=, this](const RequestContext&) -> absl::Status {
    if (!request->name().empty()) {
      ALCOVE_ASSIGN_OR_RETURN(const ParameterSet* set, FindSet(request->name()));
      ToProto(*set, max_upload_bytes_, response->add_sets());
    } else {
      for (const ParameterSet& set : OfferedSets()) ToProto(set, max_upload_bytes_, response->add_sets());
    }
    for (uint8_t major : {3, 4}) {
      for (uint8_t minor = 0; minor < 16; ++minor) {
        const fhe::SealVersion version{major, minor};
        if (version.Supported()) response->add_seal_versions(VersionText(version));
      }
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* PrivateSearchFace::UploadKeys(grpc::CallbackServerContext* server,
                                                        const pb::UploadKeysRequest* request,
                                                        pb::UploadKeysResponse* response) {
  return upload_keys_.Handle(server, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    const auto uploaded = keys_.Upload(
        ctx.tenant(), {request->parameter_set(), request->galois_keys(), request->relin_keys(), request->label()});
    if (!uploaded.ok()) return WithFaultReason(uploaded.status());
    ToProto(uploaded->info, response->mutable_keys());
    response->set_already_stored(uploaded->already_stored);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* PrivateSearchFace::ListKeys(grpc::CallbackServerContext* server,
                                                      const pb::ListKeysRequest* request,
                                                      pb::ListKeysResponse* response) {
  return list_keys_.Handle(server, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    if (request->page_size() > kMaxPage) return InvalidField("page_size", "must be at most 1,000");
    const size_t page_size = request->page_size() == 0 ? kDefaultPage : request->page_size();
    ALCOVE_ASSIGN_OR_RETURN(KeyStore::Page page, keys_.List(ctx.tenant(), page_size, request->page_token()));
    for (const KeyInfo& info : page.keys) ToProto(info, response->add_keys());
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* PrivateSearchFace::DeleteKeys(grpc::CallbackServerContext* server,
                                                        const pb::DeleteKeysRequest* request,
                                                        pb::DeleteKeysResponse* response) {
  return delete_keys_.Handle(server, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    if (request->key_id().empty()) return InvalidField("key_id", "must name the keys to remove");
    return keys_.Delete(ctx.tenant(), request->key_id(), request->revoke());
  });
}

grpc::ServerWriteReactor<pb::SearchResponse>* PrivateSearchFace::Search(grpc::CallbackServerContext* server,
                                                                        const pb::SearchRequest* request) {
  return new EndedStream<pb::SearchResponse>(NotBuilt("private search"));
}

grpc::ServerWriteReactor<pb::LookupResponse>* PrivateSearchFace::Lookup(grpc::CallbackServerContext* server,
                                                                        const pb::LookupRequest* request) {
  return new EndedStream<pb::LookupResponse>(NotBuilt("private lookup"));
}

grpc::ServerUnaryReactor* PrivateSearchFace::Score(grpc::CallbackServerContext* server, const pb::ScoreRequest* request,
                                                   pb::ScoreResponse* response) {
  return score_.Handle(server, [](const RequestContext&) -> absl::Status { return NotBuilt("private scoring"); });
}

grpc::ServerUnaryReactor* PrivateSearchFace::GetStatus(grpc::CallbackServerContext* server,
                                                       const pb::GetStatusRequest* request,
                                                       pb::GetStatusResponse* response) {
  return get_status_.Handle(server, [=, this](const RequestContext&) -> absl::Status {
    common::v1::ProcessStatus& process = *response->mutable_process();
    process.set_service("fhe-proxy");
    process.set_address(address_);
    process.set_health(common::v1::HEALTH_SERVING);
    process.set_version(ALCOVE_VERSION);
    *process.mutable_started_at() =
        google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(started_at_));
    process.set_resident_bytes(static_cast<int64_t>(ResidentBytes()));
    process.set_cpu_seconds(static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
    const KeyStore::Stats stats = keys_.stats();
    response->set_key_sets(static_cast<int64_t>(stats.key_sets));
    response->set_key_bytes(static_cast<int64_t>(stats.stored_bytes));
    response->set_loaded_key_bytes(static_cast<int64_t>(stats.loaded_bytes));
    response->set_evicted_key_sets(stats.evictions);
    (*process.mutable_facts())["key_sets"] = absl::StrCat(stats.key_sets);
    return absl::OkStatus();
  });
}

}  // namespace alcove::fhe_proxy
