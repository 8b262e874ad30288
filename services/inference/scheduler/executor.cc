#include "services/inference/scheduler/executor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"

namespace alcove::inference {

struct Executor::Request {
  std::vector<std::vector<int32_t>> sequences;
  EmbedResult result;
  EmbedDone done;
  Queue* queue = nullptr;
  Batcher::ItemId first_item = 0;
  absl::Time submitted;
  std::atomic<size_t> remaining{0};
  std::atomic<bool> answered{false};
  CancellationToken cancellation;
  CancellationRegistration registration;
};

struct Executor::Queue {
  Queue(const std::string& model_name, const BatchRunner* model, const BatchLimits& limits, Registry& registry)
      : name(model_name),
        runner(model),
        batcher(limits),
        texts(registry.AddCounter("alcove_inference_texts_total", "Texts embedded.", {{"model", name}})),
        tokens(registry.AddCounter("alcove_inference_tokens_total", "Tokens read by models.", {{"model", name}})),
        batches(registry.AddCounter("alcove_inference_batches_total", "Batches run.", {{"model", name}})),
        batch_texts(registry.AddHistogram("alcove_inference_batch_texts", "Texts in a batch.", PowersOfTwo(9),
                                          {{"model", name}})),
        batch_tokens(registry.AddHistogram("alcove_inference_batch_tokens", "Tokens in a batch.", PowersOfTwo(14),
                                           {{"model", name}})),
        wait(registry.AddHistogram("alcove_inference_queue_wait_seconds", "Time a text waited for its batch.",
                                   FastLatencyBuckets(), {{"model", name}})),
        run(registry.AddHistogram("alcove_inference_batch_seconds", "Time a batch ran.", FastLatencyBuckets(),
                                  {{"model", name}})),
        latency(registry.AddHistogram("vllm:e2e_request_latency_seconds", "Time from arrival to answer of a request.",
                                      LatencyBuckets(), {{"model_name", name}})),
        prompt_tokens(registry.AddCounter("vllm:prompt_tokens_total", "Tokens read.", {{"model_name", name}})),
        refused(registry.AddCounter("alcove_inference_refused_texts_total", "Texts refused because the queue was full.",
                                    {{"model", name}})),
        dropped(registry.AddCounter("alcove_inference_dropped_texts_total",
                                    "Texts cancelled or past their deadline before they ran.", {{"model", name}})) {}

  const std::string name;
  const BatchRunner* const runner;
  // These four are guarded by the executor's mu_.
  Batcher batcher;
  uint64_t last_turn = 0;
  int batches_running = 0;
  absl::flat_hash_map<Batcher::ItemId, Place> places;
  Counter& texts;
  Counter& tokens;
  Counter& batches;
  Histogram& batch_texts;
  Histogram& batch_tokens;
  Histogram& wait;
  Histogram& run;
  Histogram& latency;
  Counter& prompt_tokens;
  Counter& refused;
  Counter& dropped;
  std::atomic<int64_t> running{0};
  // Last, so that rendering never sees a half-made queue.
  std::vector<Registry::CallbackHandle> gauges;
};

Executor::Executor(int workers, Clock* clock, Registry* registry) : clock_(clock), registry_(registry) {
  for (int i = 0; i < std::max(workers, 1); ++i) threads_.emplace_back([this] { WorkerLoop(); });
}

Executor::~Executor() {
  std::vector<std::shared_ptr<Request>> waiting;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    ++changes_;
    for (Queue* queue : order_) {
      for (auto& [id, place] : queue->places) {
        queue->batcher.Cancel(id);
        waiting.push_back(place.request);
      }
      queue->places.clear();
    }
  }
  for (std::thread& thread : threads_) thread.join();
  for (const std::shared_ptr<Request>& request : waiting) {
    Fail(request, absl::UnavailableError("the process is stopping"));
  }
  // A gauge being read waits for mu_ inside its callback, so the handles go while mu_ is free.
  std::vector<Queue*> order;
  {
    absl::MutexLock lock(&mu_);
    order = order_;
  }
  for (Queue* queue : order) queue->gauges.clear();
}

void Executor::AddModel(const std::string& name, const BatchRunner* runner, const BatchLimits& limits) {
  auto queue = std::make_unique<Queue>(name, runner, limits, *registry_);
  Queue* const added = queue.get();
  {
    absl::MutexLock lock(&mu_);
    order_.push_back(added);
    queues_.emplace(name, std::move(queue));
  }
  const auto depth = [this, added] {
    absl::MutexLock lock(&mu_);
    return static_cast<double>(added->batcher.depth());
  };
  const auto running = [added] { return static_cast<double>(added->running.load(std::memory_order_relaxed)); };
  added->gauges.push_back(registry_->AddGaugeCallback("alcove_inference_queue_depth", "Texts waiting for a batch.",
                                                      {{"model", name}}, depth));
  added->gauges.push_back(
      registry_->AddGaugeCallback("vllm:num_requests_waiting", "Texts waiting.", {{"model_name", name}}, depth));
  added->gauges.push_back(
      registry_->AddGaugeCallback("vllm:num_requests_running", "Texts being run.", {{"model_name", name}}, running));
}

void Executor::Submit(const RequestContext& ctx, absl::string_view model, std::vector<std::vector<int32_t>> sequences,
                      Priority priority, EmbedDone done) {
  if (absl::Status status = ctx.Check(*clock_); !status.ok()) return done(std::move(status));
  std::vector<size_t> tokens;
  tokens.reserve(sequences.size());
  for (const std::vector<int32_t>& sequence : sequences) tokens.push_back(sequence.size());

  auto request = std::make_shared<Request>();
  request->sequences = std::move(sequences);
  request->done = std::move(done);
  request->remaining = request->sequences.size();
  request->submitted = clock_->Now();
  request->cancellation = ctx.cancellation();
  absl::Status refused;
  {
    absl::MutexLock lock(&mu_);
    const auto found = queues_.find(model);
    if (stopping_) {
      refused = absl::UnavailableError("the process is stopping");
    } else if (found == queues_.end()) {
      refused = NotFound("model", model);
    } else {
      Queue& queue = *found->second;
      const auto first = queue.batcher.Add(request->submitted, tokens, priority, ctx.deadline());
      if (!first.ok()) {
        queue.refused.Increment(tokens.size());
        refused =
            WithRetryAfter(Annotate(first.status(), absl::StrCat("model \"", model, "\"")), absl::Milliseconds(200));
      } else {
        request->queue = &queue;
        request->first_item = *first;
        request->result.dimension = queue.runner->dimension();
        request->result.values.resize(request->sequences.size() * request->result.dimension);
        for (size_t i = 0; i < tokens.size(); ++i) queue.places.emplace(*first + i, Place{request, i});
        ++changes_;
      }
    }
  }
  if (!refused.ok()) return Fail(request, std::move(refused));
  if (request->sequences.empty()) {
    Complete(request, 0);
    return;
  }
  if (request->cancellation.can_be_cancelled()) {
    std::weak_ptr<Request> weak = request;
    CancellationRegistration registration = request->cancellation.OnCancel([this, weak] {
      if (const std::shared_ptr<Request> held = weak.lock()) CancelRequest(held);
    });
    // An answered request keeps no registration, so that nothing reaches back into the executor later.
    absl::MutexLock lock(&mu_);
    if (!request->answered) request->registration = std::move(registration);
  }
}

void Executor::CancelRequest(const std::shared_ptr<Request>& request) {
  {
    absl::MutexLock lock(&mu_);
    Queue& queue = *request->queue;
    for (size_t i = 0; i < request->sequences.size(); ++i) {
      const Batcher::ItemId id = request->first_item + i;
      if (queue.batcher.Cancel(id)) {
        queue.places.erase(id);
        queue.dropped.Increment();
      }
    }
    retired_.push_back(request);
    ++changes_;
  }
  Fail(request, request->cancellation.status());
}

void Executor::Fail(const std::shared_ptr<Request>& request, absl::Status status) {
  if (!request->answered.exchange(true)) request->done(std::move(status));
}

bool Executor::Complete(const std::shared_ptr<Request>& request, size_t texts) {
  if (request->remaining.fetch_sub(texts, std::memory_order_acq_rel) != texts) return false;
  if (request->answered.exchange(true)) return false;
  request->done(std::move(request->result));
  return true;
}

Executor::Queue* Executor::NextQueue(absl::Time* due) {
  const absl::Time now = clock_->Now();
  Queue* next = nullptr;
  *due = absl::InfiniteFuture();
  for (Queue* queue : order_) {
    const absl::Time queue_due = std::max(queue->batcher.Due(queue->batches_running > 0), now);
    if (next == nullptr || queue_due < *due || (queue_due == *due && queue->last_turn < next->last_turn)) {
      next = queue;
      *due = queue_due;
    }
  }
  return next;
}

void Executor::WorkerLoop() {
  Workspace workspace;
  size_t reported_bytes = 0;
  mu_.Lock();
  while (true) {
    ++idle_;
    Queue* queue = nullptr;
    while (!stopping_) {
      if (!retired_.empty()) {
        std::vector<std::shared_ptr<Request>> retired;
        retired.swap(retired_);
        mu_.Unlock();
        retired.clear();
        mu_.Lock();
        continue;
      }
      absl::Time due;
      queue = NextQueue(&due);
      if (clock_->Now() >= due) break;
      const uint64_t seen = changes_;
      struct Wake {
        const uint64_t* changes;
        uint64_t seen;
      } wake{&changes_, seen};
      clock_->AwaitWithDeadline(&mu_,
                                absl::Condition(
                                    +[](Wake* w) { return *w->changes != w->seen; }, &wake),
                                due);
    }
    const size_t idle = idle_--;
    if (stopping_) break;
    queue->last_turn = ++turns_;
    const absl::Time now = clock_->Now();
    Batcher::Batch batch = queue->batcher.Take(now, idle, queue->batches_running > 0);
    ++queue->batches_running;
    std::vector<Place> places;
    std::vector<Place> expired;
    places.reserve(batch.items.size());
    for (const Batcher::Item& item : batch.items) {
      queue->wait.Observe(now - item.enqueued);
      places.push_back(std::move(queue->places.extract(item.id).mapped()));
    }
    for (const Batcher::Item& item : batch.expired) {
      expired.push_back(std::move(queue->places.extract(item.id).mapped()));
    }
    // Take() may leave a share for the other idle workers.
    if (queue->batcher.depth() > 0) ++changes_;
    mu_.Unlock();

    queue->dropped.Increment(expired.size());
    for (const Place& place : expired) {
      Fail(place.request, absl::DeadlineExceededError("the deadline passed while the text waited for a batch"));
    }
    expired.clear();
    if (!places.empty()) RunBatch(*queue, std::move(places), batch.tokens, now, workspace);
    workspace_bytes_.fetch_add(workspace.memory_bytes() - reported_bytes, std::memory_order_relaxed);
    reported_bytes = workspace.memory_bytes();
    mu_.Lock();
    --queue->batches_running;
  }
  mu_.Unlock();
}

void Executor::RunBatch(Queue& queue, std::vector<Place> places, size_t tokens, absl::Time now, Workspace& workspace) {
  const int64_t begun = clock_->MonotonicNanos();
  const size_t dimension = queue.runner->dimension();
  const auto count = static_cast<int64_t>(places.size());
  running_.fetch_add(count, std::memory_order_relaxed);
  queue.running.fetch_add(count, std::memory_order_relaxed);

  std::vector<absl::Span<const int32_t>> sequences;
  sequences.reserve(places.size());
  for (const Place& place : places) sequences.push_back(place.request->sequences[place.index]);
  std::vector<float> vectors(places.size() * dimension);
  queue.runner->Run(sequences, workspace, vectors.data());

  queue.run.Observe(absl::Nanoseconds(clock_->MonotonicNanos() - begun));
  queue.batches.Increment();
  queue.texts.Increment(places.size());
  queue.tokens.Increment(tokens);
  queue.prompt_tokens.Increment(tokens);
  queue.batch_texts.Observe(static_cast<double>(places.size()));
  queue.batch_tokens.Observe(static_cast<double>(tokens));
  texts_.fetch_add(count, std::memory_order_relaxed);
  batches_.fetch_add(1, std::memory_order_relaxed);
  running_.fetch_sub(count, std::memory_order_relaxed);
  queue.running.fetch_sub(count, std::memory_order_relaxed);

  const absl::Time finished = clock_->Now();
  for (size_t i = 0; i < places.size(); ++i) {
    Request& request = *places[i].request;
    std::memcpy(request.result.values.data() + places[i].index * dimension, vectors.data() + i * dimension,
                dimension * sizeof(float));
  }
  for (Place& place : places) {
    const absl::Time submitted = place.request->submitted;
    if (Complete(place.request, 1)) queue.latency.Observe(finished - submitted);
  }
}

ExecutorStats Executor::stats() const {
  ExecutorStats stats;
  stats.texts = texts_.load(std::memory_order_relaxed);
  stats.batches = batches_.load(std::memory_order_relaxed);
  stats.running = running_.load(std::memory_order_relaxed);
  absl::MutexLock lock(&mu_);
  for (const Queue* queue : order_) stats.queued += static_cast<int64_t>(queue->batcher.depth());
  return stats;
}

}  // namespace alcove::inference
