#include "services/fhe-proxy/search/engine.h"

#include <algorithm>
#include <optional>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>

#include "libs/common/status.h"
#include "libs/fhe/bfv/evaluator.h"
#include "libs/fhe/fault.h"
#include "libs/fhe/search/expand.h"
#include "libs/fhe/search/score.h"
#include "services/fhe-proxy/search/objects.h"

namespace alcove::fhe_proxy {
namespace {

// Blocks scored in one go: the expanded query is read once for all of them.
constexpr size_t kBlocksAtOnce = 4;

struct PartShape {
  uint32_t selectors = 0;
};

// Every query of a request, read and checked: [query][part].
struct ReadQueries {
  fhe::SealVersion version;
  std::vector<std::vector<fhe::CoeffCiphertext>> queries;
};

absl::StatusOr<size_t> QueriesIn(size_t objects, size_t parts, size_t max_queries) {
  if (objects == 0) return InvalidField("query", "holds no ciphertext");
  if (objects % parts != 0) {
    return WithReason(InvalidField("query", absl::StrCat("holds ", objects, " ciphertexts; each query takes ", parts)),
                      "WRONG_QUERY_PARTS");
  }
  if (objects / parts > max_queries) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat("the request holds ", objects / parts,
                                                                " queries; at most ", max_queries, " are answered")),
                      "TOO_MANY_QUERIES");
  }
  return objects / parts;
}

absl::StatusOr<ReadQueries> Read(const RequestContext& ctx, const ParameterSet& set, const EncryptedQueries& in,
                                 size_t parts) {
  ALCOVE_ASSIGN_OR_RETURN(const std::vector<absl::string_view> objects,
                          SplitObjects(in.bytes, parts * (in.max_queries + 1)));
  ALCOVE_ASSIGN_OR_RETURN(const size_t count, QueriesIn(objects.size(), parts, in.max_queries));
  ReadQueries out;
  out.queries.resize(count);
  for (size_t i = 0; i < objects.size(); ++i) {
    if (i % 16 == 0) ALCOVE_RETURN_IF_ERROR(ctx.Check());
    const fhe::CiphertextRules rules{.max_polynomials = 2, .primes = set.parameters.DataPrimes(), .ntt_form = false};
    auto read = fhe::ReadCiphertext(objects[i], set.parameters, rules);
    if (!read.ok()) return fhe::Within(absl::StrCat("query ciphertext ", i), read.status());
    if (i == 0) {
      out.version = read->version;
    } else if (!(out.version == read->version)) {
      return fhe::FaultError(fhe::Fault::kMixedVersions,
                             absl::StrCat("query ciphertext ", i, ": written by another SEAL than the first"));
    }
    auto ciphertext = fhe::FromWire(*set.context, read->object);
    if (!ciphertext.ok()) return fhe::Within(absl::StrCat("query ciphertext ", i), ciphertext.status());
    out.queries[i / parts].push_back(*std::move(ciphertext));
  }
  if (in.admit) ALCOVE_RETURN_IF_ERROR(in.admit(count));
  return out;
}

absl::Status CheckSet(const EvaluationKeys& keys, const ParameterSet& set) {
  if (keys.set == &set) return absl::OkStatus();
  return fhe::FaultError(fhe::Fault::kParmsIdMismatch,
                         absl::StrCat("the keys are of the parameter set ", keys.set->name, ", not ", set.name));
}

// The expanded queries, each with the selectors of all its parts one after another.
absl::StatusOr<std::vector<fhe::ScoringQuery>> ExpandAll(const RequestContext& ctx, const ParameterSet& set,
                                                         const EvaluationKeys& keys, const ReadQueries& read,
                                                         absl::Span<const PartShape> parts, TaskPool& pool) {
  const size_t queries = read.queries.size();
  std::vector<std::vector<fhe::EvalCiphertext>> expanded(queries * parts.size());
  pool.ParallelFor(expanded.size(), [&](size_t i) {
    if (!ctx.Check().ok()) return;
    expanded[i] = fhe::Expand(*set.context, read.queries[i / parts.size()][i % parts.size()], *keys.expansion,
                              parts[i % parts.size()].selectors);
  });
  ALCOVE_RETURN_IF_ERROR(ctx.Check());
  std::vector<fhe::ScoringQuery> out;
  for (size_t q = 0; q < queries; ++q) {
    std::vector<fhe::EvalCiphertext> all;
    for (size_t p = 0; p < parts.size(); ++p) {
      std::vector<fhe::EvalCiphertext>& some = expanded[q * parts.size() + p];
      std::move(some.begin(), some.end(), std::back_inserter(all));
      some = {};
    }
    out.emplace_back(*set.context, all);
  }
  return out;
}

std::string Write(const ParameterSet& set, const fhe::CoeffCiphertext& ciphertext, const fhe::WireFormat& format) {
  return fhe::WriteCiphertext(fhe::ToWire(*set.context, ciphertext), format);
}

// Scores `queries` against `blocks`, groups of them at a time, and hands the replies on in order.
absl::Status ScoreAndEmit(const RequestContext& ctx, const ParameterSet& set,
                          absl::Span<const fhe::ScoringQuery* const> queries,
                          absl::Span<const fhe::Block* const> blocks, absl::Span<const uint32_t> numbers,
                          const fhe::WireFormat& format, TaskPool& pool, EmitReply emit) {
  const size_t groups = (blocks.size() + kBlocksAtOnce - 1) / kBlocksAtOnce;
  const size_t wave = static_cast<size_t>(std::max(1, pool.threads()));
  for (size_t begin = 0; begin < groups; begin += wave) {
    const size_t end = std::min(groups, begin + wave);
    std::vector<std::vector<EncryptedReply>> replies(end - begin);
    pool.ParallelFor(end - begin, [&](size_t i) {
      if (!ctx.Check().ok()) return;
      const size_t first = (begin + i) * kBlocksAtOnce;
      const auto some = blocks.subspan(first, kBlocksAtOnce);
      const auto scores = fhe::ScoreBatch(*set.context, queries, some);
      for (size_t b = 0; b < some.size(); ++b) {
        for (size_t q = 0; q < queries.size(); ++q) {
          replies[i].push_back({static_cast<uint32_t>(q), numbers[first + b], Write(set, scores[q][b], format)});
        }
      }
    });
    ALCOVE_RETURN_IF_ERROR(ctx.Check());
    for (auto& group : replies) {
      for (EncryptedReply& reply : group) ALCOVE_RETURN_IF_ERROR(emit(std::move(reply)));
    }
  }
  return absl::OkStatus();
}

std::vector<const fhe::ScoringQuery*> Pointers(const std::vector<fhe::ScoringQuery>& queries) {
  std::vector<const fhe::ScoringQuery*> out;
  for (const fhe::ScoringQuery& query : queries) out.push_back(&query);
  return out;
}

std::vector<PartShape> ShapesOf(const private_search::Layout& layout) {
  std::vector<PartShape> out;
  for (const private_search::QueryPart& part : layout.parts()) out.push_back({part.selectors});
  return out;
}

}  // namespace

absl::StatusOr<size_t> CountQueries(const EncryptedQueries& queries, size_t parts) {
  ALCOVE_ASSIGN_OR_RETURN(const auto objects, SplitObjects(queries.bytes, parts * (queries.max_queries + 1)));
  return QueriesIn(objects.size(), parts, queries.max_queries);
}

absl::Status SearchCollection(const RequestContext& ctx, const EvaluationKeys& keys,
                              const EncodedCollection& collection, const EncryptedQueries& queries,
                              absl::Span<const uint32_t> blocks, TaskPool& pool, EmitReply emit) {
  const ParameterSet& set = *collection.set;
  ALCOVE_RETURN_IF_ERROR(CheckSet(keys, set));
  std::vector<uint32_t> numbers(blocks.begin(), blocks.end());
  if (numbers.empty()) {
    for (uint32_t b = 0; b < collection.blocks.size(); ++b) numbers.push_back(b);
  }
  if (numbers.size() > collection.blocks.size()) return InvalidField("blocks", "names more blocks than there are");
  std::vector<const fhe::Block*> chosen;
  for (const uint32_t number : numbers) {
    if (number >= collection.blocks.size()) {
      return InvalidField(
          "blocks", absl::StrCat("the collection has ", collection.blocks.size(), " blocks; there is no ", number));
    }
    chosen.push_back(collection.blocks[number].block.get());
  }
  const std::vector<PartShape> parts = ShapesOf(collection.layout);
  ALCOVE_ASSIGN_OR_RETURN(const ReadQueries read, Read(ctx, set, queries, parts.size()));
  ALCOVE_ASSIGN_OR_RETURN(const auto expanded, ExpandAll(ctx, set, keys, read, parts, pool));
  return ScoreAndEmit(ctx, set, Pointers(expanded), chosen, numbers, {read.version, queries.compression}, pool, emit);
}

absl::Status ScoreBlock(const RequestContext& ctx, const EvaluationKeys& keys, const ParameterSet& set,
                        const private_search::Layout& layout, const fhe::Block& block, const EncryptedQueries& queries,
                        TaskPool& pool, EmitReply emit) {
  ALCOVE_RETURN_IF_ERROR(CheckSet(keys, set));
  const std::vector<PartShape> parts = ShapesOf(layout);
  ALCOVE_ASSIGN_OR_RETURN(const ReadQueries read, Read(ctx, set, queries, parts.size()));
  ALCOVE_ASSIGN_OR_RETURN(const auto expanded, ExpandAll(ctx, set, keys, read, parts, pool));
  const fhe::Block* const blocks[] = {&block};
  const uint32_t numbers[] = {0};
  return ScoreAndEmit(ctx, set, Pointers(expanded), blocks, numbers, {read.version, queries.compression}, pool, emit);
}

absl::Status LookupRecords(const RequestContext& ctx, const EvaluationKeys& keys, const EncodedRecords& records,
                           const EncryptedQueries& queries, TaskPool& pool, EmitReply emit) {
  const ParameterSet& set = *records.set;
  ALCOVE_RETURN_IF_ERROR(CheckSet(keys, set));
  const uint32_t parts = records.layout.parts();
  const uint32_t pieces = records.layout.pieces();
  ALCOVE_ASSIGN_OR_RETURN(const ReadQueries read, Read(ctx, set, queries, parts));
  const size_t count = read.queries.size();
  // sums[query * pieces + piece]; parts come one after another, so that no more than one expansion a query is in
  // memory.
  std::vector<std::optional<fhe::CoeffCiphertext>> sums(count * pieces);
  for (uint32_t part = 0; part < parts; ++part) {
    std::vector<const fhe::Block*> blocks;
    for (const auto& block : records.blocks[part]) blocks.push_back(block.get());
    pool.ParallelFor(count, [&](size_t q) {
      if (!ctx.Check().ok()) return;
      const fhe::ScoringQuery query(*set.context, fhe::Expand(*set.context, read.queries[q][part], *keys.expansion,
                                                              records.layout.PartSelectors(part)));
      std::vector<fhe::CoeffCiphertext> found = fhe::Score(*set.context, query, blocks);
      for (uint32_t piece = 0; piece < pieces; ++piece) {
        auto& sum = sums[q * pieces + piece];
        sum = sum ? fhe::Add(*set.context, *sum, found[piece]) : std::move(found[piece]);
      }
    });
    ALCOVE_RETURN_IF_ERROR(ctx.Check());
  }
  for (uint32_t piece = 0; piece < pieces; ++piece) {
    for (size_t q = 0; q < count; ++q) {
      ALCOVE_RETURN_IF_ERROR(emit({static_cast<uint32_t>(q), piece,
                                   Write(set, *sums[q * pieces + piece], {read.version, queries.compression})}));
    }
  }
  return absl::OkStatus();
}

}  // namespace alcove::fhe_proxy
