// Aliases and resharding.
#include <utility>

#include "services/vector-search/convert.h"
#include "services/vector-search/handler.h"
#include "services/vector-search/service.h"

namespace alcove::vector_search {
namespace {

struct Nothing {};

void AliasToProto(const store::Alias& alias, pb::Alias* out) {
  out->set_alias(alias.name);
  out->set_collection(alias.collection);
}

void ReshardingToProto(const ReshardingView& view, pb::Resharding* out) {
  out->set_active(view.active);
  out->set_shard_count(static_cast<uint32_t>(view.entry->placement.shard_count));
  out->set_epoch(view.entry->placement.epoch);
  if (!view.active) return;
  out->set_next_shard_count(static_cast<uint32_t>(view.entry->next_placement->shard_count));
  out->set_records(view.progress.head);
  out->set_copied(view.progress.copied);
  out->set_applied(view.applied);
}

}  // namespace

void VectorFace::SetAlias(rpc::UnaryCall* call, const pb::SetAliasRequest* request, pb::SetAliasResponse* response) {
  return Answer<store::Alias>(
      set_alias_, call, writes_,
      [=, this](const RequestContext& ctx, Done<store::Alias> done) {
        done(coordinator_.SetAlias(ctx, request->alias(), request->collection()));
      },
      [=](const store::Alias& alias) { AliasToProto(alias, response->mutable_alias()); });
}

void VectorFace::ListAliases(rpc::UnaryCall* call, const pb::ListAliasesRequest* request,
                             pb::ListAliasesResponse* response) {
  return Answer<store::AliasPage>(
      list_aliases_, call, writes_,
      [=, this](const RequestContext& ctx, Done<store::AliasPage> done) {
        done(coordinator_.ListAliases(ctx, request->page_size(), request->page_token()));
      },
      [=](const store::AliasPage& page) {
        for (const store::Alias& alias : page.aliases) AliasToProto(alias, response->add_aliases());
        response->set_next_page_token(page.next_page_token);
      });
}

void VectorFace::DeleteAlias(rpc::UnaryCall* call, const pb::DeleteAliasRequest* request,
                             pb::DeleteAliasResponse* response) {
  return Answer<Nothing>(
      delete_alias_, call, writes_,
      [=, this](const RequestContext& ctx, Done<Nothing> done) {
        absl::Status status = coordinator_.DeleteAlias(ctx, request->alias());
        if (!status.ok()) return done(std::move(status));
        done(Nothing());
      },
      [](Nothing) {});
}

void VectorFace::StartResharding(rpc::UnaryCall* call, const pb::StartReshardingRequest* request,
                                 pb::StartReshardingResponse* response) {
  return Answer<ReshardingView>(
      start_resharding_, call, writes_,
      [=, this](const RequestContext& ctx, Done<ReshardingView> done) {
        done(coordinator_.StartResharding(ctx, request->name(), request->shard_count()));
      },
      [=](const ReshardingView& view) { ReshardingToProto(view, response->mutable_resharding()); });
}

void VectorFace::GetResharding(rpc::UnaryCall* call, const pb::GetReshardingRequest* request,
                               pb::GetReshardingResponse* response) {
  return Answer<ReshardingView>(
      get_resharding_, call, writes_,
      [=, this](const RequestContext& ctx, Done<ReshardingView> done) {
        done(coordinator_.GetResharding(ctx, request->name()));
      },
      [=](const ReshardingView& view) { ReshardingToProto(view, response->mutable_resharding()); });
}

void VectorFace::CancelResharding(rpc::UnaryCall* call, const pb::CancelReshardingRequest* request,
                                  pb::CancelReshardingResponse* response) {
  return Answer<Nothing>(
      cancel_resharding_, call, writes_,
      [=, this](const RequestContext& ctx, Done<Nothing> done) {
        absl::Status status = coordinator_.CancelResharding(ctx, request->name());
        if (!status.ok()) return done(std::move(status));
        done(Nothing());
      },
      [](Nothing) {});
}

}  // namespace alcove::vector_search
