#include "services/vector-search/coordinator/query_run.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "libs/common/status.h"
#include "services/vector-search/collection/field_values.h"
#include "services/vector-search/coordinator/validate.h"
#include "services/vector-search/query/similarity.h"

namespace alcove::vector_search {
namespace {

constexpr uint32_t kLeastLegCandidates = 100;
constexpr uint32_t kLeastSpreadCandidates = 50;
constexpr uint32_t kSpreadFactor = 4;
constexpr uint32_t kMostGroupCandidates = 5'000;
constexpr int kMostGroupRounds = 8;

Filter Both(const Filter& a, const Filter& b) {
  if (b.empty()) return a;
  if (a.empty()) return b;
  Filter out = a;
  out.must.insert(out.must.end(), b.must.begin(), b.must.end());
  out.must_not.insert(out.must_not.end(), b.must_not.begin(), b.must_not.end());
  if (out.should.empty()) {
    out.should = b.should;
  } else if (!b.should.empty()) {
    Filter either;
    either.should = b.should;
    out.must.push_back(std::move(either));
  }
  return out;
}

const std::vector<float>* VectorOf(const StoredPoint& point, absl::string_view name) {
  for (const NamedVector& vector : point.vectors) {
    if (vector.name == name) return &vector.values;
  }
  return nullptr;
}

std::vector<std::string> IdsOf(const Ranking& ranking) {
  std::vector<std::string> ids;
  ids.reserve(ranking.size());
  for (const Ranked& r : ranking) ids.push_back(r.id);
  return ids;
}

std::string KeyOf(const Literal& literal) {
  if (const auto* text = std::get_if<std::string>(&literal)) return *text;
  if (const auto* number = std::get_if<double>(&literal)) return absl::StrCat(static_cast<int64_t>(*number));
  return std::get<bool>(literal) ? "true" : "false";
}

// The values of a payload field as literals, each once.
std::vector<Literal> ValuesOf(absl::string_view payload, absl::string_view path, FieldType type) {
  std::vector<Literal> out;
  std::set<std::string> seen;
  ForEachValue(payload, path, [&](ValueView value) {
    Literal literal;
    if (type == FieldType::kKeyword && value.kind() == ValueKind::kString) {
      literal = std::string(value.string());
    } else if (type == FieldType::kInteger && value.kind() == ValueKind::kInteger) {
      literal = static_cast<double>(value.integer());
    } else if (type == FieldType::kBool && value.is_bool()) {
      literal = value.boolean();
    } else {
      return;
    }
    if (seen.insert(KeyOf(literal)).second) out.push_back(std::move(literal));
  });
  return out;
}

}  // namespace

bool QueryRun::Needed(const SearchCall& call) {
  return !call.prefetch.empty() || call.diversity || call.group || call.highlight || call.judge ||
         !call.exclude_ids.empty();
}

QueryRun::QueryRun(Coordinator* coordinator, const RequestContext& ctx, CatalogEntryPtr entry,
                   std::vector<ShardTarget> targets, SearchCall call, Done<SearchReply> done)
    : coordinator_(coordinator),
      ctx_(ctx),
      entry_(std::move(entry)),
      targets_(std::move(targets)),
      call_(std::move(call)),
      done_(std::move(done)) {}

void QueryRun::Start(Coordinator* coordinator, const RequestContext& ctx, CatalogEntryPtr entry,
                     std::vector<ShardTarget> targets, SearchCall call, Done<SearchReply> done) {
  // A point is not like itself, whichever of the rankings finds it.
  if (!call.id.empty()) call.exclude_ids.push_back(call.id);
  for (const PrefetchCall& leg : call.prefetch) {
    if (!leg.id.empty()) call.exclude_ids.push_back(leg.id);
  }
  const bool grouped = call.group.has_value();
  const std::shared_ptr<QueryRun> run(
      new QueryRun(coordinator, ctx, std::move(entry), std::move(targets), std::move(call), std::move(done)));
  grouped ? run->Groups() : run->Flat();
}

bool QueryRun::Excluded(const std::string& id) const {
  return std::find(call_.exclude_ids.begin(), call_.exclude_ids.end(), id) != call_.exclude_ids.end();
}

void QueryRun::Fail(absl::Status status) { done_(std::move(status)); }

SearchReply QueryRun::Reply() {
  SearchReply reply;
  reply.asked = report_.asked;
  reply.answered = report_.answered;
  reply.failures = report_.failures;
  return reply;
}

// Of several fan-outs the worst counts.
void QueryRun::TakeReport(SearchReply& reply) {
  if (!reported_ || reply.answered < report_.answered) {
    report_.asked = reply.asked;
    report_.answered = reply.answered;
    report_.failures = std::move(reply.failures);
  }
  reported_ = true;
}

void QueryRun::Find(uint32_t count, const Filter& extra, const PayloadSelector& payload, Then<Candidates> then) {
  const bool fused = !call_.prefetch.empty();
  count = std::min(count, kMaxPrefetchLimit);  // as many as a shard is asked for at once
  std::vector<SearchCall> searches;
  const auto add = [&](const SearchQuery& query, const std::string& id, uint32_t limit, const Filter& filter) {
    SearchCall& search = searches.emplace_back();
    search.query = query;
    search.query.limit = limit;
    search.query.filter = Both(filter, extra);
    search.query.payload = payload;
    search.query.with_vectors = false;
    search.id = id;
    search.allow_partial = call_.allow_partial;
  };
  if (fused) {
    for (const PrefetchCall& leg : call_.prefetch) {
      const uint32_t limit = leg.query.limit != 0 ? leg.query.limit : std::max(count, kLeastLegCandidates);
      add(leg.query, leg.id, limit, Both(call_.query.filter, leg.query.filter));
    }
  } else {
    add(call_.query, call_.id, count, call_.query.filter);
  }
  auto rank = [self = shared_from_this(), fused, count, then = std::move(then)](auto& results) mutable {
    Candidates candidates;
    std::vector<vector_search::Leg> legs;
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].ok()) {
        return self->Fail(fused ? Annotate(results[i].status(), absl::StrCat("prefetch[", i, "]"))
                                : results[i].status());
      }
      vector_search::Leg& leg = legs.emplace_back();
      if (fused) leg.weight = self->call_.prefetch[i].weight;
      for (FoundPoint& point : results[i]->points) {
        leg.ranking.push_back({point.id, point.score});
        candidates.payloads.try_emplace(point.id, std::move(point.payload));
      }
      self->TakeReport(*results[i]);
    }
    candidates.full = !fused && legs[0].ranking.size() >= count;
    candidates.ranking = fused ? Fuse(legs, self->call_.fusion, self->call_.rrf_k) : std::move(legs[0].ranking);
    then(std::move(candidates));
  };
  auto gather = Gather<SearchReply>::Make(searches.size(), [this, rank = std::move(rank)](auto results) mutable {
    coordinator_->GoOn([rank = std::move(rank), results = std::move(results)]() mutable { rank(results); });
  });
  for (size_t i = 0; i < searches.size(); ++i) {
    coordinator_->SearchOne(ctx_, entry_, targets_, std::move(searches[i]), gather->Slot(i));
  }
}

void QueryRun::Flat() {
  const uint32_t shown = call_.offset + call_.query.limit;
  uint32_t count = shown;
  if (call_.diversity) {
    const uint32_t chosen =
        call_.diversity->candidates != 0
            ? call_.diversity->candidates
            : std::min(kMaxDiversityCandidates, std::max(kLeastSpreadCandidates, shown * kSpreadFactor));
    count = std::max(count, chosen);
    call_.diversity->candidates = count;
  }
  if (call_.judge) count = std::max(2 * count, kLeastLegCandidates);
  count += static_cast<uint32_t>(call_.exclude_ids.size());
  Find(count, {}, {.none = true}, [self = shared_from_this()](Candidates candidates) {
    Ranking& ranking = candidates.ranking;
    ranking.erase(std::remove_if(ranking.begin(), ranking.end(), [&](const Ranked& r) { return self->Excluded(r.id); }),
                  ranking.end());
    self->Judge(std::move(ranking));
  });
}

void QueryRun::Judge(Ranking ranking) {
  const auto next = [](QueryRun& self, Ranking judged) {
    if (const auto threshold = self.call_.query.score_threshold) {
      judged.erase(std::remove_if(judged.begin(), judged.end(), [&](const Ranked& r) { return r.score < *threshold; }),
                   judged.end());
    }
    self.Spread(std::move(judged));
  };
  if (!call_.judge) return next(*this, std::move(ranking));
  std::vector<std::string> ids = IdsOf(ranking);
  Fetch(std::move(ids), true, {.none = true}, [self = shared_from_this(), next](std::vector<StoredPoint> points) {
    const std::string& field = self->call_.query.vector_name;
    const Metric metric = self->entry_->config.vectors.at(field).metric;
    Ranking judged;
    for (StoredPoint& point : points) {
      const std::vector<float>* const vector = VectorOf(point, field);
      if (vector == nullptr) continue;
      if (const auto score = BestScore(metric, self->call_.judge->first, self->call_.judge->second, *vector)) {
        judged.push_back({std::move(point.id), *score});
      }
    }
    std::sort(judged.begin(), judged.end(), RankedBefore);
    next(*self, std::move(judged));
  });
}

void QueryRun::Spread(Ranking ranking) {
  if (!call_.diversity) return Show(ranking);
  if (ranking.size() > call_.diversity->candidates) ranking.resize(call_.diversity->candidates);
  std::vector<std::string> ids = IdsOf(ranking);
  Fetch(std::move(ids), true, {.none = true},
        [self = shared_from_this(), ranking = std::move(ranking)](std::vector<StoredPoint> points) {
          absl::flat_hash_map<absl::string_view, const std::vector<float>*> vectors;
          for (const StoredPoint& point : points) {
            vectors[point.id] = VectorOf(point, self->call_.diversity->vector_name);
          }
          std::vector<Candidate> candidates;
          for (const Ranked& r : ranking) {
            const auto at = vectors.find(r.id);
            const bool known = at != vectors.end() && at->second != nullptr;
            candidates.push_back({r.score, known ? absl::MakeConstSpan(*at->second) : absl::Span<const float>()});
          }
          Ranking chosen;
          for (const size_t i : Diversify(self->call_.diversity->method, candidates, self->call_.diversity->lambda,
                                          self->call_.offset + self->call_.query.limit)) {
            chosen.push_back(ranking[i]);
          }
          self->Show(chosen);
        });
}

void QueryRun::Show(const Ranking& ranking) {
  const size_t begin = std::min<size_t>(call_.offset, ranking.size());
  const size_t end = std::min<size_t>(begin + call_.query.limit, ranking.size());
  Ranking shown(ranking.begin() + static_cast<ptrdiff_t>(begin), ranking.begin() + static_cast<ptrdiff_t>(end));
  std::vector<std::string> ids = IdsOf(shown);
  Fill(std::move(ids), [self = shared_from_this(), shown = std::move(shown)](auto points) {
    SearchReply reply = self->Reply();
    for (const Ranked& r : shown) {
      const auto at = points.find(r.id);
      if (at == points.end()) continue;
      at->second.score = static_cast<float>(r.score);
      reply.points.push_back(std::move(at->second));
    }
    self->done_(std::move(reply));
  });
}

void QueryRun::Groups() { GroupRound(); }

void QueryRun::GroupRound() {
  const uint32_t wanted = call_.offset + call_.query.limit;
  const auto excluded = static_cast<uint32_t>(call_.exclude_ids.size());
  const uint32_t count =
      std::clamp(wanted * call_.group->group_size * 2, kLeastLegCandidates, kMostGroupCandidates) + excluded;
  Filter extra;
  extra.must_not.push_back(IsEmptyCondition{call_.group->field});
  if (!groups_.empty()) {
    MatchCondition known{call_.group->field, {}};
    for (const Group& group : groups_) known.any_of.push_back(group.value);
    extra.must_not.push_back(std::move(known));
  }
  const std::vector<std::string> path = absl::StrSplit(call_.group->field, absl::MaxSplits('.', 1));
  Find(count, extra, {.include = {path[0], call_.group->field}},
       [self = shared_from_this(), wanted](Candidates candidates) {
         const size_t before = self->groups_.size();
         self->AddToGroups(candidates);
         const bool more = candidates.full && self->groups_.size() < wanted && self->groups_.size() > before &&
                           self->groups_.size() < kMaxFilterValues && ++self->round_ < kMostGroupRounds;
         more ? self->GroupRound() : self->FillGroups();
       });
}

void QueryRun::AddToGroups(const Candidates& candidates) {
  const size_t wanted = call_.offset + call_.query.limit;
  const FieldType type = entry_->config.schema.at(call_.group->field);
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < groups_.size(); ++i) places[KeyOf(groups_[i].value)] = i;
  for (const Ranked& r : candidates.ranking) {
    if (Excluded(r.id) || (call_.query.score_threshold && r.score < *call_.query.score_threshold)) continue;
    const auto payload = candidates.payloads.find(r.id);
    if (payload == candidates.payloads.end()) continue;
    for (Literal& value : ValuesOf(payload->second, call_.group->field, type)) {
      const std::string key = KeyOf(value);
      auto place = places.find(key);
      if (place == places.end()) {
        if (groups_.size() >= wanted) continue;
        place = places.emplace(key, groups_.size()).first;
        groups_.push_back({std::move(value), {}});
      }
      Group& group = groups_[place->second];
      if (group.members.size() < call_.group->group_size) group.members.push_back(r);
    }
  }
}

// Groups whose members were not among the candidates are asked for one by one. Not after a fusion, whose scores depend
// on all candidates.
void QueryRun::FillGroups() {
  groups_.erase(groups_.begin(),
                groups_.begin() + static_cast<ptrdiff_t>(std::min<size_t>(call_.offset, groups_.size())));
  std::vector<size_t> short_ones;
  for (size_t i = 0; i < groups_.size() && call_.prefetch.empty() && !call_.judge; ++i) {
    if (groups_[i].members.size() < call_.group->group_size) short_ones.push_back(i);
  }
  if (short_ones.empty()) return ShowGroups();
  // Once to begin with, so that no step ends the run before all have begun.
  auto left = std::make_shared<std::atomic<size_t>>(short_ones.size());
  const uint32_t count = call_.group->group_size + static_cast<uint32_t>(call_.exclude_ids.size());
  auto failed = std::make_shared<std::atomic<bool>>(false);
  for (const size_t i : short_ones) {
    SearchCall search;
    search.query = call_.query;
    search.query.limit = count;
    Filter same;
    same.must.push_back(MatchCondition{call_.group->field, {groups_[i].value}});
    search.query.filter = Both(call_.query.filter, same);
    search.query.payload = {.none = true};
    search.query.with_vectors = false;
    search.id = call_.id;
    search.allow_partial = call_.allow_partial;
    coordinator_->SearchOne(ctx_, entry_, targets_, std::move(search),
                            [self = shared_from_this(), i, left, failed](absl::StatusOr<SearchReply> reply) {
                              if (!reply.ok()) {
                                if (!failed->exchange(true)) self->Fail(reply.status());
                              } else {
                                Ranking members;
                                for (FoundPoint& point : reply->points) {
                                  if (self->Excluded(point.id) || members.size() == self->call_.group->group_size)
                                    continue;
                                  members.push_back({std::move(point.id), point.score});
                                }
                                self->groups_[i].members = std::move(members);
                              }
                              if (left->fetch_sub(1) == 1 && !failed->load()) self->ShowGroups();
                            });
  }
}

void QueryRun::ShowGroups() {
  std::vector<std::string> ids;
  std::set<std::string> seen;
  for (const Group& group : groups_) {
    for (const Ranked& r : group.members) {
      if (seen.insert(r.id).second) ids.push_back(r.id);
    }
  }
  Fill(std::move(ids), [self = shared_from_this()](auto points) {
    SearchReply reply = self->Reply();
    for (Group& group : self->groups_) {
      FoundGroup found{std::move(group.value), {}};
      for (const Ranked& r : group.members) {
        const auto at = points.find(r.id);
        if (at == points.end()) continue;
        FoundPoint point = at->second;  // it may be in other groups too
        point.score = static_cast<float>(r.score);
        found.points.push_back(std::move(point));
      }
      if (!found.points.empty()) reply.groups.push_back(std::move(found));
    }
    self->done_(std::move(reply));
  });
}

void QueryRun::Fetch(std::vector<std::string> ids, bool with_vectors, PayloadSelector payload,
                     Then<std::vector<StoredPoint>> then) {
  if (ids.empty()) return then({});
  coordinator_->Fetch(ctx_, entry_, targets_, {std::move(ids), std::move(payload), with_vectors}, call_.allow_partial,
                      [self = shared_from_this(), then = std::move(then)](auto points) mutable {
                        if (!points.ok()) return self->Fail(points.status());
                        then(*std::move(points));
                      });
}

void QueryRun::Fill(std::vector<std::string> ids, Then<absl::flat_hash_map<std::string, FoundPoint>> then) {
  PayloadSelector payload = call_.highlight ? PayloadSelector() : call_.query.payload;
  if (payload.none && !call_.query.with_vectors) {
    absl::flat_hash_map<std::string, FoundPoint> points;
    for (std::string& id : ids) points[id].id = id;
    return then(std::move(points));
  }
  Fetch(std::move(ids), call_.query.with_vectors, std::move(payload),
        [self = shared_from_this(), then = std::move(then)](std::vector<StoredPoint> stored) mutable {
          absl::flat_hash_map<std::string, FoundPoint> points;
          for (StoredPoint& point : stored) {
            std::string id = point.id;
            points.emplace(std::move(id), self->ToFound(std::move(point)));
          }
          then(std::move(points));
        });
}

FoundPoint QueryRun::ToFound(StoredPoint point) const {
  FoundPoint out;
  out.id = std::move(point.id);
  if (call_.highlight) {
    AddHighlights(point.payload, out);
    out.payload = SelectPayload(point.payload, call_.query.payload);
  } else {
    out.payload = std::move(point.payload);
  }
  // `vector` is that of the field searched, as without a second step, or the default one.
  const bool named = call_.prefetch.empty() && entry_->config.vectors.contains(call_.query.vector_name);
  const std::string searched = named ? call_.query.vector_name : std::string();
  for (NamedVector& vector : point.vectors) {
    if (vector.name == searched) out.vector = vector.values;
    if (!vector.name.empty()) out.named_vectors.push_back(std::move(vector));
  }
  out.sparse_vectors = std::move(point.sparse);
  return out;
}

void QueryRun::AddHighlights(absl::string_view payload, FoundPoint& point) const {
  // The words of each text query as its field's tokenizer makes them.
  std::vector<const SearchQuery*> queries;
  if (!call_.query.text.empty()) queries.push_back(&call_.query);
  for (const PrefetchCall& leg : call_.prefetch) {
    if (!leg.query.text.empty()) queries.push_back(&leg.query);
  }
  std::set<std::string> done;
  for (const SearchQuery* query : queries) {
    const SparseField& field = entry_->config.sparse.at(query->vector_name);
    const auto tokenizer = Tokenizer::Make(field.text);
    if (!tokenizer.ok()) continue;  // settings were checked when the collection was made
    absl::flat_hash_set<std::string> words;
    for (std::string& word : (*tokenizer)->Words(query->text)) words.insert(std::move(word));
    std::vector<std::string> paths = call_.highlight->fields;
    if (paths.empty()) paths.push_back(field.text_field);
    for (const std::string& path : paths) {
      if (done.contains(path)) continue;
      HighlightedField highlighted{path, {}};
      ForEachKeyword(payload, path, [&](absl::string_view text) {
        for (std::string& fragment : Highlight(**tokenizer, words, text, *call_.highlight)) {
          if (highlighted.fragments.size() < call_.highlight->fragments) {
            highlighted.fragments.push_back(std::move(fragment));
          }
        }
      });
      if (highlighted.fragments.empty()) continue;
      done.insert(path);
      point.highlights.push_back(std::move(highlighted));
    }
  }
}

}  // namespace alcove::vector_search
