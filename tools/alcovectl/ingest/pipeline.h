// Sends documents in batches over several connections, keeps account of what is durable, and can go on where an earlier
// run stopped.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "tools/alcovectl/ingest/source.h"

namespace alcove::ctl {

struct PipelineOptions {
  size_t batch_documents = 64;
  size_t batch_bytes = 4 << 20;
  size_t in_flight = 4;   // batches being sent at once
  int64_t skip = 0;       // documents an earlier run has stored already
  int64_t limit = -1;     // stop after so many documents; -1 reads all
  bool skip_bad = false;  // go on behind documents that cannot be read or that the server refuses
  int retries = 6;        // of a batch, while the error is one that may pass
  absl::Duration retry_base = absl::Milliseconds(200);
};

struct PipelineProgress {
  int64_t read = 0;     // documents taken from the source, skipped ones included
  int64_t stored = 0;   // documents acknowledged in this run
  int64_t durable = 0;  // documents from the start of the source without a gap; what a later run may skip
  int64_t rejected = 0;
  double fraction = 0;  // of the source
};

// Stores a batch. Called from several threads.
using BatchSender = std::function<absl::Status(const std::vector<SourceDocument>&)>;
// Told about progress at most every 100 ms, and about each rejected document. Called from the thread of RunPipeline.
struct PipelineObserver {
  std::function<void(const PipelineProgress&)> progress;
  std::function<void(const absl::Status&)> rejected;
};

// Returns when everything is acknowledged or at the first error that is not passed over; batches in flight are finished
// then, so `progress` is exact. UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED and DEADLINE_EXCEEDED are retried with
// exponential backoff.
absl::Status RunPipeline(DocumentSource& source, const PipelineOptions& options, const BatchSender& send,
                         const PipelineObserver& observer, PipelineProgress* progress);

}  // namespace alcove::ctl
