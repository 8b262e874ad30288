// Sends vectors over one stream that acknowledges them, and takes a broken stream up again where it stood.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "alcove/vector/v1/vector.grpc.pb.h"
#include "tools/alcovectl/ingest/vector_source.h"

namespace alcove::ctl {

struct UploadOptions {
  std::string collection;
  size_t batch = 500;  // vectors in one message
  int64_t skip = 0;    // vectors an earlier run has stored already
  int64_t limit = -1;  // stop after so many vectors; -1 reads all
  int retries = 6;     // of a broken stream without an acknowledgement in between
  absl::Duration retry_base = absl::Milliseconds(200);
};

struct UploadProgress {
  int64_t stored = 0;   // acknowledged in this run
  int64_t durable = 0;  // from the start of the source
  double fraction = 0;
};

using UploadObserver = std::function<void(const UploadProgress&)>;
// Prepares a call: key, deadline.
using PrepareCall = std::function<void(grpc::ClientContext&)>;

// Returns when everything is acknowledged or at the first error that does not pass; `progress` is exact then.
absl::Status UploadVectors(VectorSource& source, alcove::vector::v1::VectorService::Stub& stub,
                           const UploadOptions& options, const PrepareCall& prepare, const UploadObserver& observer,
                           UploadProgress* progress);

}  // namespace alcove::ctl
