#include "tools/alcovectl/ingest/vector_upload.h"

#include <algorithm>
#include <deque>
#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>

#include "libs/common/status.h"

namespace alcove::ctl {
namespace {

using alcove::vector::v1::StreamUpsertPointsRequest;
using alcove::vector::v1::StreamUpsertPointsResponse;
using alcove::vector::v1::VectorService;

bool MayPass(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kResourceExhausted ||
         code == absl::StatusCode::kAborted || code == absl::StatusCode::kDeadlineExceeded;
}

// One stream: what is written to it, and a thread that reads its acknowledgements.
class Stream {
 public:
  using Acknowledged = std::function<void(const StreamUpsertPointsResponse&)>;
  Stream(VectorService::Stub& stub, const PrepareCall& prepare, Acknowledged acknowledged) {
    prepare(context_);
    call_ = stub.StreamUpsertPoints(&context_);
    reader_ = std::thread([this, acknowledged = std::move(acknowledged)] {
      StreamUpsertPointsResponse response;
      while (call_->Read(&response)) acknowledged(response);
    });
  }
  ~Stream() {
    if (!reader_.joinable()) return;
    context_.TryCancel();
    Finish().IgnoreError();
  }
  // Waits while the server takes no more. False when the stream is broken.
  bool Write(const StreamUpsertPointsRequest& request) { return call_->Write(request); }
  absl::Status Finish() {
    call_->WritesDone();
    reader_.join();
    const grpc::Status status = call_->Finish();
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<StreamUpsertPointsRequest, StreamUpsertPointsResponse>> call_;
  std::thread reader_;
};

}  // namespace

absl::Status UploadVectors(VectorSource& source, VectorService::Stub& stub, const UploadOptions& options,
                           const PrepareCall& prepare, const UploadObserver& observer, UploadProgress* progress) {
  absl::Mutex mutex;
  using Message = std::shared_ptr<const StreamUpsertPointsRequest>;
  std::deque<Message> open;  // sent or about to be, not acknowledged; the oldest first
  int64_t durable = options.skip;
  int64_t acknowledgements = 0;
  std::unique_ptr<Stream> stream;
  const auto acknowledged = [&](const StreamUpsertPointsResponse& response) {
    absl::MutexLock lock(&mutex);
    ++acknowledgements;
    while (!open.empty() && open.front()->position() <= response.position()) {
      durable = static_cast<int64_t>(open.front()->position());
      open.pop_front();
    }
  };
  const auto report = [&] {
    {
      absl::MutexLock lock(&mutex);
      progress->durable = durable;
    }
    progress->stored = progress->durable - options.skip;
    progress->fraction = source.Progress();
    if (observer) observer(*progress);
  };

  int failures = 0;
  int64_t last_acknowledgements = 0;
  // Ends a broken stream; OK when another one may be tried.
  const auto broken = [&](absl::Status why) -> absl::Status {
    stream.reset();
    if (why.ok()) why = absl::UnavailableError("the server ended the stream");
    {
      absl::MutexLock lock(&mutex);
      if (acknowledgements > last_acknowledgements) failures = 0;
      last_acknowledgements = acknowledgements;
    }
    if (!MayPass(why.code()) || failures >= options.retries) return why;
    absl::SleepFor(std::min(options.retry_base * (1 << std::min(failures, 10)), absl::Seconds(10)));
    ++failures;
    return absl::OkStatus();
  };
  // Opens a stream when there is none and sends what is not acknowledged again.
  const auto send_all = [&](const Message& newest) -> absl::Status {
    while (true) {
      bool good = true;
      if (stream == nullptr) {
        stream = std::make_unique<Stream>(stub, prepare, acknowledged);
        std::deque<Message> again;
        {
          absl::MutexLock lock(&mutex);
          again = open;
        }
        for (size_t i = 0; i < again.size() && good; ++i) good = stream->Write(*again[i]);
      } else if (newest != nullptr) {
        good = stream->Write(*newest);
      }
      if (good) return absl::OkStatus();
      absl::Status why = stream->Finish();
      ALCOVE_RETURN_IF_ERROR(broken(std::move(why)));
    }
  };

  absl::Status error;
  SourceVector vector;
  int64_t read = 0;
  bool more = true;
  while (more) {
    const auto message = std::make_shared<StreamUpsertPointsRequest>();
    StreamUpsertPointsRequest& request = *message;
    request.set_collection(options.collection);
    while (static_cast<size_t>(request.points_size()) < options.batch) {
      if (options.limit >= 0 && read >= options.limit) {
        more = false;
        break;
      }
      absl::StatusOr<bool> next = source.Next(&vector);
      if (!next.ok()) error = next.status();
      more = next.ok() && *next;
      if (!more) break;
      if (read++ < options.skip) continue;
      auto& point = *request.add_points();
      point.set_id(vector.id);
      point.mutable_vector()->Add(vector.values.begin(), vector.values.end());
      if (!vector.payload.fields().empty()) *point.mutable_payload() = vector.payload;
    }
    if (request.points_size() == 0) break;
    request.set_position(static_cast<uint64_t>(read));
    {
      absl::MutexLock lock(&mutex);
      open.push_back(message);
    }
    if (absl::Status sent = send_all(message); !sent.ok()) {
      report();
      return sent;
    }
    report();
  }
  // Everything is sent: the end of the stream is the acknowledgement of all.
  while (stream != nullptr) {
    absl::Status end = stream->Finish();
    stream.reset();
    bool all;
    {
      absl::MutexLock lock(&mutex);
      all = open.empty();
    }
    if (all) break;
    if (absl::Status again = broken(std::move(end)); !again.ok()) {
      report();
      return again;
    }
    if (absl::Status sent = send_all(nullptr); !sent.ok()) {
      report();
      return sent;
    }
  }
  report();
  return error;
}

}  // namespace alcove::ctl
