#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/util/json_util.h>

#include "alcove/gateway/v1/gateway.grpc.pb.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/gateway_client.h"
#include "tools/alcovectl/output.h"

namespace alcove::ctl {
namespace {

using alcove::gateway::v1::CACHE_MODE_BYPASS;
using alcove::gateway::v1::DocumentHit;
using alcove::gateway::v1::DocumentService;
using alcove::gateway::v1::FindSimilarRequest;
using alcove::gateway::v1::FindSimilarResponse;
using alcove::gateway::v1::SearchRequest;
using alcove::gateway::v1::SearchResponse;
using alcove::gateway::v1::StageTiming;

absl::Status ParseFilter(const Invocation& invocation, alcove::vector::v1::Filter* filter) {
  const auto parsed = google::protobuf::util::JsonStringToMessage(invocation.Get("filter"), filter);
  if (parsed.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--filter: ", std::string(parsed.message())));
}

std::string Render(const google::protobuf::RepeatedPtrField<DocumentHit>& hits,
                   const google::protobuf::RepeatedPtrField<StageTiming>& timings, bool cached) {
  Table table({"SCORE", "ID", "TEXT"}, 100);
  for (const DocumentHit& hit : hits) table.Add({absl::StrFormat("%.4f", hit.score()), hit.id(), hit.text()});
  std::string footer = cached ? "from the cache" : "";
  for (const StageTiming& timing : timings) {
    absl::StrAppend(&footer, footer.empty() ? "" : ", ", timing.stage(), " ",
                    FormatDurationShort(absl::Microseconds(timing.micros())));
  }
  return absl::StrCat(table.ToString(), hits.empty() ? "nothing found\n" : "",
                      footer.empty() ? "" : absl::StrCat("(", footer, ")\n"));
}

absl::Status RunSearch(const Invocation& invocation) {
  SearchRequest request;
  request.set_collection(invocation.args()[0]);
  request.set_query(absl::StrJoin(invocation.args().begin() + 1, invocation.args().end(), " "));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t limit, invocation.GetInt("limit", 1, 1000));
  request.set_limit(static_cast<uint32_t>(limit));
  if (invocation.Has("filter")) ALCOVE_RETURN_IF_ERROR(ParseFilter(invocation, request.mutable_filter()));
  if (invocation.Has("min-score")) {
    float score = 0;
    if (!absl::SimpleAtof(invocation.Get("min-score"), &score))
      return absl::InvalidArgumentError("--min-score is a number");
    request.set_score_threshold(score);
  }
  request.mutable_params()->set_exact(invocation.GetSwitch("exact"));
  if (invocation.GetSwitch("no-cache")) request.set_cache(CACHE_MODE_BYPASS);
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = DocumentService::NewStub(client->channel());
  ALCOVE_ASSIGN_OR_RETURN(const SearchResponse response, client->Call(*stub, &DocumentService::Stub::Search, request));
  if (invocation.Get("output") == "json") return Print(ToJson(response));
  return Print(Render(response.hits(), response.timings(), response.cached()));
}

absl::Status RunSimilar(const Invocation& invocation) {
  FindSimilarRequest request;
  request.set_collection(invocation.args()[0]);
  request.set_id(invocation.args()[1]);
  ALCOVE_ASSIGN_OR_RETURN(const int64_t limit, invocation.GetInt("limit", 1, 1000));
  request.set_limit(static_cast<uint32_t>(limit));
  if (invocation.Has("filter")) ALCOVE_RETURN_IF_ERROR(ParseFilter(invocation, request.mutable_filter()));
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = DocumentService::NewStub(client->channel());
  ALCOVE_ASSIGN_OR_RETURN(const FindSimilarResponse response,
                          client->Call(*stub, &DocumentService::Stub::FindSimilar, request));
  if (invocation.Get("output") == "json") return Print(ToJson(response));
  return Print(Render(response.hits(), response.timings(), false));
}

const FlagSpec kLimit{"limit", 'n', "N", "10", "most documents to show"};
const FlagSpec kFilter{
    "filter", 'f', "JSON", "",
    R"(condition on the metadata, as in {"must":[{"match":{"field":"section","value":"graphics"}}]})"};

}  // namespace

std::vector<CommandSpec> SearchCommands() {
  return {
      {.name = "search",
       .summary = "Find documents by the meaning of a text",
       .args = "COLLECTION QUERY…",
       .min_args = 2,
       .max_args = 1000,
       .flags = Join(ClientFlags(), {kLimit,
                                     kFilter,
                                     {"min-score", 0, "SCORE", "", "leave out documents that score less"},
                                     {"exact", 0, "", "", "compare with every document"},
                                     {"no-cache", 0, "", "", "do not answer from the cache"}}),
       .details = "example:\n  alcovectl search packages draw diagrams from text",
       .run = RunSearch},
      {.name = "similar",
       .summary = "Find documents like a stored one",
       .args = "COLLECTION ID",
       .min_args = 2,
       .max_args = 2,
       .flags = Join(ClientFlags(), {kLimit, kFilter}),
       .run = RunSimilar},
  };
}

}  // namespace alcove::ctl
