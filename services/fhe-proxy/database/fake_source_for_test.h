// A collection source in memory, for tests of what follows it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>

#include "libs/common/status.h"
#include "services/fhe-proxy/database/collection_source.h"

namespace alcove::fhe_proxy {

class FakeSource final : public CollectionSource {
 public:
  struct Collection {
    CollectionInfo info;
    std::vector<std::vector<PointChange>> log;  // by shard; sequence = place + 1
    std::vector<int64_t> floors;
    std::map<std::string, std::string> documents;
  };

  Collection& Make(const std::string& tenant, const std::string& name, uint32_t dimension, uint32_t shards = 1,
                   Metric metric = Metric::kCosine) {
    absl::MutexLock lock(&mu_);
    Collection& made = collections_[{tenant, name}];
    made = {};
    made.info.identity = absl::StrCat(name, "#", ++made_);
    made.info.dimension = dimension;
    made.info.metric = metric;
    made.info.heads.resize(shards);
    made.floors.resize(shards);
    made.log.resize(shards);
    return made;
  }
  void Drop(const std::string& tenant, const std::string& name) {
    absl::MutexLock lock(&mu_);
    collections_.erase({tenant, name});
  }
  void Append(Collection& collection, uint32_t shard, PointChange change) {
    absl::MutexLock lock(&mu_);
    collection.log[shard].push_back(std::move(change));
    collection.info.heads[shard] = static_cast<int64_t>(collection.log[shard].size());
  }
  void Put(Collection& collection, const std::string& id, std::vector<float> vector, uint32_t shard = 0) {
    Append(collection, shard, {id, false, false, std::move(vector)});
  }
  void Remove(Collection& collection, const std::string& id, uint32_t shard = 0) {
    Append(collection, shard, {id, true, false, {}});
  }

  absl::StatusOr<CollectionInfo> Describe(const RequestContext& ctx, const std::string& collection,
                                          const std::string&) override {
    absl::MutexLock lock(&mu_);
    const auto it = collections_.find({ctx.tenant(), collection});
    if (it == collections_.end()) return NotFound("collection", collection);
    return it->second.info;
  }
  absl::StatusOr<ChangePage> Changes(const RequestContext& ctx, const std::string& collection, const std::string&,
                                     const CollectionInfo& info, uint32_t shard, const ChangeCursor& cursor) override {
    absl::MutexLock lock(&mu_);
    pages_ += 1;
    if (!failure_.ok()) return failure_;
    const auto it = collections_.find({ctx.tenant(), collection});
    if (it == collections_.end()) return NotFound("collection", collection);
    Collection& from = it->second;
    if (from.info.identity != info.identity) return absl::AbortedError("another collection");
    if (cursor.after_sequence != 0 && cursor.after_sequence < from.floors[shard] &&
        cursor.tombstone_floor != from.floors[shard]) {
      return absl::OutOfRangeError("compacted");
    }
    ChangePage page;
    size_t at = static_cast<size_t>(cursor.after_sequence);
    for (int i = 0; i < page_size && at < from.log[shard].size(); ++i, ++at)
      page.changes.push_back(from.log[shard][at]);
    page.last_sequence = static_cast<int64_t>(at);
    page.tombstone_floor = from.floors[shard];
    page.at_end = at == from.log[shard].size();
    return page;
  }
  absl::StatusOr<std::vector<std::string>> Documents(const RequestContext& ctx, const std::string& collection,
                                                     const CollectionInfo&,
                                                     absl::Span<const std::string> ids) override {
    absl::MutexLock lock(&mu_);
    documents_asked_ += ids.size();
    std::vector<std::string> out;
    for (const std::string& id : ids) out.push_back(collections_[{ctx.tenant(), collection}].documents[id]);
    return out;
  }

  absl::StatusOr<std::vector<std::vector<float>>> Vectors(const RequestContext& ctx, const std::string& collection,
                                                          const std::string&, const CollectionInfo&,
                                                          absl::Span<const std::string> ids) override {
    absl::MutexLock lock(&mu_);
    std::vector<std::vector<float>> out;
    for (const std::string& id : ids) {
      std::vector<float>& vector = out.emplace_back();
      for (const auto& shard : collections_[{ctx.tenant(), collection}].log) {
        for (const PointChange& change : shard) {
          if (change.id == id && !change.payload_only) vector = change.vector;
        }
      }
    }
    return out;
  }

  void FailWith(absl::Status status) {
    absl::MutexLock lock(&mu_);
    failure_ = std::move(status);
  }
  int pages() const {
    absl::MutexLock lock(&mu_);
    return pages_;
  }
  size_t documents_asked() const {
    absl::MutexLock lock(&mu_);
    return documents_asked_;
  }
  int page_size = 100;

 private:
  mutable absl::Mutex mu_;
  std::map<std::pair<std::string, std::string>, Collection> collections_;
  absl::Status failure_;
  int made_ = 0;
  int pages_ = 0;
  size_t documents_asked_ = 0;
};

}  // namespace alcove::fhe_proxy
