#include "services/gateway/rest/method_table.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "alcove/cache/v1/cache.pb.h"
#include "alcove/common/v1/policy.pb.h"
#include "alcove/gateway/v1/gateway.pb.h"
#include "alcove/graph/v1/graph.pb.h"
#include "alcove/inference/v1/inference.pb.h"
#include "alcove/private_search/v1/private_search.pb.h"
#include "alcove/recommend/v1/recommend.pb.h"
#include "alcove/vector/v1/backup.pb.h"
#include "alcove/vector/v1/changes.pb.h"
#include "alcove/vector/v1/shard.pb.h"
#include "alcove/vector/v1/vector.pb.h"
#include "libs/common/status.h"
#include "services/gateway/rest/schema.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::MessageFactory;
using google::protobuf::MethodDescriptor;

// Touching one message of a file makes the linker keep it, and with it the file's entry in the generated pool. Build()
// fails, naming the method, when a file is missing here.
void KeepGeneratedFiles() {
  alcove::cache::v1::GetRequest::descriptor();
  v1::SearchRequest::descriptor();
  alcove::graph::v1::CreateGraphRequest::descriptor();
  alcove::inference::v1::EmbedRequest::descriptor();
  alcove::private_search::v1::GetParametersRequest::descriptor();
  alcove::recommend::v1::RecommendRequest::descriptor();
  alcove::vector::v1::CreateBackupRequest::descriptor();
  alcove::vector::v1::ReadChangesRequest::descriptor();
  alcove::vector::v1::SearchShardRequest::descriptor();
  alcove::vector::v1::SearchPointsRequest::descriptor();
}

// Which process serves a package.
struct PackageOwner {
  std::string_view package;
  std::string_view upstream;
};
constexpr PackageOwner kOwners[] = {
    {"alcove.cache.v1", "cache"},
    {"alcove.gateway.v1", ""},
    {"alcove.graph.v1", "vector-search"},
    {"alcove.inference.v1", "inference"},
    {"alcove.private_search.v1", "fhe-proxy"},
    {"alcove.recommend.v1", "vector-search"},
    {"alcove.vector.v1", "vector-search"},
};

AccessScope ScopeOf(alcove::common::v1::Scope scope) {
  switch (scope) {
    case alcove::common::v1::SCOPE_PUBLIC: return AccessScope::kPublic;
    case alcove::common::v1::SCOPE_READ: return AccessScope::kRead;
    case alcove::common::v1::SCOPE_WRITE: return AccessScope::kWrite;
    default: return AccessScope::kAdmin;
  }
}

absl::StatusOr<MethodInfo> Describe(const MethodDescriptor& described) {
  const MethodDescriptor* method = DescriptorPool::generated_pool()->FindMethodByName(described.full_name());
  if (method == nullptr) return absl::InternalError("no generated code is linked");
  MethodInfo info;
  info.method = method;
  info.path = absl::StrCat("/", method->service()->full_name(), "/", method->name());
  const auto* owner = std::find_if(std::begin(kOwners), std::end(kOwners), [&](const PackageOwner& candidate) {
    return candidate.package == method->file()->package();
  });
  if (owner == std::end(kOwners)) return absl::InternalError("no process serves its package");
  info.upstream = owner->upstream;
  const auto& policy = method->options().GetExtension(alcove::common::v1::policy);
  info.scope = ScopeOf(policy.scope());
  info.planned = policy.availability() == alcove::common::v1::AVAILABILITY_PLANNED;
  info.internal = policy.internal();
  info.idempotent = policy.idempotent();
  ALCOVE_ASSIGN_OR_RETURN(info.bindings, CompileBindings(*method));
  info.request = MessageFactory::generated_factory()->GetPrototype(method->input_type());
  info.reply = MessageFactory::generated_factory()->GetPrototype(method->output_type());
  return info;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MethodTable>> MethodTable::Build() {
  KeepGeneratedFiles();
  std::unique_ptr<MethodTable> table(new MethodTable);
  for (const google::protobuf::FileDescriptorProto& proto : ApiFiles().file()) {
    if (!absl::StartsWith(proto.package(), "alcove.")) continue;
    const google::protobuf::FileDescriptor* file = ApiPool().FindFileByName(proto.name());
    for (int s = 0; s < file->service_count(); ++s) {
      bool is_public = false;
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const MethodDescriptor& described = *file->service(s)->method(m);
        absl::StatusOr<MethodInfo> info = Describe(described);
        if (!info.ok()) {
          return absl::InternalError(absl::StrCat(described.full_name(), ": ", info.status().message()));
        }
        is_public |= !info->internal;
        table->by_path_.emplace(info->path, table->methods_.size());
        table->methods_.push_back(*std::move(info));
      }
      if (is_public) table->public_services_.push_back(file->service(s)->full_name());
    }
  }
  std::sort(table->public_services_.begin(), table->public_services_.end());
  return table;
}

const MethodInfo* MethodTable::Find(std::string_view path) const {
  const auto it = by_path_.find(ToAbsl(path));
  return it == by_path_.end() ? nullptr : &methods_[it->second];
}

}  // namespace alcove::gateway
