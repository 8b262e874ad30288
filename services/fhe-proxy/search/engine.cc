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

// The expanded queries. Parts of a query are expanded on different threads, too.
absl::StatusOr<std::vector<fhe::ScoringQuery>> ExpandAll(const RequestContext& ctx, const ParameterSet& set,
                                                         const EvaluationKeys& keys, const ReadQueries& read,
                                                         const fhe::Layout& layout, TaskPool& pool) {
  const size_t parts = layout.parts().size();
  std::vector<fhe::ScoringQuery> out;
  out.reserve(read.queries.size());
  for (size_t q = 0; q < read.queries.size(); ++q) out.emplace_back(*set.context, layout);
  pool.ParallelFor(out.size() * parts, [&](size_t i) {
    if (!ctx.Check().ok()) return;
    const size_t q = i / parts, part = i % parts;
    out[q].ExpandPart(*set.context, part, read.queries[q][part], *keys.expansion, layout);
  });
  ALCOVE_RETURN_IF_ERROR(ctx.Check());
  return out;
}

// How replies are written.
struct ReplyForm {
  fhe::WireFormat format;
  fhe::TrimBits trim;
};

std::string Write(const ParameterSet& set, fhe::CoeffCiphertext& reply, const ReplyForm& form) {
  // Without compression a trimmed reply is no shorter.
  if (form.format.compression != fhe::Compression::kNone) {
    fhe::TrimReply(*set.context, form.trim.first, form.trim.second, reply);
  }
  return fhe::WriteCiphertext(fhe::ToWire(*set.context, reply), form.format);
}

// Scores `queries` against `blocks`, groups of them at a time, and hands the replies on in order.
absl::Status ScoreAndEmit(const RequestContext& ctx, const ParameterSet& set,
                          absl::Span<const fhe::ScoringQuery* const> queries,
                          absl::Span<const fhe::Block* const> blocks, absl::Span<const uint32_t> numbers,
                          const ReplyForm& form, TaskPool& pool, EmitReply emit) {
  const size_t groups = (blocks.size() + kBlocksAtOnce - 1) / kBlocksAtOnce;
  const size_t wave = static_cast<size_t>(std::max(1, pool.threads()));
  for (size_t begin = 0; begin < groups; begin += wave) {
    const size_t end = std::min(groups, begin + wave);
    std::vector<std::vector<EncryptedReply>> replies(end - begin);
    pool.ParallelFor(end - begin, [&](size_t i) {
      if (!ctx.Check().ok()) return;
      const size_t first = (begin + i) * kBlocksAtOnce;
      const auto some = blocks.subspan(first, kBlocksAtOnce);
      auto scores = fhe::ScoreBatch(*set.context, queries, some);
      for (size_t b = 0; b < some.size(); ++b) {
        for (size_t q = 0; q < queries.size(); ++q) {
          replies[i].push_back({static_cast<uint32_t>(q), numbers[first + b], Write(set, scores[q][b], form)});
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

// Reads, expands and scores the queries of one request against blocks of one layout.
absl::Status Answer(const RequestContext& ctx, const EvaluationKeys& keys, const ParameterSet& set,
                    const fhe::Layout& layout, const fhe::TrimBits& trim, const EncryptedQueries& queries,
                    absl::Span<const fhe::Block* const> blocks, absl::Span<const uint32_t> numbers, TaskPool& pool,
                    EmitReply emit) {
  ALCOVE_ASSIGN_OR_RETURN(const ReadQueries read, Read(ctx, set, queries, layout.parts().size()));
  ALCOVE_ASSIGN_OR_RETURN(const auto expanded, ExpandAll(ctx, set, keys, read, layout, pool));
  return ScoreAndEmit(ctx, set, Pointers(expanded), blocks, numbers, {{read.version, queries.compression}, trim}, pool,
                      emit);
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
    for (uint32_t b = 0; b < collection.blocks(); ++b) numbers.push_back(b);
  }
  if (numbers.size() > collection.blocks()) return InvalidField("blocks", "names more blocks than there are");
  std::vector<const fhe::Block*> chosen;
  for (const uint32_t number : numbers) {
    if (number >= collection.blocks()) {
      return InvalidField("blocks",
                          absl::StrCat("the collection has ", collection.blocks(), " blocks; there is no ", number));
    }
    chosen.push_back(collection.database->blocks[number].get());
  }
  return Answer(ctx, keys, set, collection.layout(), collection.trim, queries, chosen, numbers, pool, emit);
}

absl::Status ScoreClassifier(const RequestContext& ctx, const EvaluationKeys& keys, const EncodedClassifier& classifier,
                             const EncryptedQueries& queries, TaskPool& pool, EmitReply emit) {
  ALCOVE_RETURN_IF_ERROR(CheckSet(keys, *classifier.set));
  return Answer(ctx, keys, *classifier.set, classifier.layout, classifier.trim, queries, {classifier.block.get()}, {0},
                pool, emit);
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
    ALCOVE_ASSIGN_OR_RETURN(const fhe::Layout layout,
                            fhe::Layout::Full(set.parameters.degree, records.layout.PartSelectors(part)));
    std::vector<const fhe::Block*> blocks;
    for (const auto& block : records.blocks[part]) blocks.push_back(block.get());
    pool.ParallelFor(count, [&](size_t q) {
      if (!ctx.Check().ok()) return;
      const fhe::ScoringQuery query(*set.context, read.queries[q][part], *keys.expansion, layout);
      std::vector<fhe::CoeffCiphertext> found = fhe::Score(*set.context, query, blocks);
      for (uint32_t piece = 0; piece < pieces; ++piece) {
        auto& sum = sums[q * pieces + piece];
        sum = sum ? fhe::Add(*set.context, *sum, found[piece]) : std::move(found[piece]);
      }
    });
    ALCOVE_RETURN_IF_ERROR(ctx.Check());
  }
  const ReplyForm form{{read.version, queries.compression}, records.trim};
  for (uint32_t piece = 0; piece < pieces; ++piece) {
    for (size_t q = 0; q < count; ++q) {
      ALCOVE_RETURN_IF_ERROR(emit({static_cast<uint32_t>(q), piece, Write(set, *sums[q * pieces + piece], form)}));
    }
  }
  return absl::OkStatus();
}

}  // namespace alcove::fhe_proxy
