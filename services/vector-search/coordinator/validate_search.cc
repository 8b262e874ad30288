#include "services/vector-search/coordinator/validate_search.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/vector-search/collection/filter_plan.h"
#include "services/vector-search/coordinator/validate.h"
#include "services/vector-search/sparse/sparse_index.h"

namespace alcove::vector_search {
namespace {

// "prefetch[2]." before the fields of a leg, nothing before those of the search itself.
std::string Path(absl::string_view prefix, absl::string_view field) {
  return prefix.empty() ? std::string(field) : absl::StrCat(prefix, ".", field);
}

// The sparse field a query is about; with no name the only one of its kind.
absl::Status ResolveSparse(const CollectionConfig& config, absl::string_view prefix, bool text, std::string& name) {
  const std::string label = Path(prefix, "vector_name");
  const absl::string_view kind = text ? "made of a text" : "of sparse vectors";
  std::vector<std::string> names;
  for (const auto& [field, settings] : config.sparse) {
    if (settings.is_text() == text) names.push_back(field);
  }
  std::string known;
  for (const std::string& field : names) absl::StrAppend(&known, known.empty() ? "\"" : ", \"", field, "\"");
  if (name.empty()) {
    if (names.size() == 1) {
      name = names.front();
      return absl::OkStatus();
    }
    if (names.empty()) return InvalidField(label, absl::StrCat("the collection has no field ", kind));
    return InvalidField(label, absl::StrCat("must name one of the fields ", kind, ": ", known));
  }
  if (std::find(names.begin(), names.end(), name) != names.end()) return absl::OkStatus();
  const absl::string_view nearest = ClosestMatch(name, names);
  return InvalidField(
      label, absl::StrCat("the collection has no field \"", name.substr(0, kMaxFieldNameBytes), "\" ", kind,
                          nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?"), "; it has ",
                          known.empty() ? "none" : known));
}

absl::Status CheckText(const CollectionConfig& config, absl::string_view prefix, const SearchQuery& query) {
  const std::string label = Path(prefix, "text");
  if (query.text.size() > kMaxQueryTextBytes) {
    return InvalidField(label, absl::StrCat("has ", query.text.size(), " bytes, the limit is ", kMaxQueryTextBytes));
  }
  if (!IsValidUtf8(query.text)) return InvalidField(label, "is not UTF-8");
  // Fewer bytes cannot hold more words.
  if (query.text.size() < 2 * kMaxQueryTerms) return absl::OkStatus();
  ALCOVE_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Make(config.sparse.at(query.vector_name).text));
  if (const size_t words = CountWords(*tokenizer, {query.text}).size(); words > kMaxQueryTerms) {
    return InvalidField(label, absl::StrCat("has ", words, " different words, the limit is ", kMaxQueryTerms));
  }
  return absl::OkStatus();
}

// One query, of a search or of a leg of it.
absl::Status PrepareQuery(const CollectionConfig& config, absl::string_view prefix, SearchQuery& query,
                          const std::string& id) {
  if (query.ef > kMaxSearchEf) {
    return InvalidField(Path(prefix, "params.ef"), absl::StrCat("must be at most ", kMaxSearchEf, ", not ", query.ef));
  }
  if (query.score_threshold && !std::isfinite(*query.score_threshold)) {
    return InvalidField(Path(prefix, "score_threshold"), "must be finite");
  }
  if (!query.text.empty()) {
    ALCOVE_RETURN_IF_ERROR(ResolveSparse(config, prefix, true, query.vector_name));
    return CheckText(config, prefix, query);
  }
  if (!query.sparse.empty()) {
    ALCOVE_RETURN_IF_ERROR(ResolveSparse(config, prefix, false, query.vector_name));
    return ValidateSparse(Path(prefix, "sparse"), query.sparse, kMaxQueryTerms);
  }
  absl::StatusOr<const VectorField*> field = FindVectorField(config, query.vector_name);
  if (!field.ok()) return prefix.empty() ? field.status() : Annotate(field.status(), prefix);
  if (!id.empty()) return ValidatePointId(Path(prefix, "id"), id);
  return ValidateVector(Path(prefix, "vector"), **field, query.vector);
}

int Kinds(const SearchQuery& query, const std::string& id) {
  return !query.vector.empty() + !id.empty() + !query.sparse.empty() + !query.text.empty();
}

absl::Status PreparePrefetch(const CollectionConfig& config, const FieldList& fields, SearchCall& call) {
  if (call.prefetch.size() > kMaxPrefetch) {
    return InvalidField("prefetch", absl::StrCat("must be at most ", kMaxPrefetch, ", not ", call.prefetch.size()));
  }
  for (size_t i = 0; i < call.prefetch.size(); ++i) {
    PrefetchCall& leg = call.prefetch[i];
    const std::string prefix = absl::StrCat("prefetch[", i, "]");
    if (Kinds(leg.query, leg.id) != 1) {
      return InvalidField(prefix, "exactly one of `vector`, `id`, `sparse` and `text` must be given");
    }
    ALCOVE_RETURN_IF_ERROR(PrepareQuery(config, prefix, leg.query, leg.id));
    if (leg.query.limit > kMaxPrefetchLimit) {
      return InvalidField(prefix + ".limit",
                          absl::StrCat("must be at most ", kMaxPrefetchLimit, ", not ", leg.query.limit));
    }
    if (!(leg.weight > 0) || !std::isfinite(leg.weight)) {
      return InvalidField(prefix + ".weight", "must be above 0 and finite");
    }
    if (absl::Status status = PlanFilter(config, fields, leg.query.filter).status(); !status.ok()) {
      return Annotate(std::move(status), prefix);
    }
  }
  if (call.rrf_k > kMaxRrfK) return InvalidField("fusion.rrf_k", absl::StrCat("must be at most ", kMaxRrfK));
  return absl::OkStatus();
}

absl::Status PrepareDiversity(const CollectionConfig& config, SearchCall& call) {
  DiversityCall& diversity = *call.diversity;
  if (call.group) return InvalidField("diversity", "cannot be combined with `group_by`");
  if (!(diversity.lambda >= 0 && diversity.lambda <= 1)) return InvalidField("diversity.lambda", "must be 0 to 1");
  if (diversity.candidates > kMaxDiversityCandidates) {
    return InvalidField("diversity.candidates",
                        absl::StrCat("must be at most ", kMaxDiversityCandidates, ", not ", diversity.candidates));
  }
  if (call.offset + call.query.limit > kMaxDiversityCandidates) {
    return InvalidField("offset",
                        absl::StrCat("with `limit` must be at most ", kMaxDiversityCandidates, " with `diversity`"));
  }
  // The field searched, when it is one of vectors.
  if (diversity.vector_name.empty() && call.prefetch.empty() && config.vectors.contains(call.query.vector_name)) {
    diversity.vector_name = call.query.vector_name;
  }
  if (!config.vectors.contains(diversity.vector_name)) {
    const absl::Status missing = FindVectorField(config, diversity.vector_name).status();
    return Annotate(missing, "diversity");
  }
  return absl::OkStatus();
}

absl::Status PrepareGroup(const FieldList& fields, SearchCall& call) {
  GroupCall& group = *call.group;
  if (absl::Status status = FacetField(fields, group.field).status(); !status.ok()) {
    return Annotate(std::move(status), "group_by");
  }
  if (group.group_size > kMaxGroupSize) {
    return InvalidField("group_by.group_size",
                        absl::StrCat("must be 1 to ", kMaxGroupSize, ", not ", group.group_size));
  }
  if (group.group_size == 0) group.group_size = 3;
  if (call.query.limit > kMaxGroups) {
    return InvalidField("limit", absl::StrCat("must be 1 to ", kMaxGroups, " groups, not ", call.query.limit));
  }
  if (call.offset > kMaxGroupOffset) {
    return InvalidField("offset", absl::StrCat("must be at most ", kMaxGroupOffset, " groups, not ", call.offset));
  }
  return absl::OkStatus();
}

absl::Status PrepareHighlight(const CollectionConfig& config, SearchCall& call) {
  HighlightOptions& highlight = *call.highlight;
  const auto bound = [](absl::string_view field, uint32_t value, uint32_t low, uint32_t high) {
    if (value >= low && value <= high) return absl::OkStatus();
    return InvalidField(absl::StrCat("highlight.", field),
                        absl::StrCat("must be ", low, " to ", high, ", not ", value));
  };
  ALCOVE_RETURN_IF_ERROR(bound("fragments", highlight.fragments, 1, kMaxHighlightFragments));
  ALCOVE_RETURN_IF_ERROR(bound("fragment_bytes", highlight.fragment_bytes, 20, kMaxFragmentBytes));
  if (highlight.pre.size() > kMaxHighlightMark || highlight.post.size() > kMaxHighlightMark) {
    return InvalidField("highlight", absl::StrCat("marks must be at most ", kMaxHighlightMark, " bytes"));
  }
  if (highlight.fields.size() > kMaxHighlightFields) {
    return InvalidField("highlight.fields", absl::StrCat("must be at most ", kMaxHighlightFields));
  }
  const bool has_text =
      !call.query.text.empty() || std::any_of(call.prefetch.begin(), call.prefetch.end(),
                                              [](const PrefetchCall& leg) { return !leg.query.text.empty(); });
  return has_text ? absl::OkStatus() : InvalidField("highlight", "needs a query with a text");
}

}  // namespace

absl::Status PrepareSearch(const CollectionConfig& config, SearchCall& call) {
  const int kinds = Kinds(call.query, call.id) + !call.prefetch.empty();
  if (kinds != 1) {
    return InvalidField("vector", "exactly one of `vector`, `id`, `sparse`, `text` and `prefetch` must be given");
  }
  if (call.query.limit > kMaxLimit) {
    return InvalidField("limit", absl::StrCat("must be 1 to ", kMaxLimit, ", not ", call.query.limit));
  }
  if (call.offset > kMaxOffset) {
    return InvalidField("offset", absl::StrCat("must be at most ", kMaxOffset, ", not ", call.offset));
  }
  if (call.query.limit == 0) call.query.limit = 10;
  const FieldList fields(config);
  if (call.prefetch.empty()) {
    ALCOVE_RETURN_IF_ERROR(PrepareQuery(config, "", call.query, call.id));
  } else {
    if (call.query.score_threshold && !std::isfinite(*call.query.score_threshold)) {
      return InvalidField("score_threshold", "must be finite");
    }
    ALCOVE_RETURN_IF_ERROR(PreparePrefetch(config, fields, call));
  }
  ALCOVE_RETURN_IF_ERROR(ValidateSelector(call.query.payload));
  ALCOVE_RETURN_IF_ERROR(PlanFilter(config, fields, call.query.filter).status());
  if (call.diversity) ALCOVE_RETURN_IF_ERROR(PrepareDiversity(config, call));
  if (call.group) ALCOVE_RETURN_IF_ERROR(PrepareGroup(fields, call));
  if (call.highlight) ALCOVE_RETURN_IF_ERROR(PrepareHighlight(config, call));
  return absl::OkStatus();
}

absl::Status PrepareRecommend(const CollectionConfig& config, RecommendCall& call) {
  const size_t positive = call.positive_ids.size() + call.positive.size();
  const size_t negative = call.negative_ids.size() + call.negative.size();
  if (positive == 0) return InvalidField("positive", "at least one positive example must be given, an id or a vector");
  if (positive + negative > kMaxExamples) {
    return InvalidField("positive",
                        absl::StrCat("must be at most ", kMaxExamples, " examples in all, not ", positive + negative));
  }
  ALCOVE_RETURN_IF_ERROR(ValidateIds("positive", call.positive_ids, 0, kMaxExamples));
  ALCOVE_RETURN_IF_ERROR(ValidateIds("negative", call.negative_ids, 0, kMaxExamples));
  ALCOVE_ASSIGN_OR_RETURN(const VectorField* const field, FindVectorField(config, call.search.query.vector_name));
  for (const auto& [name, vectors] :
       {std::pair{"positive_vectors", &call.positive}, std::pair{"negative_vectors", &call.negative}}) {
    for (size_t i = 0; i < vectors->size(); ++i) {
      ALCOVE_RETURN_IF_ERROR(ValidateVector(absl::StrCat(name, "[", i, "]"), *field, (*vectors)[i]));
    }
  }
  // What a search would be refused for is refused before the examples are looked up.
  if (call.search.group && call.strategy == RecommendStrategy::kBestScore) {
    return InvalidField("group_by", "cannot be combined with the strategy best_score");
  }
  call.search.query.vector.assign(field->dimension, 1);
  ALCOVE_RETURN_IF_ERROR(PrepareSearch(config, call.search));
  call.search.query.vector.clear();
  return absl::OkStatus();
}

}  // namespace alcove::vector_search
