#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/util/json_util.h>

#include "alcove/gateway/v1/gateway.grpc.pb.h"
#include "alcove/vector/v1/vector.grpc.pb.h"
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
using alcove::vector::v1::CountPointsRequest;
using alcove::vector::v1::CountPointsResponse;
using alcove::vector::v1::FacetPointsRequest;
using alcove::vector::v1::FacetPointsResponse;
using alcove::vector::v1::RecommendPointsRequest;
using alcove::vector::v1::RecommendPointsResponse;
using alcove::vector::v1::VectorService;

absl::Status ParseFilter(const Invocation& invocation, alcove::vector::v1::Filter* filter) {
  const auto parsed = google::protobuf::util::JsonStringToMessage(invocation.Get("filter"), filter);
  if (parsed.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--filter: ", std::string(parsed.message())));
}

// The value of an enum whose name ends in `text`, whatever its case: "hybrid" → SEARCH_MODE_HYBRID.
absl::StatusOr<int> ParseEnum(absl::string_view flag, absl::string_view prefix, absl::string_view text,
                              const google::protobuf::EnumDescriptor* type) {
  std::vector<std::string> names;
  for (int i = 1; i < type->value_count(); ++i) {
    if (absl::EqualsIgnoreCase(type->value(i)->name(), absl::StrCat(prefix, text))) return type->value(i)->number();
    names.push_back(absl::AsciiStrToLower(type->value(i)->name().substr(prefix.size())));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": \"", text, "\" is none of ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<float> ParseNumber(const Invocation& invocation, absl::string_view flag) {
  float value = 0;
  if (!absl::SimpleAtof(invocation.Get(flag), &value)) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, " is a number"));
  }
  return value;
}

absl::Status ParseDiversity(const Invocation& invocation, alcove::vector::v1::Diversity* diversity) {
  ALCOVE_ASSIGN_OR_RETURN(const int method, ParseEnum("diversity", "DIVERSITY_METHOD_", invocation.Get("diversity"),
                                                      alcove::vector::v1::DiversityMethod_descriptor()));
  diversity->set_method(static_cast<alcove::vector::v1::DiversityMethod>(method));
  ALCOVE_ASSIGN_OR_RETURN(const float lambda, ParseNumber(invocation, "lambda"));
  diversity->set_lambda(lambda);
  return absl::OkStatus();
}

// A payload value in one line.
std::string ValueText(const google::protobuf::Value& value) {
  if (value.has_string_value()) return value.string_value();
  if (value.has_bool_value()) return value.bool_value() ? "true" : "false";
  return absl::StrCat(value.number_value());
}

std::string RenderGroups(const SearchResponse& response) {
  Table table({"GROUP", "SCORE", "ID", "TEXT"}, 100);
  for (const auto& group : response.groups()) {
    for (const DocumentHit& hit : group.hits()) {
      table.Add({ValueText(group.value()), absl::StrFormat("%.4f", hit.score()), hit.id(), hit.text()});
    }
  }
  return table.ToString();
}

std::string Render(const google::protobuf::RepeatedPtrField<DocumentHit>& hits,
                   const google::protobuf::RepeatedPtrField<StageTiming>& timings, bool cached) {
  Table table({"SCORE", "ID", "TEXT"}, 100);
  for (const DocumentHit& hit : hits) {
    table.Add({absl::StrFormat("%.4f", hit.score()), hit.id(),
               hit.highlights().empty() ? hit.text() : absl::StrJoin(hit.highlights(), " … ")});
  }
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
  ALCOVE_ASSIGN_OR_RETURN(const int mode, ParseEnum("mode", "SEARCH_MODE_", invocation.Get("mode"),
                                                    alcove::gateway::v1::SearchMode_descriptor()));
  request.set_mode(static_cast<alcove::gateway::v1::SearchMode>(mode));
  if (invocation.Has("diversity")) ALCOVE_RETURN_IF_ERROR(ParseDiversity(invocation, request.mutable_diversity()));
  if (invocation.Has("group-by")) request.mutable_group_by()->set_field(invocation.Get("group-by"));
  if (invocation.GetSwitch("highlight")) {
    request.mutable_highlight()->set_pre("[");
    request.mutable_highlight()->set_post("]");
  }
  if (invocation.GetSwitch("exact")) request.mutable_params()->set_exact(true);
  if (invocation.GetSwitch("no-cache")) request.set_cache(CACHE_MODE_BYPASS);
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = DocumentService::NewStub(client->channel());
  ALCOVE_ASSIGN_OR_RETURN(const SearchResponse response, client->Call(*stub, &DocumentService::Stub::Search, request));
  if (invocation.Get("output") == "json") return Print(ToJson(response));
  if (!response.groups().empty()) return Print(RenderGroups(response));
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

absl::Status RunRecommend(const Invocation& invocation) {
  RecommendPointsRequest request;
  request.set_collection(invocation.args()[0]);
  for (const std::string& id : invocation.GetAll("like")) request.add_positive(id);
  for (const std::string& id : invocation.GetAll("unlike")) request.add_negative(id);
  ALCOVE_ASSIGN_OR_RETURN(const int strategy, ParseEnum("strategy", "RECOMMEND_STRATEGY_", invocation.Get("strategy"),
                                                        alcove::vector::v1::RecommendStrategy_descriptor()));
  request.set_strategy(static_cast<alcove::vector::v1::RecommendStrategy>(strategy));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t limit, invocation.GetInt("limit", 1, 1000));
  request.set_limit(static_cast<uint32_t>(limit));
  if (invocation.Has("filter")) ALCOVE_RETURN_IF_ERROR(ParseFilter(invocation, request.mutable_filter()));
  if (invocation.Has("diversity")) ALCOVE_RETURN_IF_ERROR(ParseDiversity(invocation, request.mutable_diversity()));
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  ALCOVE_ASSIGN_OR_RETURN(const RecommendPointsResponse response,
                          client->Call(*stub, &VectorService::Stub::RecommendPoints, request));
  if (invocation.Get("output") == "json") return Print(ToJson(response));
  Table table({"SCORE", "ID", "TEXT"}, 100);
  for (const auto& point : response.points()) {
    const auto text = point.payload().fields().find("text");
    table.Add({absl::StrFormat("%.4f", point.score()), point.id(),
               text == point.payload().fields().end() ? "" : text->second.string_value()});
  }
  return Print(table.ToString());
}

absl::Status RunCount(const Invocation& invocation) {
  CountPointsRequest request;
  request.set_collection(invocation.args()[0]);
  if (invocation.Has("filter")) ALCOVE_RETURN_IF_ERROR(ParseFilter(invocation, request.mutable_filter()));
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  ALCOVE_ASSIGN_OR_RETURN(const CountPointsResponse response,
                          client->Call(*stub, &VectorService::Stub::CountPoints, request));
  if (invocation.Get("output") == "json") return Print(ToJson(response));
  return Print(absl::StrCat(response.count(), "\n"));
}

absl::Status RunFacet(const Invocation& invocation) {
  FacetPointsRequest request;
  request.set_collection(invocation.args()[0]);
  request.set_field(invocation.args()[1]);
  ALCOVE_ASSIGN_OR_RETURN(const int64_t limit, invocation.GetInt("limit", 1, 1000));
  request.set_limit(static_cast<uint32_t>(limit));
  if (invocation.Has("filter")) ALCOVE_RETURN_IF_ERROR(ParseFilter(invocation, request.mutable_filter()));
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  ALCOVE_ASSIGN_OR_RETURN(const FacetPointsResponse response,
                          client->Call(*stub, &VectorService::Stub::FacetPoints, request));
  if (invocation.Get("output") == "json") return Print(ToJson(response));
  Table table({"COUNT", "VALUE"});
  for (const auto& count : response.counts()) table.Add({absl::StrCat(count.count()), ValueText(count.value())});
  return Print(table.ToString());
}

const FlagSpec kLimit{"limit", 'n', "N", "10", "most documents to show"};
const FlagSpec kFilter{
    "filter", 'f', "JSON", "",
    R"(condition on the metadata, as in {"must":[{"match":{"field":"section","value":"graphics"}}]})"};

const FlagSpec kDiversity{"diversity", 0, "METHOD", "", "choose results unlike one another: mmr or dpp"};
const FlagSpec kLambda{"lambda", 0, "L", "0.5", "with --diversity: 1 looks only at scores, 0 only at differences"};

}  // namespace

std::vector<CommandSpec> SearchCommands() {
  return {
      {.name = "search",
       .summary = "Find documents by the meaning of a text, by its words, or by both",
       .args = "COLLECTION QUERY…",
       .min_args = 2,
       .max_args = 1000,
       .flags = Join(ClientFlags(), {kLimit,
                                     kFilter,
                                     {"min-score", 0, "SCORE", "", "leave out documents that score less"},
                                     {"mode", 0, "MODE", "dense", "dense (meaning), text (words), or hybrid (both)"},
                                     {"highlight", 0, "", "", "show where the words are (text, hybrid)"},
                                     kDiversity,
                                     kLambda,
                                     {"group-by", 0, "FIELD", "", "put documents together that share a value"},
                                     {"exact", 0, "", "", "compare with every document"},
                                     {"no-cache", 0, "", "", "do not answer from the cache"}}),
       .details = "examples:\n  alcovectl search packages draw diagrams from text\n"
                  "  alcovectl search packages --mode hybrid --highlight svg editor",
       .run = RunSearch},
      {.name = "similar",
       .summary = "Find documents like a stored one",
       .args = "COLLECTION ID",
       .min_args = 2,
       .max_args = 2,
       .flags = Join(ClientFlags(), {kLimit, kFilter}),
       .run = RunSimilar},
      {.name = "recommend",
       .summary = "Find points like some examples and unlike others",
       .args = "COLLECTION",
       .min_args = 1,
       .max_args = 1,
       .flags = Join(ClientFlags(), {{"like", 'l', "ID", "", "point to be like", true},
                                     {"unlike", 'u', "ID", "", "point to be unlike", true},
                                     {"strategy", 0, "NAME", "average_vector", "average_vector or best_score"},
                                     kLimit,
                                     kFilter,
                                     kDiversity,
                                     kLambda}),
       .details = "example:\n  alcovectl recommend packages --like gimp --like inkscape --unlike blender",
       .run = RunRecommend},
      {.name = "count",
       .summary = "Count points",
       .args = "COLLECTION",
       .min_args = 1,
       .max_args = 1,
       .flags = Join(ClientFlags(), {kFilter}),
       .run = RunCount},
      {.name = "facet",
       .summary = "Count points by the values of a field",
       .args = "COLLECTION FIELD",
       .min_args = 2,
       .max_args = 2,
       .flags = Join(ClientFlags(), {kLimit, kFilter}),
       .details = "example:\n  alcovectl facet packages section",
       .run = RunFacet},
  };
}

}  // namespace alcove::ctl
