// One search that takes more than one fan-out: several rankings fused, results spread or grouped, judged by examples,
// words marked. It asks for ids and scores only, decides which points the reply shows, and then fetches those.
//
// A point that is removed between the two is left out of the reply, which may then show fewer than asked for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "services/vector-search/coordinator/coordinator.h"

namespace alcove::vector_search {

class QueryRun : public std::enable_shared_from_this<QueryRun> {
 public:
  // Whether a call, prepared, needs more than Coordinator::SearchOne.
  static bool Needed(const SearchCall& call);
  // `done` follows ShardClient's rule.
  static void Start(Coordinator* coordinator, const RequestContext& ctx, CatalogEntryPtr entry,
                    std::vector<ShardTarget> targets, SearchCall call, Done<SearchReply> done);

 private:
  // A ranking of candidates, with the payload of each if it was asked for.
  struct Candidates {
    Ranking ranking;
    absl::flat_hash_map<std::string, std::string> payloads;
    bool full = false;  // there may be more
  };
  struct Group {
    Literal value;
    Ranking members;
  };
  template <typename T>
  using Then = absl::AnyInvocable<void(T)>;

  QueryRun(Coordinator* coordinator, const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets,
           SearchCall call, Done<SearchReply> done);

  // Each step calls the next one, or ends the run with an error.
  void Flat();
  void Judge(Ranking ranking);
  void Spread(Ranking ranking);
  void Show(const Ranking& ranking);
  void Groups();
  void GroupRound();
  void AddToGroups(const Candidates& candidates);
  void FillGroups();
  void ShowGroups();

  // Up to `count` candidates that match `extra` too; those excluded are among them.
  void Find(uint32_t count, const Filter& extra, const PayloadSelector& payload, Then<Candidates> then);
  // Points by id.
  void Fetch(std::vector<std::string> ids, bool with_vectors, PayloadSelector payload,
             Then<std::vector<StoredPoint>> then);
  // The shown points by id, filled in.
  void Fill(std::vector<std::string> ids, Then<absl::flat_hash_map<std::string, FoundPoint>> then);
  FoundPoint ToFound(StoredPoint point) const;
  void AddHighlights(absl::string_view payload, FoundPoint& point) const;
  void TakeReport(SearchReply& reply);
  bool Excluded(const std::string& id) const;
  void Fail(absl::Status status);
  SearchReply Reply();

  Coordinator* const coordinator_;
  const RequestContext ctx_;
  const CatalogEntryPtr entry_;
  const std::vector<ShardTarget> targets_;
  SearchCall call_;
  Done<SearchReply> done_;
  SearchReply report_;  // how the shards took part so far
  bool reported_ = false;
  std::vector<Group> groups_;
  int round_ = 0;
};

}  // namespace alcove::vector_search
