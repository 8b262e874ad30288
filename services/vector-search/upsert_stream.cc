#include "services/vector-search/upsert_stream.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/vector-search/convert.h"

namespace alcove::vector_search {
namespace {

// What a client may have sent beyond what is stored. Reading stops there, and flow control stops the client.
constexpr size_t kMaxWaitingBytes = 32 << 20;
constexpr size_t kMaxWaitingMessages = 256;
// Of one transaction, unless a single message is larger.
constexpr size_t kBatchBytes = 16 << 20;

absl::Status Stopping() {
  return absl::UnavailableError("this process is stopping; send on from the first message that was not acknowledged");
}

}  // namespace

// Thread safety: the On… methods come one after the other, on the call's loop; on the write queue one batch is prepared
// while the one before it is stored, in turn. What they share is under mutex_; at most one read, one write, one
// preparation and one transaction are under way.
class UpsertStreams::Stream final : public Reactor {
 public:
  Stream(UpsertStreams& owner, rpc::ServerCall& call)
      : Reactor(call),
        owner_(owner),
        ctx_(rpc::MakeCallContext(call, owner.options_, source_.token())),
        begun_(owner.recorder_.Begin()) {}

  void Begin() {
    Advance([] {});
  }

  void End(absl::Status why) {
    Advance([this, &why]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      // What was received is still stored.
      input_over_ = true;
      if (status_.ok()) status_ = std::move(why);
    });
  }

  void OnReadDone(bool ok) override {
    Advance([this, ok]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      reading_ = false;
      if (!ok) {
        input_over_ = true;
      } else if (!failed_ && !refused_) {
        waiting_bytes_ += incoming_.ByteSizeLong();
        waiting_.push_back(std::make_unique<pb::StreamUpsertPointsRequest>(std::move(incoming_)));
        incoming_.Clear();
      }
    });
  }

  void OnWriteDone(bool ok) override {
    Advance([this, ok]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      writing_ = false;
      if (!ok) Fail(absl::CancelledError("the client went away"));
    });
  }

  void OnCancel(absl::Status) override {
    source_.Cancel();
    Advance([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { Fail(absl::CancelledError("the client went away")); });
  }

  void OnDone() override {
    absl::Status status;
    {
      absl::MutexLock lock(&mutex_);
      status = status_;
    }
    owner_.recorder_.End(ctx_, begun_, status);
    owner_.Remove(this);
  }

 private:
  using Message = std::unique_ptr<pb::StreamUpsertPointsRequest>;

  // One transaction.
  struct Batch {
    std::string collection;
    std::vector<Message> messages;
    size_t good = 0;  // messages from the front whose points are in `points`
    std::vector<StoredPoint> points;
    absl::Status refused;  // why the message after those is not
  };

  // Nothing more is stored.
  void Fail(absl::Status why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    failed_ = true;
    prepared_ = nullptr;
    StopReading();
    if (status_.ok()) status_ = std::move(why);
  }

  void StopReading() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    input_over_ = true;
    waiting_.clear();
    waiting_bytes_ = 0;
  }

  // Changes the state and starts whatever can be started then. The stream may be gone when this returns, unless the
  // caller keeps it: everything that happens is decided in one hold of the mutex, and the end comes last.
  void Advance(absl::FunctionRef<void()> change) {
    bool read = false, prepare = false, store = false, write = false, finish = false;
    absl::Status status;
    {
      absl::MutexLock lock(&mutex_);
      change();
      if (finished_) return;
      if (!input_over_ && !reading_ && waiting_bytes_ < kMaxWaitingBytes && waiting_.size() < kMaxWaitingMessages &&
          replies_.size() < kMaxWaitingMessages) {
        read = reading_ = true;
      }
      if (!storing_ && prepared_ != nullptr) {
        store = storing_ = true;
        storing_batch_ = std::move(prepared_);
      }
      if (!preparing_ && prepared_ == nullptr && !waiting_.empty()) prepare = preparing_ = true;
      if (!writing_ && !replies_.empty()) {
        write = writing_ = true;
        outgoing_ = std::move(replies_.front());
        replies_.pop_front();
      }
      if (read || prepare || store || write) {
        ++starting_;
      } else if (starting_ == 0 && !preparing_ && prepared_ == nullptr && !storing_ && !writing_ && input_over_ &&
                 waiting_.empty() && replies_.empty()) {
        finish = finished_ = true;
        status = status_;
      }
    }
    if (finish) return Finish(std::move(status));
    if (!read && !prepare && !store && !write) return;
    absl::Status prepare_queued, store_queued;
    if (read) StartRead(&incoming_);
    if (write) StartWrite(&outgoing_);
    if (store) store_queued = owner_.writes_.Submit([this] { StoreBatch(); });
    if (prepare) prepare_queued = owner_.writes_.Submit([this] { PrepareBatch(); });
    Advance([this, &prepare_queued, &store_queued]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      --starting_;
      if (!store_queued.ok()) {
        storing_ = false;
        storing_batch_ = nullptr;
        Fail(std::move(store_queued));
      }
      if (!prepare_queued.ok()) {
        preparing_ = false;
        Fail(std::move(prepare_queued));
      }
    });
  }

  // Reads and checks one transaction's worth of messages; then makes room for others who wait for the thread.
  void PrepareBatch() {
    auto batch = std::make_unique<Batch>();
    {
      absl::MutexLock lock(&mutex_);
      size_t bytes = 0;
      while (!waiting_.empty()) {
        const size_t size = waiting_.front()->ByteSizeLong();
        if (!batch->messages.empty() && bytes + size > kBatchBytes) break;
        bytes += size;
        batch->messages.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
      }
      waiting_bytes_ -= std::min(bytes, waiting_bytes_);
    }
    Advance([] {});  // there is room to read on meanwhile
    for (const Message& message : batch->messages) {
      ++number_;
      batch->refused = Take(*message, batch->points);
      if (!batch->refused.ok()) {
        batch->refused = Annotate(std::move(batch->refused), absl::StrCat("message ", number_));
        break;
      }
      ++batch->good;
    }
    batch->collection = collection_;
    Advance([this, &batch]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      preparing_ = false;
      if (failed_) return;
      if (!batch->refused.ok()) {
        // Those before it are stored first.
        refused_ = true;
        StopReading();
      }
      prepared_ = std::move(batch);
    });
  }

  void StoreBatch() {
    const std::unique_ptr<Batch> batch = std::move(storing_batch_);
    absl::Status status = batch->good == 0 ? absl::OkStatus() : Store(*batch);
    if (status.ok()) status = std::move(batch->refused);
    Advance([this, &status]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      storing_ = false;
      if (!status.ok()) Fail(std::move(status));
    });
  }

  // Appends a message's points; on error `points` is as it was.
  absl::Status Take(const pb::StreamUpsertPointsRequest& message, std::vector<StoredPoint>& points) {
    if (collection_.empty()) {
      collection_ = message.collection();
    } else if (!message.collection().empty() && message.collection() != collection_) {
      return InvalidField(
          "collection", absl::StrCat("is \"", message.collection(), "\"; the stream began with \"", collection_, "\""));
    }
    const size_t before = points.size();
    absl::Status status;
    for (int i = 0; i < message.points_size() && status.ok(); ++i) {
      absl::StatusOr<StoredPoint> point = PointFromProto(message.points(i));
      if (point.ok()) {
        points.push_back(*std::move(point));
      } else {
        status = Annotate(point.status(), absl::StrCat("points[", i, "]"));
      }
    }
    if (status.ok()) {
      status = owner_.coordinator_.CheckUpsert(ctx_, collection_, absl::MakeConstSpan(points).subspan(before));
    }
    if (!status.ok()) points.resize(before);
    return status;
  }

  absl::Status Store(const Batch& batch) {
    if (absl::Status late = ctx_.Check(); !late.ok()) return late;
    ALCOVE_ASSIGN_OR_RETURN(const WriteReply reply,
                            owner_.coordinator_.UpsertChecked(ctx_, batch.collection, batch.points));
    owner_.messages_.Increment(batch.good);
    absl::MutexLock lock(&mutex_);
    for (size_t i = 0; i < batch.good; ++i) {
      pb::StreamUpsertPointsResponse& ack = replies_.emplace_back();
      ack.set_upserted(static_cast<uint32_t>(batch.messages[i]->points_size()));
      ack.set_sequence(reply.sequence);
      ack.set_position(batch.messages[i]->position());
    }
    return absl::OkStatus();
  }

  UpsertStreams& owner_;
  CancellationSource source_;
  const RequestContext ctx_;
  const int64_t begun_;
  // The preparing thread's.
  std::string collection_;
  int64_t number_ = 0;

  std::unique_ptr<Batch> storing_batch_;  // the storing thread's while storing_

  pb::StreamUpsertPointsRequest incoming_;   // the call's while reading_
  pb::StreamUpsertPointsResponse outgoing_;  // the call's while writing_
  absl::Mutex mutex_;
  std::deque<Message> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<pb::StreamUpsertPointsResponse> replies_ ABSL_GUARDED_BY(mutex_);
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool preparing_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Batch> prepared_ ABSL_GUARDED_BY(mutex_);  // next to be stored
  bool storing_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  int starting_ ABSL_GUARDED_BY(mutex_) = 0;  // threads between deciding on a start and having started
  bool input_over_ ABSL_GUARDED_BY(mutex_) = false;
  bool refused_ ABSL_GUARDED_BY(mutex_) = false;  // a message that will not be stored has come
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

UpsertStreams::UpsertStreams(Coordinator& coordinator, WorkQueue& writes, const rpc::MethodOptions& options)
    : coordinator_(coordinator),
      writes_(writes),
      // An upload lasts as long as it lasts; a client that goes away is noticed by its connection.
      options_{.registry = options.registry, .pool = options.pool, .default_timeout = absl::InfiniteDuration()},
      recorder_(*options.registry, ::alcove::vector::v1::VectorService::service_full_name(), "StreamUpsertPoints"),
      messages_(options.registry->AddCounter("alcove_vector_stream_messages_total",
                                             "Messages of uploads stored and acknowledged.")) {}

UpsertStreams::Reactor* UpsertStreams::Open(rpc::ServerCall* call) {
  auto stream = std::make_shared<Stream>(*this, *call);
  bool draining;
  {
    absl::MutexLock lock(&mutex_);
    streams_[stream.get()] = stream;
    draining = draining_;
  }
  if (draining) {
    stream->End(Stopping());
  } else {
    stream->Begin();
  }
  return stream.get();
}

void UpsertStreams::BeginDrain() {
  std::map<Stream*, std::shared_ptr<Stream>> streams;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    streams = streams_;
  }
  for (const auto& [stream, kept] : streams) stream->End(Stopping());
}

void UpsertStreams::Remove(Stream* stream) {
  std::shared_ptr<Stream> last;  // goes without the lock
  absl::MutexLock lock(&mutex_);
  const auto at = streams_.find(stream);
  last = std::move(at->second);
  streams_.erase(at);
}

}  // namespace alcove::vector_search
