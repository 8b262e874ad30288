// Where a collection's vectors come from: the log of vector-search, seen as changes since a sequence. The face
// implements it over gRPC; tests have their own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "libs/common/request_context.h"

namespace alcove::fhe_proxy {

enum class Metric : uint8_t { kCosine = 1, kDot = 2, kL2 = 3 };

// What a collection is at this moment.
struct CollectionInfo {
  std::string identity;  // differs for a collection that was dropped and made again, or cut into other shards
  uint32_t dimension = 0;
  Metric metric = Metric::kCosine;
  int64_t epoch = 1;           // of the placement the shards belong to
  std::vector<int64_t> heads;  // last committed sequence of each shard

  // What a reader who must see the heads passes to vector-search as min_sequence: "0:12,1:9", "e2;0:12" after a
  // resharding.
  std::string SequenceToken() const;

  friend bool operator==(const CollectionInfo&, const CollectionInfo&) = default;
};

// A point as of a sequence. Later changes of the same id replace earlier ones.
struct PointChange {
  std::string id;
  bool removed = false;
  bool payload_only = false;  // the vector stayed as it was
  std::vector<float> vector;  // empty when the point has none
};

struct ChangePage {
  std::vector<PointChange> changes;
  int64_t last_sequence = 0;  // ask for the next page after this one
  int64_t tombstone_floor = 0;
  bool at_end = false;
};

struct ChangeCursor {
  int64_t after_sequence = 0;
  std::optional<int64_t> tombstone_floor;  // of the first page
};

// Thread safe; blocking.
class CollectionSource {
 public:
  virtual ~CollectionSource() = default;
  // NOT_FOUND names the collection or the vector field. The tenant is the context's.
  virtual absl::StatusOr<CollectionInfo> Describe(const RequestContext& ctx, const std::string& collection,
                                                  const std::string& vector_name) = 0;
  // OUT_OF_RANGE: changes this reader needs are gone; it must begin again at 0 with nothing. ABORTED: the collection is
  // no longer `info`'s.
  virtual absl::StatusOr<ChangePage> Changes(const RequestContext& ctx, const std::string& collection,
                                             const std::string& vector_name, const CollectionInfo& info, uint32_t shard,
                                             const ChangeCursor& cursor) = 0;
  // Documents of points as people read them: the text field, else the payload as JSON; in the order of `ids`, empty for
  // points that no longer exist or hold nothing. At least as new as the heads of `at`. At most 1,000 ids.
  virtual absl::StatusOr<std::vector<std::string>> Documents(const RequestContext& ctx, const std::string& collection,
                                                             const CollectionInfo& at,
                                                             absl::Span<const std::string> ids) = 0;
  // Vectors of points as they were stored, in the order of `ids`; empty for points without one. At least as new as the
  // heads of `at`. At most 1,000 ids.
  virtual absl::StatusOr<std::vector<std::vector<float>>> Vectors(const RequestContext& ctx,
                                                                  const std::string& collection,
                                                                  const std::string& vector_name,
                                                                  const CollectionInfo& at,
                                                                  absl::Span<const std::string> ids) = 0;
};

}  // namespace alcove::fhe_proxy
