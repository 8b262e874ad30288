#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "alcove/gateway/v1/gateway.grpc.pb.h"
#include "alcove/vector/v1/vector.grpc.pb.h"
#include "libs/common/fs.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/gateway_client.h"
#include "tools/alcovectl/ingest/pipeline.h"
#include "tools/alcovectl/ingest/vector_source.h"
#include "tools/alcovectl/ingest/vector_upload.h"
#include "tools/alcovectl/output.h"
#include "tools/alcovectl/stack/layout.h"

namespace alcove::ctl {
namespace {

using alcove::gateway::v1::DocumentService;
using alcove::gateway::v1::UpsertDocumentsRequest;

constexpr int kBarWidth = 28;

// A line on standard error: rewritten in place on a terminal, every five seconds elsewhere.
class ProgressLine {
 public:
  ProgressLine() : terminal_(StderrIsTerminal()), started_(absl::Now()) {}

  void Show(const PipelineProgress& progress, bool last) {
    const absl::Time now = absl::Now();
    if (!last && now - shown_ < (terminal_ ? absl::Milliseconds(200) : absl::Seconds(5))) return;
    shown_ = now;
    const double seconds = std::max(1e-3, absl::ToDoubleSeconds(now - started_));
    const double rate = static_cast<double>(progress.stored) / seconds;
    if (!begun_) {
      begun_ = true;
      first_fraction_ = progress.fraction;
    }
    std::string left;
    if (!last && progress.fraction > first_fraction_ && progress.fraction < 1) {
      const double eta = seconds * (1 - progress.fraction) / (progress.fraction - first_fraction_);
      left = absl::StrCat(", ", FormatDurationShort(absl::Seconds(std::max(1.0, std::round(eta)))), " left");
    }
    const int filled = static_cast<int>(progress.fraction * kBarWidth);
    const std::string bar = absl::StrCat(std::string(filled, '#'), std::string(kBarWidth - filled, '.'));
    const std::string line =
        absl::StrFormat("[%s] %3.0f %%  %d stored, %.0f/s%s%s", bar, progress.fraction * 100, progress.stored, rate,
                        left, progress.rejected > 0 ? absl::StrCat(", ", progress.rejected, " rejected") : "");
    std::fprintf(stderr, terminal_ ? "\r%s\033[K%s" : "%s%s\n", line.c_str(), terminal_ && last ? "\n" : "");
    std::fflush(stderr);
  }

 private:
  bool terminal_;
  bool begun_ = false;
  double first_fraction_ = 0;
  absl::Time started_;
  absl::Time shown_ = absl::InfinitePast();
};

// How far earlier runs got with this source and collection: the number of documents, as text.
class Checkpoint {
 public:
  Checkpoint(const Invocation& invocation, const std::string& source) {
    const char* folder = std::getenv("ALCOVE_DATA");
    const std::string data = invocation.Has("data") ? invocation.Get("data")
                             : folder != nullptr    ? folder
                                                    : kDefaultDataFolder;
    const std::string identity = absl::StrCat(invocation.args()[0], "|", source, "|", invocation.Get("text-field"), "|",
                                              invocation.Get("id-field"));
    path_ = StackLayout(data).IngestState(absl::StrFormat("%016x", Hash64(identity)));
  }

  int64_t Load() const {
    const auto text = ReadFile(path_, 64);
    int64_t count = 0;
    return text.ok() && absl::SimpleAtoi(*text, &count) && count > 0 ? count : 0;
  }

  absl::Status Save(int64_t count) const {
    ALCOVE_RETURN_IF_ERROR(EnsureDirectory(DirectoryOf(path_), 0700));
    return WriteFileAtomically(path_, absl::StrCat(count), 0600);
  }

  void Clear() const { RemoveFile(path_).IgnoreError(); }

 private:
  std::string path_;
};

absl::Status RunVectorIngest(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto source,
                          OpenVectorSource(invocation.args()[1], invocation.Get("format"), invocation.Get("id-field")));
  UploadOptions options;
  options.collection = invocation.args()[0];
  if (invocation.Has("batch")) {
    ALCOVE_ASSIGN_OR_RETURN(const int64_t batch, invocation.GetInt("batch", 1, 10'000));
    options.batch = static_cast<size_t>(batch);
  }
  if (invocation.Has("limit")) {
    ALCOVE_ASSIGN_OR_RETURN(options.limit, invocation.GetInt("limit", 1, INT64_MAX));
  }
  if (invocation.GetSwitch("skip-bad")) return absl::InvalidArgumentError("--skip-bad is for documents only");
  const Checkpoint checkpoint(invocation, source->Identity());
  if (!invocation.GetSwitch("restart")) options.skip = checkpoint.Load();
  if (options.skip > 0) {
    std::fprintf(stderr, "going on after %lld vectors stored by an earlier run (--restart begins anew)\n",
                 static_cast<long long>(options.skip));
  }
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = alcove::vector::v1::VectorService::NewStub(client->channel());
  ProgressLine line;
  absl::Time saved = absl::Now();
  const auto show = [&](const UploadProgress& now, bool last) {
    PipelineProgress progress;
    progress.stored = now.stored;
    progress.durable = now.durable;
    progress.fraction = now.fraction;
    line.Show(progress, last);
  };
  UploadProgress progress;
  const absl::Time started = absl::Now();
  const absl::Status status = UploadVectors(
      *source, *stub, options, [&](grpc::ClientContext& context) { client->PrepareStream(context); },
      [&](const UploadProgress& now) {
        show(now, false);
        if (absl::Now() - saved < absl::Seconds(1)) return;
        saved = absl::Now();
        checkpoint.Save(now.durable).IgnoreError();  // losing it costs only repeated work
      },
      &progress);
  show(progress, true);
  if (!status.ok()) {
    checkpoint.Save(progress.durable).IgnoreError();
    return Annotate(client->Explain(status),
                    absl::StrCat(progress.durable, " vectors are stored; the same command goes on from there"));
  }
  if (options.limit < 0) {
    checkpoint.Clear();
  } else {
    ALCOVE_RETURN_IF_ERROR(checkpoint.Save(progress.durable));
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - started);
  if (invocation.Get("output") == "json") {
    return Print(absl::StrFormat("{\"stored\": %d, \"skipped\": %d, \"rejected\": 0, \"seconds\": %.3f}\n",
                                 progress.stored, options.skip, seconds));
  }
  return Print(absl::StrFormat("%d vectors stored in %.1f s (%.0f/s)\n", progress.stored, seconds,
                               static_cast<double>(progress.stored) / std::max(1e-3, seconds)));
}

absl::Status RunIngest(const Invocation& invocation) {
  if (IsVectorFormat(invocation.args()[1], invocation.Get("format"))) return RunVectorIngest(invocation);
  SourceOptions source_options;
  source_options.format = invocation.Get("format");
  source_options.text_field = invocation.Get("text-field");
  source_options.id_field = invocation.Get("id-field");
  ALCOVE_ASSIGN_OR_RETURN(const auto source, OpenSource(invocation.args()[1], source_options));

  PipelineOptions options;
  ALCOVE_ASSIGN_OR_RETURN(const int64_t batch, invocation.GetInt("batch", 1, 1000));
  options.batch_documents = static_cast<size_t>(batch);
  ALCOVE_ASSIGN_OR_RETURN(const int64_t in_flight, invocation.GetInt("in-flight", 1, 64));
  options.in_flight = static_cast<size_t>(in_flight);
  if (invocation.Has("limit")) {
    ALCOVE_ASSIGN_OR_RETURN(options.limit, invocation.GetInt("limit", 1, INT64_MAX));
  }
  options.skip_bad = invocation.GetSwitch("skip-bad");
  const Checkpoint checkpoint(invocation, source->Identity());
  if (!invocation.GetSwitch("restart")) options.skip = checkpoint.Load();
  if (options.skip > 0) {
    std::fprintf(stderr, "going on after %lld documents stored by an earlier run (--restart begins anew)\n",
                 static_cast<long long>(options.skip));
  }

  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = DocumentService::NewStub(client->channel());
  const BatchSender send = [&](const std::vector<SourceDocument>& documents) {
    UpsertDocumentsRequest request;
    request.set_collection(invocation.args()[0]);
    for (const SourceDocument& document : documents) {
      auto& out = *request.add_documents();
      out.set_id(document.id);
      out.set_text(document.text);
      *out.mutable_metadata() = document.metadata;
    }
    return client->Call(*stub, &DocumentService::Stub::UpsertDocuments, request).status();
  };

  ProgressLine line;
  absl::Time saved = absl::Now();
  PipelineProgress progress;
  const PipelineObserver observer{[&](const PipelineProgress& now) {
                                    line.Show(now, false);
                                    if (absl::Now() - saved < absl::Seconds(1)) return;
                                    saved = absl::Now();
                                    checkpoint.Save(now.durable).IgnoreError();  // losing it costs only repeated work
                                  },
                                  [](const absl::Status& rejected) {
                                    std::fprintf(stderr, "\nrejected: %s\n", std::string(rejected.message()).c_str());
                                  }};
  const absl::Time started = absl::Now();
  const absl::Status status = RunPipeline(*source, options, send, observer, &progress);
  line.Show(progress, true);
  if (status.ok()) {
    // A limited run has not finished the source.
    if (options.limit < 0) {
      checkpoint.Clear();
    } else {
      ALCOVE_RETURN_IF_ERROR(checkpoint.Save(progress.durable));
    }
  } else {
    checkpoint.Save(progress.durable).IgnoreError();
    return Annotate(status,
                    absl::StrCat(progress.durable, " documents are stored; the same command goes on from there"));
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - started);
  if (invocation.Get("output") == "json") {
    return Print(absl::StrFormat("{\"stored\": %d, \"skipped\": %d, \"rejected\": %d, \"seconds\": %.3f}\n",
                                 progress.stored, options.skip, progress.rejected, seconds));
  }
  return Print(absl::StrFormat("%d documents stored in %.1f s\n", progress.stored, seconds));
}

}  // namespace

std::vector<CommandSpec> IngestCommands() {
  return {
      {.name = "ingest",
       .summary = "Store documents or vectors from a file or folder",
       .args = "COLLECTION PATH",
       .min_args = 2,
       .max_args = 2,
       .flags = Join(ClientFlags(), {{"format", 0, "FORMAT", "",
                                      "jsonl, csv or text (a folder); fvecs, npy or vectors (JSON lines) for vectors; "
                                      "default: by the name of PATH"},
                                     {"text-field", 0, "NAME", "text", "field that is embedded; a+b joins two"},
                                     {"id-field", 0, "NAME", "id", "field that is the id"},
                                     {"limit", 'n', "N", "", "stop after so many documents"},
                                     {"batch", 0, "N", "64", "documents in one request; 500 vectors in one message"},
                                     {"in-flight", 0, "N", "4", "requests at once"},
                                     {"skip-bad", 0, "", "", "report documents that cannot be stored and go on"},
                                     {"restart", 0, "", "", "begin anew instead of where an earlier run stopped"}}),
       .details =
           "Every field besides id and text becomes metadata. An interrupted run goes on where it stopped. Vectors go\n"
           "over one acknowledged stream; without an id field their number in the file is their id.\n\n"
           "examples:\n  alcovectl ingest packages packages.jsonl\n"
           "  alcovectl ingest notes ~/notes --format text\n  alcovectl ingest images embeddings.npy",
       .run = RunIngest},
  };
}

}  // namespace alcove::ctl
