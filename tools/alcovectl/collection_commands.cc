#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/util/json_util.h>

#include "alcove/vector/v1/vector.grpc.pb.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/gateway_client.h"
#include "tools/alcovectl/output.h"

namespace alcove::ctl {
namespace {

using namespace alcove::vector::v1;  // NOLINT(google-build-using-namespace): the generated names of one area
using Stub = VectorService::Stub;

// The enum value whose name ends in `text`, whatever its case: "cosine" → METRIC_COSINE.
template <typename Enum>
absl::StatusOr<Enum> ParseEnum(absl::string_view prefix, absl::string_view text,
                               const google::protobuf::EnumDescriptor* type) {
  for (int i = 0; i < type->value_count(); ++i) {
    if (type->value(i)->number() != 0 && absl::EqualsIgnoreCase(type->value(i)->name(), absl::StrCat(prefix, text))) {
      return static_cast<Enum>(type->value(i)->number());
    }
  }
  std::vector<std::string> names;
  for (int i = 1; i < type->value_count(); ++i) {
    names.push_back(absl::AsciiStrToLower(type->value(i)->name().substr(prefix.size())));
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is none of ", absl::StrJoin(names, ", ")));
}

std::string Describe(const VectorConfig& config) {
  return absl::StrCat(config.dimension(), " ", absl::AsciiStrToLower(Metric_Name(config.metric()).substr(7)));
}

absl::Status PrintCollections(const Invocation& invocation, const google::protobuf::Message& message,
                              const std::vector<Collection>& collections) {
  if (invocation.Get("output") == "json") return Print(ToJson(message));
  Table table({"NAME", "POINTS", "VECTORS", "MODEL", "SHARDS", "MEMORY", "DISK"});
  for (const Collection& collection : collections) {
    std::vector<std::string> vectors;
    for (const auto& [name, config] : collection.vectors()) {
      vectors.push_back(name.empty() ? Describe(config) : absl::StrCat(name, ":", Describe(config)));
    }
    table.Add({collection.name(), absl::StrCat(collection.points()), absl::StrJoin(vectors, " "),
               collection.embedding_model().empty() ? "-" : collection.embedding_model(),
               absl::StrCat(collection.shard_count()), FormatBytes(collection.memory_bytes()),
               FormatBytes(collection.disk_bytes())});
  }
  return Print(table.ToString());
}

absl::Status RunList(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  ListCollectionsResponse all;
  ListCollectionsRequest request;
  do {
    ALCOVE_ASSIGN_OR_RETURN(ListCollectionsResponse page, client->Call(*stub, &Stub::ListCollections, request));
    all.mutable_collections()->MergeFrom(page.collections());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return PrintCollections(invocation, all, {all.collections().begin(), all.collections().end()});
}

absl::Status RunGet(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  GetCollectionRequest request;
  request.set_name(invocation.args()[0]);
  ALCOVE_ASSIGN_OR_RETURN(const GetCollectionResponse response, client->Call(*stub, &Stub::GetCollection, request));
  return PrintCollections(invocation, response.collection(), {response.collection()});
}

absl::Status RunCreate(const Invocation& invocation) {
  CreateCollectionRequest request;
  Collection& collection = *request.mutable_collection();
  collection.set_name(invocation.args()[0]);
  collection.set_description(invocation.Get("description"));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t shards, invocation.GetInt("shards", 0, 1024));
  collection.set_shard_count(static_cast<uint32_t>(shards));
  if (invocation.Has("dimension")) {
    VectorConfig& config = (*collection.mutable_vectors())[""];
    ALCOVE_ASSIGN_OR_RETURN(const int64_t dimension, invocation.GetInt("dimension", 1, 65536));
    config.set_dimension(static_cast<uint32_t>(dimension));
    ALCOVE_ASSIGN_OR_RETURN(const Metric metric,
                            ParseEnum<Metric>("METRIC_", invocation.Get("metric"), Metric_descriptor()));
    config.set_metric(metric);
  }
  if (invocation.Has("codes") || invocation.Has("storage") || invocation.GetSwitch("on-disk")) {
    VectorConfig& config = (*collection.mutable_vectors())[""];
    if (invocation.Has("codes")) {
      ALCOVE_ASSIGN_OR_RETURN(const Codes codes,
                              ParseEnum<Codes>("CODES_", invocation.Get("codes"), Codes_descriptor()));
      config.mutable_hnsw()->set_codes(codes);
    }
    if (invocation.Has("storage")) {
      ALCOVE_ASSIGN_OR_RETURN(
          const VectorStorage storage,
          ParseEnum<VectorStorage>("VECTOR_STORAGE_", invocation.Get("storage"), VectorStorage_descriptor()));
      config.set_storage(storage);
    }
    config.set_on_disk(invocation.GetSwitch("on-disk"));
  }
  if (!invocation.Has("dimension") || invocation.Has("model")) collection.set_embedding_model(invocation.Get("model"));
  request.set_no_text_index(invocation.GetSwitch("no-text-index"));
  if (invocation.Has("text-language")) {
    if (request.no_text_index()) {
      return absl::InvalidArgumentError("--text-language and --no-text-index contradict each other");
    }
    SparseConfig& words = (*collection.mutable_sparse())["text"];
    words.set_text_field("text");
    words.mutable_text()->set_language(invocation.Get("text-language"));
  }
  for (const std::string& field : invocation.GetAll("field")) {
    const std::vector<std::string> parts = absl::StrSplit(field, ':');
    if (parts.size() != 2) return absl::InvalidArgumentError(absl::StrCat("--field is NAME:TYPE, not \"", field, "\""));
    ALCOVE_ASSIGN_OR_RETURN(const FieldType type,
                            ParseEnum<FieldType>("FIELD_TYPE_", parts[1], FieldType_descriptor()));
    (*collection.mutable_schema())[parts[0]] = type;
  }
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  auto response = client->Call(*stub, &Stub::CreateCollection, request);
  if (absl::IsAlreadyExists(response.status()) && invocation.GetSwitch("if-missing")) {
    GetCollectionRequest get;
    get.set_name(collection.name());
    ALCOVE_ASSIGN_OR_RETURN(const GetCollectionResponse existing, client->Call(*stub, &Stub::GetCollection, get));
    return PrintCollections(invocation, existing.collection(), {existing.collection()});
  }
  ALCOVE_RETURN_IF_ERROR(response.status());
  return PrintCollections(invocation, response->collection(), {response->collection()});
}

absl::Status RunDelete(const Invocation& invocation) {
  if (!invocation.GetSwitch("yes")) {
    return absl::FailedPreconditionError(
        absl::StrCat("this removes collection ", invocation.args()[0], " and all its points; repeat with --yes"));
  }
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  DeleteCollectionRequest request;
  request.set_name(invocation.args()[0]);
  return client->Call(*stub, &Stub::DeleteCollection, request).status();
}

}  // namespace

std::vector<CommandSpec> CollectionCommands() {
  return {
      {.name = "collections list", .summary = "List collections", .flags = ClientFlags(), .run = RunList},
      {.name = "collections get",
       .summary = "Show one collection",
       .args = "NAME",
       .min_args = 1,
       .max_args = 1,
       .flags = ClientFlags(),
       .run = RunGet},
      {.name = "collections create",
       .summary = "Create a collection",
       .args = "NAME",
       .min_args = 1,
       .max_args = 1,
       .flags = Join(
           ClientFlags(),
           {{"model", 'm', "NAME", "default", "model that embeds its texts"},
            {"dimension", 0, "N", "", "components of its vectors, for a collection without a model"},
            {"metric", 0, "METRIC", "cosine", "cosine, dot or l2 (with --dimension)"},
            {"field", 'f', "NAME:TYPE", "",
             "payload field filters may use: keyword, integer, float, bool, datetime, geo, text", true},
            {"text-language", 0, "LANGUAGE", "",
             "remove the endings of this language's words in searches by words: english, german, …"},
            {"no-text-index", 0, "", "", "no searches by words"},
            {"codes", 0, "CODES", "int8", "what searches read in memory: int8, int4, bit1, f16 or f32"},
            {"storage", 0, "STORAGE", "f32",
             "how the vectors are kept: f32, f16, int8 or int6 (int4 with int8 is the smallest that loses little)"},
            {"on-disk", 0, "", "", "keep the vectors in files, and only codes and links in memory"},
            {"shards", 0, "N", "0", "number of shards; 0 takes the server's default"},
            {"description", 0, "TEXT", "", "free text"},
            {"if-missing", 0, "", "", "succeed when it exists already"}}),
       .details = "examples:\n  alcovectl collections create packages --field section:keyword\n"
                  "  alcovectl collections create large --codes int4 --storage f16 --on-disk",
       .run = RunCreate},
      {.name = "collections delete",
       .summary = "Remove a collection and all its points",
       .args = "NAME",
       .min_args = 1,
       .max_args = 1,
       .flags = Join(ClientFlags(), {{"yes", 'y', "", "", "really do it"}}),
       .run = RunDelete},
  };
}

}  // namespace alcove::ctl
