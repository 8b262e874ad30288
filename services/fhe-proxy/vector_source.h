// Collections as vector-search's processes tell of them, over gRPC.
#pragma once

#include <memory>

#include <grpcpp/channel.h>

#include "alcove/vector/v1/changes.grpc.pb.h"
#include "alcove/vector/v1/vector.grpc.pb.h"
#include "services/fhe-proxy/database/collection_source.h"

namespace alcove::fhe_proxy {

class VectorSource final : public CollectionSource {
 public:
  // Null: nothing is known of any collection, and every call answers FAILED_PRECONDITION saying so.
  explicit VectorSource(std::shared_ptr<grpc::Channel> channel);

  absl::StatusOr<CollectionInfo> Describe(const RequestContext& ctx, const std::string& collection,
                                          const std::string& vector_name) override;
  absl::StatusOr<ChangePage> Changes(const RequestContext& ctx, const std::string& collection,
                                     const std::string& vector_name, const CollectionInfo& info, uint32_t shard,
                                     const ChangeCursor& cursor) override;
  absl::StatusOr<std::vector<std::string>> Documents(const RequestContext& ctx, const std::string& collection,
                                                     const CollectionInfo& at,
                                                     absl::Span<const std::string> ids) override;
  absl::StatusOr<std::vector<std::vector<float>>> Vectors(const RequestContext& ctx, const std::string& collection,
                                                          const std::string& vector_name, const CollectionInfo& at,
                                                          absl::Span<const std::string> ids) override;

 private:
  absl::Status Configured() const;

  std::unique_ptr<vector::v1::ChangeService::Stub> changes_;
  std::unique_ptr<vector::v1::VectorService::Stub> vectors_;
};

}  // namespace alcove::fhe_proxy
