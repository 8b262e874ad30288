// A private search as a client does it: parameters from the server, encryption here, ciphertexts there, decryption
// here.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "alcove/private_search/v1/private_search.grpc.pb.h"
#include "tools/alcovectl/gateway_client.h"
#include "tools/alcovectl/private/decoys.h"
#include "tools/alcovectl/private/identity.h"

namespace alcove::ctl {

// One step of the conversation, for people who want to see what it costs.
struct PrivateStep {
  std::string name;
  absl::Duration time;
  size_t bytes_sent = 0;
  size_t bytes_received = 0;
};

struct PrivateHit {
  uint64_t row = 0;
  std::string id;
  double score = 0;
  std::string document;  // empty until fetched
  bool cut = false;
};

class PrivateSession {
 public:
  // All outlive the session. `progress` is told what is being done, for a terminal; may be null.
  PrivateSession(const GatewayClient& client, const Identity& identity,
                 std::function<void(const std::string&)> progress)
      : client_(client), identity_(identity), progress_(std::move(progress)) {}

  struct SearchOptions {
    size_t limit = 10;
    // Fetch the vectors of twice as many rows by private lookups and score them again here on finer numbers.
    bool rescore = false;
    // Have only some clusters of a large collection scored. Tells the server that the query is near one of a group of
    // clusters, see decoys.h.
    std::optional<DecoyOptions> clusters;
  };
  // Searches with an unencrypted vector that stays here; the best rows, nearest first. A collection that changes
  // between two calls is looked at again, a few times.
  absl::StatusOr<std::vector<PrivateHit>> Search(const std::string& collection, const std::string& vector_name,
                                                 const std::vector<float>& vector, const SearchOptions& options);
  // Fetches the documents of hits of the last Search by private lookups.
  absl::Status FetchDocuments(std::vector<PrivateHit>& hits);
  // Documents by id. NOT_FOUND names the first id that the collection does not have.
  absl::StatusOr<std::vector<PrivateHit>> Lookup(const std::string& collection, const std::string& vector_name,
                                                 const std::vector<std::string>& ids);
  // Class scores of a vector, best first.
  struct ClassScore {
    std::string label;
    double score = 0;
  };
  absl::StatusOr<std::vector<ClassScore>> Score(const std::string& classifier, const std::vector<float>& vector);

  const std::vector<PrivateStep>& steps() const { return steps_; }
  // What the last search named; empty when every document was scored: nobody asked for clusters, or there are too few.
  const std::vector<uint32_t>& named_blocks() const { return named_blocks_; }
  const private_search::v1::GetCollectionParametersResponse& parameters() const { return parameters_; }

 private:
  struct Wanted {
    bool documents = false;
    bool vectors = false;
    bool clusters = false;
  };
  absl::Status FetchParameters(const std::string& collection, const std::string& vector_name, const Wanted& wanted);
  absl::Status Rescore(const std::vector<float>& vector, std::vector<PrivateHit>& hits);
  absl::StatusOr<std::vector<PrivateHit>> SearchOnce(const std::vector<float>& vector, size_t limit,
                                                     const std::optional<DecoyOptions>& clusters);
  // Private lookups of the hits' rows, under the parameters fetched last, which describe `kind`.
  absl::Status FetchRecords(const private_search::v1::RecordLayout& kind, bool vectors, std::vector<PrivateHit>& hits);
  void Say(const std::string& what) const {
    if (progress_) progress_(what);
  }
  // Integers of a vector under a quantisation, with a scale that keeps every score within t / 2.
  absl::StatusOr<std::vector<int32_t>> Quantise(const private_search::v1::Quantisation& numbers, uint64_t t,
                                                const std::vector<float>& vector, double* scale) const;

  const GatewayClient& client_;
  const Identity& identity_;
  const std::function<void(const std::string&)> progress_;
  std::string vector_name_;
  private_search::v1::GetCollectionParametersResponse parameters_;
  std::vector<PrivateStep> steps_;
  std::vector<uint32_t> named_blocks_;
};

}  // namespace alcove::ctl
