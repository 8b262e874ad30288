#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "alcove/inference/v1/inference.grpc.pb.h"
#include "alcove/private_search/v1/private_search.grpc.pb.h"
#include "alcove/vector/v1/vector.grpc.pb.h"
#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "libs/hpke/envelope.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/gateway_client.h"
#include "tools/alcovectl/output.h"
#include "tools/alcovectl/private/session.h"

namespace alcove::ctl {
namespace {

namespace pb = private_search::v1;
using Service = pb::PrivateSearchService;

constexpr size_t kMaxVectorFile = 64 << 20;

std::string KeysFolder(const Invocation& invocation) {
  if (invocation.Has("keys")) return invocation.Get("keys");
  const char* home = std::getenv("HOME");
  return absl::StrCat(home != nullptr ? home : ".", "/.alcove/private");
}

std::function<void(const std::string&)> Progress(const Invocation& invocation) {
  if (!StderrIsTerminal() || invocation.Get("output") == "json") return nullptr;
  return [](const std::string& what) { std::fprintf(stderr, "\r\033[K%s…", what.c_str()); };
}

void EndProgress() {
  if (StderrIsTerminal()) std::fprintf(stderr, "\r\033[K");
}

// A JSON array, or numbers between spaces, commas or line ends.
absl::StatusOr<std::vector<float>> ReadVector(const std::string& path) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  } else {
    ALCOVE_ASSIGN_OR_RETURN(text, ReadFile(path, kMaxVectorFile));
  }
  std::vector<float> out;
  for (const absl::string_view word : absl::StrSplit(text, absl::ByAnyChar("[], \t\r\n"), absl::SkipEmpty())) {
    float value = 0;
    if (!absl::SimpleAtof(word, &value)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": \"", word.substr(0, 40), "\" is no number"));
    }
    out.push_back(value);
  }
  if (out.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " holds no numbers"));
  return out;
}

// The text's vector by the model the collection names, the text sealed to the process that runs the model: the gateway
// relays what it cannot read.
absl::StatusOr<std::vector<float>> EmbedText(const GatewayClient& client, const std::string& model,
                                             const std::string& text, const std::string& expected_key) {
  using Inference = inference::v1::InferenceService;
  const auto stub = Inference::NewStub(client.channel());
  ALCOVE_ASSIGN_OR_RETURN(const auto key,
                          client.Call(*stub, &Inference::Stub::GetSealingKey, inference::v1::GetSealingKeyRequest()));
  hpke::PublicKey recipient;
  if (key.public_key().size() != recipient.size()) return absl::DataLossError("the server gave no sealing key");
  std::copy(key.public_key().begin(), key.public_key().end(), recipient.begin());
  // The name is computed from the key, so a key passed off by somebody in between has another.
  if (!expected_key.empty() && hpke::KeyName(recipient) != expected_key) {
    return absl::FailedPreconditionError(absl::StrCat("the server gave the sealing key ", hpke::KeyName(recipient),
                                                      ", not ", expected_key, "; nothing was sent"));
  }
  inference::v1::EmbedRequest request;
  request.set_model(model == "default" ? "" : model);
  request.add_texts(text);
  request.set_input_kind(inference::v1::INPUT_KIND_QUERY);
  ALCOVE_ASSIGN_OR_RETURN(
      auto sealed, hpke::SealRequest(recipient, key.purpose(), hpke::Aead::kAes256Gcm, request.SerializeAsString()));
  inference::v1::EmbedSealedRequest envelope;
  envelope.set_key_id(key.key_id());
  envelope.set_aead(inference::v1::SEALING_AEAD_AES_256_GCM);
  envelope.set_sealed(std::move(sealed.bytes));
  ALCOVE_ASSIGN_OR_RETURN(const auto reply, client.Call(*stub, &Inference::Stub::EmbedSealed, envelope));
  ALCOVE_ASSIGN_OR_RETURN(const std::string opened, sealed.replies.Open(reply.sealed()));
  inference::v1::EmbedResponse response;
  if (!response.ParseFromString(opened) || response.embeddings_size() != 1) {
    return absl::DataLossError("the model answered no vector");
  }
  return std::vector<float>(response.embeddings(0).values().begin(), response.embeddings(0).values().end());
}

absl::StatusOr<std::string> ModelOf(const GatewayClient& client, const std::string& collection) {
  vector::v1::GetCollectionRequest request;
  request.set_name(collection);
  const auto stub = vector::v1::VectorService::NewStub(client.channel());
  ALCOVE_ASSIGN_OR_RETURN(const auto response,
                          client.Call(*stub, &vector::v1::VectorService::Stub::GetCollection, request));
  return response.collection().embedding_model();
}

// The words after the first argument as a text, or --vector.
absl::StatusOr<std::vector<float>> VectorOf(const Invocation& invocation, const GatewayClient& client,
                                            const std::string& model) {
  if (invocation.Has("vector")) return ReadVector(invocation.Get("vector"));
  if (invocation.args().size() < 2) {
    return absl::InvalidArgumentError("give a text, or a vector with --vector");
  }
  if (invocation.Get("output") != "json") {
    std::fprintf(stderr,
                 "note: the text is sealed to the inference service, which embeds it and so sees it; the gateway "
                 "does not. With --vector only the encrypted vector leaves this machine\n");
  }
  return EmbedText(client, model, absl::StrJoin(invocation.args().begin() + 1, invocation.args().end(), " "),
                   invocation.Get("sealing-key"));
}

absl::StatusOr<std::unique_ptr<Identity>> IdentityWithKeys(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(auto identity, Identity::Load(KeysFolder(invocation)));
  if (identity->key_id().empty()) {
    return absl::FailedPreconditionError(absl::StrCat("the evaluation keys of ", identity->folder(),
                                                      " were never uploaded; run `alcovectl private keygen --upload`"));
  }
  return identity;
}

std::string Steps(const std::vector<PrivateStep>& steps) {
  Table table({"STEP", "TIME", "SENT", "RECEIVED"});
  for (const PrivateStep& step : steps) {
    table.Add({step.name, FormatDurationShort(step.time), step.bytes_sent == 0 ? "" : FormatBytes(step.bytes_sent),
               step.bytes_received == 0 ? "" : FormatBytes(step.bytes_received)});
  }
  return table.ToString();
}

google::protobuf::Value Number(double v) {
  google::protobuf::Value out;
  out.set_number_value(v);
  return out;
}

google::protobuf::Value Text(const std::string& v) {
  google::protobuf::Value out;
  out.set_string_value(v);
  return out;
}

google::protobuf::Value StepsJson(const std::vector<PrivateStep>& steps) {
  google::protobuf::Value out;
  for (const PrivateStep& step : steps) {
    auto& fields = *out.mutable_list_value()->add_values()->mutable_struct_value()->mutable_fields();
    fields["step"] = Text(step.name);
    fields["ms"] = Number(absl::ToDoubleMilliseconds(step.time));
    fields["sent_bytes"] = Number(static_cast<double>(step.bytes_sent));
    fields["received_bytes"] = Number(static_cast<double>(step.bytes_received));
  }
  return out;
}

absl::Status PrintHits(const Invocation& invocation, const std::vector<PrivateHit>& hits, const PrivateSession& session,
                       bool scored) {
  if (invocation.Get("output") == "json") {
    google::protobuf::Struct out;
    google::protobuf::Value list;
    list.mutable_list_value();
    for (const PrivateHit& hit : hits) {
      auto& fields = *list.mutable_list_value()->add_values()->mutable_struct_value()->mutable_fields();
      fields["id"] = Text(hit.id);
      if (scored) fields["score"] = Number(hit.score);
      if (!hit.document.empty()) fields["text"] = Text(hit.document);
    }
    (*out.mutable_fields())["hits"] = list;
    (*out.mutable_fields())["steps"] = StepsJson(session.steps());
    if (!session.named_blocks().empty()) {
      google::protobuf::Value& blocks = (*out.mutable_fields())["named_blocks"];
      for (const uint32_t block : session.named_blocks()) *blocks.mutable_list_value()->add_values() = Number(block);
    }
    return Print(ToJson(out));
  }
  Table table(scored ? std::vector<std::string>{"SCORE", "ID", "TEXT"} : std::vector<std::string>{"ID", "TEXT"}, 100);
  for (const PrivateHit& hit : hits) {
    std::vector<std::string> row = {hit.id, absl::StrCat(hit.document, hit.cut ? "…" : "")};
    if (scored) row.insert(row.begin(), absl::StrFormat("%.4f", hit.score));
    table.Add(std::move(row));
  }
  return Print(absl::StrCat(table.ToString(), hits.empty() ? "nothing found\n" : "",
                            invocation.GetSwitch("steps") ? absl::StrCat("\n", Steps(session.steps())) : ""));
}

absl::Status Upload(const Invocation& invocation, const GatewayClient& client, Identity& identity,
                    const pb::ParameterSet& set) {
  if (auto progress = Progress(invocation)) progress("making evaluation keys");
  pb::UploadKeysRequest request;
  request.set_parameter_set(identity.set_name());
  request.set_galois_keys(identity.EvaluationKeys({set.galois_elements().begin(), set.galois_elements().end()}));
  request.set_label(invocation.Get("label"));
  if (auto progress = Progress(invocation)) {
    progress(absl::StrCat("uploading ", FormatBytes(request.galois_keys().size()), " of evaluation keys"));
  }
  const auto stub = Service::NewStub(client.channel());
  const auto response = client.Call(*stub, &Service::Stub::UploadKeys, request);
  EndProgress();
  if (!response.ok()) return response.status();
  ALCOVE_RETURN_IF_ERROR(identity.SetKeyId(response->keys().key_id()));
  return Print(absl::StrCat("evaluation keys ", response->keys().key_id(), " uploaded, ",
                            FormatBytes(request.galois_keys().size()), "\n"));
}

absl::Status RunKeygen(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = Service::NewStub(client->channel());
  pb::GetParametersRequest request;
  request.set_name(invocation.Get("set"));
  ALCOVE_ASSIGN_OR_RETURN(const auto parameters, client->Call(*stub, &Service::Stub::GetParameters, request));
  if (parameters.sets_size() != 1) return absl::InternalError("the server described no parameter set");
  const pb::ParameterSet& set = parameters.sets(0);
  const std::string folder = KeysFolder(invocation);
  std::unique_ptr<Identity> identity;
  if (invocation.GetSwitch("upload")) {
    ALCOVE_ASSIGN_OR_RETURN(identity, Identity::Load(folder));
    if (identity->set_name() != set.name()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the key in ", folder, " is of the set ", identity->set_name(), "; say --set"));
    }
  } else {
    ALCOVE_ASSIGN_OR_RETURN(identity, Identity::Create(folder, set.name(), set.seal_parameters()));
    ALCOVE_RETURN_IF_ERROR(Print(
        absl::StrCat("secret key      ", folder, "/secret.seal (never leaves this machine; there is no other copy)\n",
                     "parameters      ", set.name(), ", ", set.security_bits(), "-bit security\n")));
  }
  return Upload(invocation, *client, *identity, set);
}

absl::Status RunSearch(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const int64_t limit, invocation.GetInt("limit", 1, 1000));
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  ALCOVE_ASSIGN_OR_RETURN(const auto identity, IdentityWithKeys(invocation));
  const std::string& collection = invocation.args()[0];
  std::string model;
  if (!invocation.Has("vector")) {
    ALCOVE_ASSIGN_OR_RETURN(model, ModelOf(*client, collection));
  }
  ALCOVE_ASSIGN_OR_RETURN(const auto vector, VectorOf(invocation, *client, model));
  PrivateSession session(*client, *identity, Progress(invocation));
  PrivateSession::SearchOptions options{static_cast<size_t>(limit), invocation.GetSwitch("rescore"), std::nullopt};
  ALCOVE_ASSIGN_OR_RETURN(const int64_t group, invocation.GetInt("clusters", 0, 1'000'000));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t neighbours, invocation.GetInt("neighbours", 1, 32));
  if (group > 0) options.clusters = DecoyOptions{static_cast<size_t>(group), static_cast<size_t>(neighbours)};
  auto hits = session.Search(collection, invocation.Get("vector-name"), vector, options);
  absl::Status status = hits.status();
  if (status.ok() && !invocation.GetSwitch("no-documents")) status = session.FetchDocuments(*hits);
  EndProgress();
  if (!status.ok()) return status;
  if (options.clusters && session.named_blocks().empty() && invocation.Get("output") != "json") {
    std::fprintf(stderr,
                 "note: the server keeps %d clusters of this collection, too few to hide among; all of it was scored\n",
                 session.parameters().clusters_size());
  }
  return PrintHits(invocation, *hits, session, true);
}

absl::Status RunLookup(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  ALCOVE_ASSIGN_OR_RETURN(const auto identity, IdentityWithKeys(invocation));
  PrivateSession session(*client, *identity, Progress(invocation));
  const auto hits = session.Lookup(invocation.args()[0], invocation.Get("vector-name"),
                                   {invocation.args().begin() + 1, invocation.args().end()});
  EndProgress();
  if (!hits.ok()) return hits.status();
  return PrintHits(invocation, *hits, session, false);
}

absl::Status RunScore(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  ALCOVE_ASSIGN_OR_RETURN(const auto identity, IdentityWithKeys(invocation));
  ALCOVE_ASSIGN_OR_RETURN(const auto vector, VectorOf(invocation, *client, invocation.Get("model")));
  PrivateSession session(*client, *identity, Progress(invocation));
  const auto scores = session.Score(invocation.args()[0], vector);
  EndProgress();
  if (!scores.ok()) return scores.status();
  if (invocation.Get("output") == "json") {
    google::protobuf::Struct out;
    google::protobuf::Value list;
    for (const auto& score : *scores) {
      auto& fields = *list.mutable_list_value()->add_values()->mutable_struct_value()->mutable_fields();
      fields["label"] = Text(score.label);
      fields["score"] = Number(score.score);
    }
    (*out.mutable_fields())["scores"] = list;
    (*out.mutable_fields())["steps"] = StepsJson(session.steps());
    return Print(ToJson(out));
  }
  Table table({"SCORE", "CLASS"});
  for (const auto& score : *scores) table.Add({absl::StrFormat("%.4f", score.score), score.label});
  return Print(
      absl::StrCat(table.ToString(), invocation.GetSwitch("steps") ? absl::StrCat("\n", Steps(session.steps())) : ""));
}

absl::Status RunClassify(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = Service::NewStub(client->channel());
  if (invocation.Has("delete")) {
    pb::DeleteClassifierRequest request;
    request.set_name(invocation.Get("delete"));
    return client->Call(*stub, &Service::Stub::DeleteClassifier, request).status();
  }
  if (invocation.Has("put")) {
    ALCOVE_ASSIGN_OR_RETURN(const std::string json, ReadFile(invocation.Get("put"), kMaxVectorFile));
    pb::PutClassifierRequest request;
    const auto parsed = google::protobuf::util::JsonStringToMessage(json, &request);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(invocation.Get("put"), ": ", std::string(parsed.message())));
    }
    return client->Call(*stub, &Service::Stub::PutClassifier, request).status();
  }
  ALCOVE_ASSIGN_OR_RETURN(const auto list,
                          client->Call(*stub, &Service::Stub::ListClassifiers, pb::ListClassifiersRequest()));
  if (invocation.Get("output") == "json") return Print(ToJson(list));
  Table table({"NAME", "DIMENSION", "CLASSES"});
  for (const auto& one : list.classifiers()) {
    table.Add({one.name(), absl::StrCat(one.dimension()), absl::StrJoin(one.labels(), ", ")});
  }
  return Print(table.ToString());
}

absl::Status RunKeys(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = Service::NewStub(client->channel());
  pb::ListKeysResponse all;
  pb::ListKeysRequest request;
  do {
    ALCOVE_ASSIGN_OR_RETURN(pb::ListKeysResponse page, client->Call(*stub, &Service::Stub::ListKeys, request));
    all.mutable_keys()->MergeFrom(page.keys());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (invocation.Get("output") == "json") return Print(ToJson(all));
  Table table({"ID", "SET", "SEAL", "SIZE", "CREATED", "LABEL"});
  for (const auto& key : all.keys()) {
    table.Add(
        {key.key_id().substr(0, 16), key.parameter_set(), key.seal_version(),
         FormatBytes(static_cast<uint64_t>(key.stored_bytes())),
         absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(key.created_at().seconds()), absl::UTCTimeZone()),
         key.label()});
  }
  return Print(table.ToString());
}

absl::Status RunRevoke(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = Service::NewStub(client->channel());
  pb::DeleteKeysRequest request;
  if (invocation.args().empty()) {
    ALCOVE_ASSIGN_OR_RETURN(const auto identity, IdentityWithKeys(invocation));
    request.set_key_id(identity->key_id());
  } else {
    request.set_key_id(invocation.args()[0]);
  }
  request.set_revoke(true);
  return client->Call(*stub, &Service::Stub::DeleteKeys, request).status();
}

const FlagSpec kKeys{"keys", 0, "FOLDER", "~/.alcove/private", "folder of the secret key"};
const FlagSpec kVector{"vector", 0, "FILE", "",
                       "numbers of the vector, as JSON or between spaces; - reads standard input"};
const FlagSpec kVectorName{"vector-name", 0, "NAME", "", "vector field of the collection"};
const FlagSpec kSealingKey{"sealing-key", 0, "NAME", "",
                           "refuse any other key than this one (the inference service logs its name at the start)"};
const FlagSpec kSteps{"steps", 0, "", "", "show what each step took and sent"};

}  // namespace

std::vector<CommandSpec> PrivateCommands() {
  return {
      {.name = "private keygen",
       .summary = "Make a secret key for private search and upload the evaluation keys that go with it",
       .flags =
           Join(ClientFlags(), {kKeys,
                                {"set", 0, "NAME", "s50", "parameter set"},
                                {"label", 0, "TEXT", "", "what to recognise the keys by"},
                                {"upload", 0, "", "", "keep the secret key there is and upload its evaluation keys"}}),
       .details = "The secret key stays in FOLDER, readable by you alone. Evaluation keys decrypt nothing; the server "
                  "computes with them.",
       .run = RunKeygen},
      {.name = "private search",
       .summary = "Search a collection without the server learning the query or the result",
       .args = "COLLECTION [TEXT…]",
       .min_args = 1,
       .max_args = 1000,
       .flags = Join(ClientFlags(), {{"limit", 'n', "N", "10", "most documents to show"},
                                     kKeys,
                                     kVector,
                                     kVectorName,
                                     kSealingKey,
                                     {"rescore", 0, "", "",
                                      "fetch the vectors of twice as many rows privately and score them again here"},
                                     {"clusters", 0, "N", "0",
                                      "of a large collection, score the clusters near the query and near N - 1 decoys "
                                      "only; the server learns that the query is near one of those N; which decoys "
                                      "is fixed by the file group_secret beside the key"},
                                     {"neighbours", 0, "N", "8", "clusters scored around each of these, 1 to 32"},
                                     {"no-documents", 0, "", "", "show ids and scores only"},
                                     kSteps}),
       .details = "The vector is encrypted here; the server scores every row of the collection on ciphertext, and the "
                  "scores are decrypted here. Documents are fetched by private lookups.\n\nexample:\n  alcovectl "
                  "private keygen\n  alcovectl private search packages draw diagrams from text",
       .run = RunSearch},
      {.name = "private lookup",
       .summary = "Fetch documents by id without the server learning which",
       .args = "COLLECTION ID…",
       .min_args = 2,
       .max_args = 1000,
       .flags = Join(ClientFlags(), {kKeys, kVectorName, kSteps}),
       .run = RunLookup},
      {.name = "private score",
       .summary = "Score an encrypted vector by a classifier of the server",
       .args = "CLASSIFIER [TEXT…]",
       .min_args = 1,
       .max_args = 1000,
       .flags = Join(ClientFlags(),
                     {kKeys, kVector, {"model", 0, "NAME", "", "model that embeds the text"}, kSealingKey, kSteps}),
       .run = RunScore},
      {.name = "private classifiers",
       .summary = "List, store and remove classifiers",
       .flags = Join(ClientFlags(), {{"put", 0, "FILE", "", "store the classifier of a JSON file"},
                                     {"delete", 0, "NAME", "", "remove a classifier"}}),
       .details = "FILE holds {\"name\", \"dimension\", \"classes\": [{\"label\", \"weights\": […], \"bias\"}]}.",
       .run = RunClassify},
      {.name = "private keys",
       .summary = "List the evaluation keys the server holds",
       .flags = ClientFlags(),
       .run = RunKeys},
      {.name = "private revoke",
       .summary = "Revoke evaluation keys for ever: those of the folder, or those of an id",
       .args = "[KEY_ID]",
       .max_args = 1,
       .flags = Join(ClientFlags(), {kKeys}),
       .run = RunRevoke},
  };
}

}  // namespace alcove::ctl
