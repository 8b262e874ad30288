#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "absl/time/time.h"
#include "alcove/vector/v1/types.pb.h"
#include "libs/common/request_context.h"
#include "services/gateway/flows/backends.h"

namespace alcove::gateway {

// The cache process as flows use it: it never fails. When the process is absent or slow, lookups are misses and stores
// are dropped.
class AnswerCache {
 public:
  // A lookup without single flight waits this long at most, and so does everything else beyond its own wait.
  static constexpr absl::Duration kPatience = absl::Milliseconds(250);

  AnswerCache(Backends& backends, asio::any_io_executor executor)
      : backends_(backends), executor_(std::move(executor)) {}

  struct Lookup {
    std::optional<std::string> value;
    std::string lease;  // not empty: this caller computes for all that wait; Put or Release must follow
  };
  // `wait` > 0 asks for single flight: one caller leads, the others wait that long for its answer.
  asio::awaitable<Lookup> Get(const RequestContext& ctx, std::string name_space, std::string key, absl::Duration wait);

  // Both return at once; the call goes on by itself, with a deadline of its own and outliving the request.
  void Put(const RequestContext& ctx, std::string name_space, std::string key, std::string value, absl::Duration ttl,
           std::vector<std::string> tags, std::string lease);
  void Release(const RequestContext& ctx, std::string name_space, std::string key, std::string lease);

  // Forgets the answers that carry a tag; awaited, so that the writer's next search sees its write.
  asio::awaitable<void> Invalidate(const RequestContext& ctx, std::string tag);

  // What calls that go on by themselves hold while they do, if it still exists when they begin.
  void KeepAlive(std::weak_ptr<void> owner) { owner_ = std::move(owner); }

  bool available() const { return backends_.Has("cache"); }

 private:
  void Spawn(RequestContext ctx, BackendMethod method, std::string request);

  Backends& backends_;
  asio::any_io_executor executor_;
  std::weak_ptr<void> owner_;
};

// The tag of everything computed from one collection.
std::string CollectionTag(const std::string& tenant, const std::string& collection);
// The tags of an answer found under `name`, the collection's own or an alias: a write to the collection makes it
// worthless, and so does moving the alias.
std::vector<std::string> CollectionTags(const std::string& tenant, const std::string& name,
                                        const alcove::vector::v1::Collection& collection);

}  // namespace alcove::gateway
