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
#include "services/fhe-proxy/search/engine.h"
#include "services/fhe-proxy/stream_call.h"

namespace alcove::fhe_proxy {
namespace {

namespace pb = private_search::v1;

constexpr char const* kService = pb::PrivateSearchService::service_full_name();
constexpr size_t kDefaultPage = 100;
constexpr size_t kMaxPage = 1000;

constexpr size_t kMaxActiveQueries = 64;
constexpr absl::Duration kBusyRetry = absl::Milliseconds(200);

absl::Status CheckTenant(const RequestContext& ctx) {
  if (!ctx.tenant().empty()) return absl::OkStatus();
  return absl::UnauthenticatedError("private search belongs to a tenant, and the request names none");
}

// The set of that name; the recommended one for an empty name.
absl::StatusOr<const ParameterSet*> SetNamed(const std::string& name) {
  if (name.empty()) return &OfferedSets()[0];
  return FindSet(name);
}

absl::Status Outdated(absl::string_view what, const std::string& current) {
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat("the ", what, " has changed since the parameters were fetched; it is at \"",
                                     current, "\" now. Fetch them again and repeat")),
                    "COLLECTION_CHANGED");
}

}  // namespace

// Takes places for `count` queries for as long as it lives.
class PrivateSearchFace::ActiveQueries {
 public:
  static absl::StatusOr<std::unique_ptr<ActiveQueries>> Take(std::atomic<size_t>& active, size_t count) {
    if (active.fetch_add(count) + count > kMaxActiveQueries) {
      active.fetch_sub(count);
      return WithReason(
          WithRetryAfter(absl::ResourceExhaustedError("too many encrypted queries are being computed; try again"),
                         kBusyRetry),
          "BUSY");
    }
    return std::unique_ptr<ActiveQueries>(new ActiveQueries(active, count));
  }
  ~ActiveQueries() { active_.fetch_sub(count_); }

 private:
  ActiveQueries(std::atomic<size_t>& active, size_t count) : active_(active), count_(count) {}
  std::atomic<size_t>& active_;
  const size_t count_;
};

PrivateSearchFace::PrivateSearchFace(const Parts& parts, const rpc::MethodOptions& options)
    : Service(kService),
      parts_(parts),
      options_(options),
      started_at_(parts.clock->Now()),
      get_parameters_(options, kService, "GetParameters"),
      upload_keys_(options, kService, "UploadKeys"),
      list_keys_(options, kService, "ListKeys"),
      delete_keys_(options, kService, "DeleteKeys"),
      get_collection_parameters_(options, kService, "GetCollectionParameters"),
      score_(options, kService, "Score"),
      put_classifier_(options, kService, "PutClassifier"),
      get_classifier_(options, kService, "GetClassifier"),
      list_classifiers_(options, kService, "ListClassifiers"),
      delete_classifier_(options, kService, "DeleteClassifier"),
      get_status_(options, kService, "GetStatus"),
      list_rows_(*options.registry, kService, "ListRows"),
      search_(*options.registry, kService, "Search"),
      lookup_(*options.registry, kService, "Lookup") {
  Unary("GetParameters", &PrivateSearchFace::GetParameters);
  Unary("UploadKeys", &PrivateSearchFace::UploadKeys);
  Unary("ListKeys", &PrivateSearchFace::ListKeys);
  Unary("DeleteKeys", &PrivateSearchFace::DeleteKeys);
  Unary("GetCollectionParameters", &PrivateSearchFace::GetCollectionParameters);
  Unary("Score", &PrivateSearchFace::Score);
  Unary("PutClassifier", &PrivateSearchFace::PutClassifier);
  Unary("GetClassifier", &PrivateSearchFace::GetClassifier);
  Unary("ListClassifiers", &PrivateSearchFace::ListClassifiers);
  Unary("DeleteClassifier", &PrivateSearchFace::DeleteClassifier);
  Unary("GetStatus", &PrivateSearchFace::GetStatus);
  ServerStreaming("ListRows", &PrivateSearchFace::ListRows);
  ServerStreaming("Search", &PrivateSearchFace::Search);
  ServerStreaming("Lookup", &PrivateSearchFace::Lookup);
}

void PrivateSearchFace::SetAddress(const std::string& address) { address_ = address; }

void PrivateSearchFace::GetParameters(rpc::UnaryCall* call, const pb::GetParametersRequest* request,
                                      pb::GetParametersResponse* response) {
  return get_parameters_.Handle(call, [=, this](const RequestContext&) -> absl::Status {
    if (!request->name().empty()) {
      ALCOVE_ASSIGN_OR_RETURN(const ParameterSet* set, FindSet(request->name()));
      ToProto(*set, parts_.max_upload_bytes, response->add_sets());
    } else {
      for (const ParameterSet& set : OfferedSets()) ToProto(set, parts_.max_upload_bytes, response->add_sets());
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

void PrivateSearchFace::UploadKeys(rpc::UnaryCall* call, const pb::UploadKeysRequest* request,
                                   pb::UploadKeysResponse* response) {
  return upload_keys_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    const auto uploaded = parts_.keys->Upload(
        ctx.tenant(), {request->parameter_set(), request->galois_keys(), request->relin_keys(), request->label()});
    if (!uploaded.ok()) return WithFaultReason(uploaded.status());
    ToProto(uploaded->info, response->mutable_keys());
    response->mutable_keys()->set_budget_left(parts_.budget->Left(ctx.tenant(), uploaded->info.key_id));
    response->set_already_stored(uploaded->already_stored);
    return absl::OkStatus();
  });
}

void PrivateSearchFace::ListKeys(rpc::UnaryCall* call, const pb::ListKeysRequest* request,
                                 pb::ListKeysResponse* response) {
  return list_keys_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    if (request->page_size() > kMaxPage) return InvalidField("page_size", "must be at most 1,000");
    const size_t page_size = request->page_size() == 0 ? kDefaultPage : request->page_size();
    ALCOVE_ASSIGN_OR_RETURN(KeyStore::Page page, parts_.keys->List(ctx.tenant(), page_size, request->page_token()));
    for (const KeyInfo& info : page.keys) {
      pb::EvaluationKeys& out = *response->add_keys();
      ToProto(info, &out);
      out.set_budget_left(parts_.budget->Left(ctx.tenant(), info.key_id));
    }
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  });
}

void PrivateSearchFace::DeleteKeys(rpc::UnaryCall* call, const pb::DeleteKeysRequest* request,
                                   pb::DeleteKeysResponse* response) {
  return delete_keys_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    if (request->key_id().empty()) return InvalidField("key_id", "must name the keys to remove");
    return parts_.keys->Delete(ctx.tenant(), request->key_id(), request->revoke());
  });
}

absl::StatusOr<std::shared_ptr<const EncodedCollection>> PrivateSearchFace::VersionFor(const RequestContext& ctx,
                                                                                       const CollectionName& name,
                                                                                       const std::string& sequence,
                                                                                       bool allow_older) {
  if (sequence.empty()) {
    return InvalidField("sequence", "must be the sequence of the collection's parameters the client packed for");
  }
  if (allow_older) {
    if (auto loaded = parts_.collections->Loaded(ctx, name); loaded != nullptr && loaded->sequence == sequence) {
      return loaded;
    }
  }
  ALCOVE_ASSIGN_OR_RETURN(auto current, parts_.collections->Current(ctx, name));
  if (current->sequence != sequence) return Outdated("collection", current->sequence);
  return current;
}

template <typename Request>
EncryptedQueries PrivateSearchFace::QueriesOf(const RequestContext& ctx, const Request& request, size_t replies) {
  return {request.query(), parts_.max_queries, FromProto(request.compression()),
          [this, tenant = ctx.tenant(), key_id = request.key_id(), replies](size_t queries) {
            return parts_.budget->Spend(tenant, key_id, static_cast<int64_t>(queries * replies));
          }};
}

void PrivateSearchFace::GetCollectionParameters(rpc::UnaryCall* call, const pb::GetCollectionParametersRequest* request,
                                                pb::GetCollectionParametersResponse* response) {
  return get_collection_parameters_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    ALCOVE_ASSIGN_OR_RETURN(const ParameterSet* set, SetNamed(request->parameter_set()));
    const CollectionName name{request->collection(), request->vector_name(), set};
    ALCOVE_ASSIGN_OR_RETURN(const auto collection, parts_.collections->Current(ctx, name));
    response->set_collection(request->collection());
    ToProto(*set, parts_.max_upload_bytes, response->mutable_set());
    ToProto(*collection, response);
    response->set_max_queries(static_cast<uint32_t>(parts_.max_queries));
    if (request->with_clusters()) ClustersToProto(*collection, response);
    if (request->with_documents()) {
      ALCOVE_ASSIGN_OR_RETURN(const auto records,
                              parts_.collections->Records(ctx, name, *collection, RecordKind::kDocument));
      ToProto(*records, response->mutable_documents());
    }
    if (request->with_vectors()) {
      ALCOVE_ASSIGN_OR_RETURN(const auto records,
                              parts_.collections->Records(ctx, name, *collection, RecordKind::kVector));
      ToProto(*records, response->mutable_vectors());
    }
    return absl::OkStatus();
  });
}

rpc::WriteReactor<pb::ListRowsResponse>* PrivateSearchFace::ListRows(rpc::ServerCall* call,
                                                                     const pb::ListRowsRequest* request) {
  using Call = StreamCall<pb::ListRowsResponse>;
  return Call::Start(
      *call, options_, list_rows_, [=, this](const RequestContext& ctx, const Call::Write& write) -> absl::Status {
        ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
        ALCOVE_ASSIGN_OR_RETURN(const ParameterSet* set, SetNamed(request->parameter_set()));
        ALCOVE_ASSIGN_OR_RETURN(
            const auto collection,
            VersionFor(ctx, {request->collection(), request->vector_name(), set}, request->sequence(), false));
        for (size_t b = 0; b < collection->blocks(); ++b) {
          pb::ListRowsResponse out;
          out.set_block(static_cast<uint32_t>(b));
          out.set_blocks(static_cast<uint32_t>(collection->blocks()));
          out.set_first_row(b * collection->layout().rows_per_block());
          for (const std::string& id : *collection->ids[b]) out.add_ids(id);
          ALCOVE_RETURN_IF_ERROR(write(std::move(out)));
        }
        return absl::OkStatus();
      });
}

rpc::WriteReactor<pb::SearchResponse>* PrivateSearchFace::Search(rpc::ServerCall* call,
                                                                 const pb::SearchRequest* request) {
  using Call = StreamCall<pb::SearchResponse>;
  return Call::Start(*call, options_, search_, [=, this](const RequestContext& ctx, const Call::Write& write) {
    const auto run = [&]() -> absl::Status {
      ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
      ALCOVE_ASSIGN_OR_RETURN(const auto keys, parts_.keys->Use(ctx.tenant(), request->key_id()));
      ALCOVE_ASSIGN_OR_RETURN(const auto collection,
                              VersionFor(ctx, {request->collection(), request->vector_name(), keys->set},
                                         request->sequence(), request->allow_older()));
      const size_t scored =
          request->blocks().empty() ? collection->blocks() : static_cast<size_t>(request->blocks_size());
      const EncryptedQueries queries = QueriesOf(ctx, *request, scored);
      ALCOVE_ASSIGN_OR_RETURN(const size_t count, CountQueries(queries, collection->layout().parts().size()));
      ALCOVE_ASSIGN_OR_RETURN(const auto active, ActiveQueries::Take(active_queries_, count));
      const std::vector<uint32_t> blocks(request->blocks().begin(), request->blocks().end());
      return SearchCollection(ctx, *keys, *collection, queries, blocks, *parts_.compute, [&](EncryptedReply reply) {
        pb::SearchResponse out;
        const std::vector<std::string>& ids = *collection->ids[reply.block];
        out.set_block(reply.block);
        out.set_blocks(static_cast<uint32_t>(collection->blocks()));
        out.set_scores(std::move(reply.ciphertext));
        out.set_query(reply.query);
        out.set_rows(static_cast<uint32_t>(ids.size()));
        if (reply.query == 0 && !request->omit_ids()) {
          for (const std::string& id : ids) out.add_ids(id);
        }
        return write(std::move(out));
      });
    };
    return WithFaultReason(run());
  });
}

rpc::WriteReactor<pb::LookupResponse>* PrivateSearchFace::Lookup(rpc::ServerCall* call,
                                                                 const pb::LookupRequest* request) {
  using Call = StreamCall<pb::LookupResponse>;
  return Call::Start(*call, options_, lookup_, [=, this](const RequestContext& ctx, const Call::Write& write) {
    const auto run = [&]() -> absl::Status {
      ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
      ALCOVE_ASSIGN_OR_RETURN(const auto keys, parts_.keys->Use(ctx.tenant(), request->key_id()));
      const CollectionName name{request->collection(), request->vector_name(), keys->set};
      ALCOVE_ASSIGN_OR_RETURN(const auto collection, VersionFor(ctx, name, request->sequence(), false));
      const RecordKind kind = request->vectors() ? RecordKind::kVector : RecordKind::kDocument;
      ALCOVE_ASSIGN_OR_RETURN(const auto records, parts_.collections->Records(ctx, name, *collection, kind));
      const EncryptedQueries queries = QueriesOf(ctx, *request, records->layout.pieces());
      ALCOVE_ASSIGN_OR_RETURN(const size_t count, CountQueries(queries, records->layout.parts()));
      ALCOVE_ASSIGN_OR_RETURN(const auto active, ActiveQueries::Take(active_queries_, count));
      return LookupRecords(ctx, *keys, *records, queries, *parts_.compute, [&](EncryptedReply reply) {
        pb::LookupResponse out;
        out.set_block(reply.block);
        out.set_blocks(records->layout.pieces());
        out.set_query(reply.query);
        out.set_data(std::move(reply.ciphertext));
        return write(std::move(out));
      });
    };
    return WithFaultReason(run());
  });
}

void PrivateSearchFace::Score(rpc::UnaryCall* call, const pb::ScoreRequest* request, pb::ScoreResponse* response) {
  return score_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    const auto run = [&]() -> absl::Status {
      ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
      ALCOVE_ASSIGN_OR_RETURN(const auto keys, parts_.keys->Use(ctx.tenant(), request->key_id()));
      ALCOVE_ASSIGN_OR_RETURN(const auto classifier,
                              parts_.classifiers->Encoded(ctx.tenant(), request->classifier(), *keys->set));
      if (request->revision() != classifier->revision) return Outdated("classifier", classifier->revision);
      const EncryptedQueries queries = QueriesOf(ctx, *request, 1);
      ALCOVE_ASSIGN_OR_RETURN(const size_t count, CountQueries(queries, classifier->layout.parts().size()));
      ALCOVE_ASSIGN_OR_RETURN(const auto active, ActiveQueries::Take(active_queries_, count));
      for (const std::string& label : classifier->labels) response->add_labels(label);
      return ScoreClassifier(ctx, *keys, *classifier, queries, *parts_.compute, [&](const EncryptedReply& reply) {
        response->mutable_scores()->append(reply.ciphertext);
        return absl::OkStatus();
      });
    };
    return WithFaultReason(run());
  });
}

void PrivateSearchFace::PutClassifier(rpc::UnaryCall* call, const pb::PutClassifierRequest* request,
                                      pb::PutClassifierResponse* response) {
  return put_classifier_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    for (int k = 0; k < request->classes_size(); ++k) {
      const auto held = static_cast<uint32_t>(request->classes(k).weights_size());
      if (held == request->dimension()) continue;
      return InvalidField(absl::StrCat("classes[", k, "].weights"),
                          absl::StrCat("holds ", held, " numbers; the dimension is ", request->dimension()));
    }
    return parts_.classifiers->Put(ctx.tenant(), FromProto(*request));
  });
}

void PrivateSearchFace::GetClassifier(rpc::UnaryCall* call, const pb::GetClassifierRequest* request,
                                      pb::GetClassifierResponse* response) {
  return get_classifier_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    ALCOVE_ASSIGN_OR_RETURN(const ParameterSet* set, SetNamed(request->parameter_set()));
    ALCOVE_ASSIGN_OR_RETURN(const auto classifier, parts_.classifiers->Encoded(ctx.tenant(), request->name(), *set));
    response->set_name(request->name());
    ToProto(*set, parts_.max_upload_bytes, response->mutable_set());
    ToProto(*classifier, response);
    return absl::OkStatus();
  });
}

void PrivateSearchFace::ListClassifiers(rpc::UnaryCall* call, const pb::ListClassifiersRequest* request,
                                        pb::ListClassifiersResponse* response) {
  return list_classifiers_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    for (const ClassifierStore::Info& info : parts_.classifiers->List(ctx.tenant())) {
      pb::ClassifierSummary& out = *response->add_classifiers();
      out.set_name(info.name);
      out.set_dimension(info.dimension);
      for (const std::string& label : info.labels) out.add_labels(label);
    }
    return absl::OkStatus();
  });
}

void PrivateSearchFace::DeleteClassifier(rpc::UnaryCall* call, const pb::DeleteClassifierRequest* request,
                                         pb::DeleteClassifierResponse* response) {
  return delete_classifier_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckTenant(ctx));
    return parts_.classifiers->Delete(ctx.tenant(), request->name());
  });
}

void PrivateSearchFace::GetStatus(rpc::UnaryCall* call, const pb::GetStatusRequest* request,
                                  pb::GetStatusResponse* response) {
  return get_status_.Handle(call, [=, this](const RequestContext&) -> absl::Status {
    common::v1::ProcessStatus& process = *response->mutable_process();
    process.set_service("fhe-proxy");
    process.set_address(address_);
    process.set_health(common::v1::HEALTH_SERVING);
    process.set_version(ALCOVE_VERSION);
    *process.mutable_started_at() =
        google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(started_at_));
    process.set_resident_bytes(static_cast<int64_t>(ResidentBytes()));
    process.set_cpu_seconds(static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
    const KeyStore::Stats stats = parts_.keys->stats();
    response->set_key_sets(static_cast<int64_t>(stats.key_sets));
    response->set_key_bytes(static_cast<int64_t>(stats.stored_bytes));
    response->set_loaded_key_bytes(static_cast<int64_t>(stats.loaded_bytes));
    response->set_evicted_key_sets(stats.evictions);
    const Collections::Stats encoded = parts_.collections->stats();
    response->set_encoded_collections(static_cast<int64_t>(encoded.collections));
    response->set_encoded_rows(encoded.rows);
    response->set_encoded_bytes(static_cast<int64_t>(encoded.memory_bytes));
    (*process.mutable_facts())["encoded_rows"] = absl::StrCat(encoded.rows);
    (*process.mutable_facts())["key_sets"] = absl::StrCat(stats.key_sets);
    return absl::OkStatus();
  });
}

}  // namespace alcove::fhe_proxy
