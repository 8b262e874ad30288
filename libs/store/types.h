#pragma once

// Small value types the repositories of the store share.

#include <compare>
#include <cstdint>
#include <string>

namespace alcove::store {

// Position in one shard's log. The first record of a shard has sequence 1; 0 means "before everything".
// Each record takes exactly one sequence number, and commit order equals sequence order.
using Sequence = int64_t;

// Surrogate key of a collection: positive, never used again after the collection is dropped.
using CollectionId = int64_t;

// One shard log: a shard of a collection under one placement epoch. Another epoch means another set of logs, so that
// resharding fills the new shards' logs while the old ones still serve.
struct ShardAddress {
  CollectionId collection_id = 0;
  int64_t epoch = 0;
  int32_t shard = 0;

  friend auto operator<=>(const ShardAddress&, const ShardAddress&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const ShardAddress& a) {
    return H::combine(std::move(h), a.collection_id, a.epoch, a.shard);
  }
};

// "collection 7 epoch 1 shard 0", for messages and logs.
std::string ToString(const ShardAddress& address);

// One page of a listing. An empty token asks for the first page; the token of a reply asks for the next one, and an
// empty token in a reply says there is no more. Tokens are opaque; a token of another listing is INVALID_ARGUMENT.
struct PageRequest {
  int page_size = 100;  // 1..1000; 0 means 100
  std::string page_token;
};

}  // namespace alcove::store
