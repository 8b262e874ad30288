#include "tools/alcovectl/private/session.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "libs/common/status.h"
#include "libs/fhe/client/query.h"
#include "libs/private_search/query.h"
#include "libs/private_search/records.h"

namespace alcove::ctl {
namespace {

namespace pb = private_search::v1;
using Service = pb::PrivateSearchService;

constexpr int kAttempts = 4;

// What comes from the server is checked: it may answer wrongly, but not make this program misbehave.
absl::StatusOr<fhe::Layout> LayoutFrom(const fhe::Context& context, const pb::Layout& layout) {
  if (layout.doublings() > 16) {
    return absl::DataLossError(absl::StrCat("the server described a layout of ", layout.doublings(), " doublings"));
  }
  return fhe::Layout::Create(context.degree(), layout.dimension(), static_cast<int>(layout.doublings()),
                             layout.chunk());
}

bool CollectionChanged(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) && absl::StrContains(status.message(), "has changed");
}

class Stopwatch {
 public:
  absl::Duration Lap() {
    const absl::Time now = absl::Now();
    const absl::Duration lap = now - last_;
    last_ = now;
    return lap;
  }

 private:
  absl::Time last_ = absl::Now();
};

}  // namespace

absl::Status PrivateSession::FetchParameters(const std::string& collection, const std::string& vector_name,
                                             const Wanted& wanted) {
  Say(wanted.documents ? "preparing documents" : wanted.vectors ? "preparing vectors" : "fetching parameters");
  Stopwatch watch;
  vector_name_ = vector_name;
  pb::GetCollectionParametersRequest request;
  request.set_collection(collection);
  request.set_vector_name(vector_name);
  request.set_parameter_set(identity_.set_name());
  request.set_with_documents(wanted.documents);
  request.set_with_vectors(wanted.vectors);
  request.set_with_clusters(wanted.clusters);
  const auto stub = Service::NewStub(client_.channel());
  ALCOVE_ASSIGN_OR_RETURN(parameters_, client_.Call(*stub, &Service::Stub::GetCollectionParameters, request));
  const auto& own = identity_.context().parameters();
  const pb::ParameterSet& set = parameters_.set();
  if (set.poly_modulus_degree() != own.degree || set.plain_modulus() != own.plain_modulus ||
      !std::equal(set.coeff_modulus().begin(), set.coeff_modulus().end(), own.primes.begin(), own.primes.end())) {
    return absl::FailedPreconditionError(absl::StrCat("the key in ", identity_.folder(),
                                                      " was made for other parameters "
                                                      "than the server's set ",
                                                      set.name()));
  }
  steps_.push_back({wanted.documents ? "documents prepared"
                    : wanted.vectors ? "vectors prepared"
                                     : "parameters",
                    watch.Lap(), request.ByteSizeLong(), parameters_.ByteSizeLong()});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> PrivateSession::Quantise(const pb::Quantisation& numbers, uint64_t t,
                                                              const std::vector<float>& vector, double* scale) const {
  double length = 1;
  if (!numbers.normalise()) {
    double energy = 0;
    for (const float v : vector) energy += static_cast<double>(v) * static_cast<double>(v);
    length = std::max(std::sqrt(energy), 1e-30);
  }
  *scale = numbers.query_scale() / length;
  ALCOVE_ASSIGN_OR_RETURN(const private_search::Quantised quantised,
                          private_search::QuantiseQuery(vector, *scale, numbers.normalise()));
  if (quantised.norm * numbers.max_row_norm() >= static_cast<double>(t / 2)) {
    return absl::InternalError("the server's scales let scores overflow; nothing was sent");
  }
  return quantised.numbers;
}

absl::StatusOr<std::vector<PrivateHit>> PrivateSession::Search(const std::string& collection,
                                                               const std::string& vector_name,
                                                               const std::vector<float>& vector,
                                                               const SearchOptions& options) {
  const size_t limit = options.limit;
  const Wanted wanted{.vectors = options.rescore, .clusters = options.clusters.has_value()};
  for (int attempt = 1;; ++attempt) {
    ALCOVE_RETURN_IF_ERROR(FetchParameters(collection, vector_name, wanted));
    auto hits = SearchOnce(vector, options.rescore ? 2 * limit : limit, options.clusters);
    if (hits.ok() && options.rescore) {
      if (absl::Status status = Rescore(vector, *hits); !status.ok()) hits = status;
    }
    if (hits.ok() && hits->size() > limit) hits->resize(limit);
    if (hits.ok() || !CollectionChanged(hits.status()) || attempt == kAttempts) return hits;
  }
}

absl::StatusOr<std::vector<PrivateHit>> PrivateSession::SearchOnce(const std::vector<float>& vector, size_t limit,
                                                                   const std::optional<DecoyOptions>& clusters) {
  ALCOVE_ASSIGN_OR_RETURN(const auto layout, LayoutFrom(identity_.context(), parameters_.layout()));
  ALCOVE_ASSIGN_OR_RETURN(const auto signs,
                          fhe::SignPattern::FromBytes(parameters_.layout().signs(), identity_.context().degree()));
  if (vector.size() != layout.dimensions()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the vector has ", vector.size(), " numbers; the collection has ", layout.dimensions()));
  }
  const uint64_t t = parameters_.set().plain_modulus();
  Say("encrypting the query");
  Stopwatch watch;
  double scale = 1;
  ALCOVE_ASSIGN_OR_RETURN(const auto numbers, Quantise(parameters_.quantisation(), t, vector, &scale));
  ALCOVE_ASSIGN_OR_RETURN(const auto packed, fhe::EncodeQuery(identity_.context(), layout, numbers));
  pb::SearchRequest request;
  request.set_key_id(identity_.key_id());
  request.set_collection(parameters_.collection());
  request.set_vector_name(vector_name_);
  request.set_sequence(parameters_.sequence());
  request.set_query(identity_.Encrypt(packed));
  request.set_compression(pb::REPLY_COMPRESSION_ZSTD);
  if (clusters) {
    double energy = 0;
    for (const float v : vector) energy += static_cast<double>(v) * static_cast<double>(v);
    std::vector<float> unit = vector;
    for (float& v : unit) v = static_cast<float>(static_cast<double>(v) / std::max(std::sqrt(energy), 1e-30));
    ALCOVE_ASSIGN_OR_RETURN(const auto blocks, ChooseBlocks(parameters_, unit, *clusters, identity_.group_secret()));
    request.mutable_blocks()->Add(blocks.begin(), blocks.end());
  }
  named_blocks_.assign(request.blocks().begin(), request.blocks().end());
  const size_t expected =
      request.blocks().empty() ? parameters_.layout().blocks() : static_cast<size_t>(request.blocks_size());
  steps_.push_back({"query encrypted", watch.Lap(), 0, 0});

  const auto stub = Service::NewStub(client_.channel());
  size_t received = 0;
  std::vector<pb::SearchResponse> replies;
  ALCOVE_RETURN_IF_ERROR(
      client_.Stream(*stub, &Service::Stub::Search, request, [&](pb::SearchResponse&& reply) -> absl::Status {
        received += reply.ByteSizeLong();
        replies.push_back(std::move(reply));
        Say(absl::StrCat("block ", replies.size(), " of ", expected, " received"));
        return absl::OkStatus();
      }));
  steps_.push_back({"scores computed on ciphertext", watch.Lap(), request.ByteSizeLong(), received});

  Say("decrypting");
  if (replies.size() != expected) {
    return absl::DataLossError(absl::StrCat("the server answered ", replies.size(), " blocks of ", expected));
  }
  std::vector<PrivateHit> all;
  for (const pb::SearchResponse& reply : replies) {
    if (reply.block() >= parameters_.layout().blocks() || reply.rows() > layout.rows_per_block() ||
        static_cast<uint32_t>(reply.ids_size()) != reply.rows()) {
      return absl::DataLossError("the server answered a block of another shape than it announced");
    }
    ALCOVE_ASSIGN_OR_RETURN(const auto coefficients, identity_.Decrypt(reply.scores()));
    const auto scores = fhe::DecodeScores(identity_.context(), coefficients, layout, reply.rows(), signs);
    for (uint32_t r = 0; r < reply.rows(); ++r) {
      PrivateHit hit;
      hit.row = uint64_t{reply.block()} * layout.rows_per_block() + r;
      hit.score = static_cast<double>(scores[r]) / (scale * parameters_.quantisation().row_scale());
      hit.id = reply.ids(static_cast<int>(r));
      all.push_back(std::move(hit));
    }
  }
  limit = std::min(limit, all.size());
  std::partial_sort(
      all.begin(), all.begin() + static_cast<ptrdiff_t>(limit), all.end(),
      [](const PrivateHit& a, const PrivateHit& b) { return a.score != b.score ? a.score > b.score : a.id < b.id; });
  all.resize(limit);
  steps_.push_back({"decrypted and ranked", watch.Lap(), 0, 0});
  return all;
}

absl::Status PrivateSession::Rescore(const std::vector<float>& vector, std::vector<PrivateHit>& hits) {
  ALCOVE_RETURN_IF_ERROR(FetchRecords(parameters_.vectors(), true, hits));
  const bool cosine = parameters_.quantisation().normalise();
  for (PrivateHit& hit : hits) {
    const std::string bytes = std::exchange(hit.document, {});
    float unit = 0;
    if (bytes.size() != sizeof unit + vector.size() * sizeof(int16_t)) {
      return absl::DataLossError("the server answered a vector of another length");
    }
    std::memcpy(&unit, bytes.data(), sizeof unit);
    double dot = 0, query = 0, row = 0;
    for (size_t d = 0; d < vector.size(); ++d) {
      int16_t number = 0;
      std::memcpy(&number, bytes.data() + sizeof unit + d * sizeof number, sizeof number);
      const double v = static_cast<double>(number) * static_cast<double>(unit), q = static_cast<double>(vector[d]);
      dot += q * v;
      query += q * q;
      row += v * v;
    }
    hit.score = cosine ? dot / std::sqrt(std::max(query * row, 1e-60)) : dot;
  }
  std::sort(hits.begin(), hits.end(), [](const PrivateHit& a, const PrivateHit& b) {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
  });
  return absl::OkStatus();
}

absl::Status PrivateSession::FetchDocuments(std::vector<PrivateHit>& hits) {
  if (hits.empty()) return absl::OkStatus();
  const std::string before = parameters_.sequence();
  ALCOVE_RETURN_IF_ERROR(FetchParameters(parameters_.collection(), vector_name_, {.documents = true}));
  if (parameters_.sequence() != before) {
    // Rows may stand elsewhere now; ids do not change.
    ALCOVE_ASSIGN_OR_RETURN(auto found, Lookup(parameters_.collection(), vector_name_, [&] {
                              std::vector<std::string> ids;
                              for (const PrivateHit& hit : hits) ids.push_back(hit.id);
                              return ids;
                            }()));
    for (size_t i = 0; i < hits.size(); ++i) {
      hits[i].document = std::move(found[i].document);
      hits[i].cut = found[i].cut;
    }
    return absl::OkStatus();
  }
  return FetchRecords(parameters_.documents(), false, hits);
}

absl::Status PrivateSession::FetchRecords(const pb::RecordLayout& documents, bool vectors,
                                          std::vector<PrivateHit>& hits) {
  if (hits.empty()) return absl::OkStatus();
  const uint64_t t = parameters_.set().plain_modulus();
  const uint32_t part_selectors =
      documents.parts_size() > 0 ? std::max<uint32_t>(1, documents.parts(0).selectors()) : 1;
  ALCOVE_ASSIGN_OR_RETURN(const auto layout,
                          private_search::RecordLayout::Make(parameters_.set().poly_modulus_degree(), part_selectors,
                                                             documents.record_bytes(), documents.records()));
  ALCOVE_ASSIGN_OR_RETURN(const auto signs, fhe::SignPattern::FromBytes(documents.signs(), layout.degree()));
  if (layout.parts() != static_cast<uint32_t>(documents.parts_size())) {
    return absl::DataLossError("the server described its documents in a way that does not add up");
  }
  Stopwatch watch;
  const size_t batch = std::max<uint32_t>(1, parameters_.max_queries());
  const auto stub = Service::NewStub(client_.channel());
  size_t sent = 0, received = 0;
  for (size_t begin = 0; begin < hits.size(); begin += batch) {
    const size_t end = std::min(hits.size(), begin + batch);
    Say(absl::StrCat("fetching ", vectors ? "vectors " : "documents ", begin + 1, " to ", end, " of ", hits.size()));
    pb::LookupRequest request;
    request.set_key_id(identity_.key_id());
    request.set_collection(parameters_.collection());
    request.set_vector_name(vector_name_);
    request.set_sequence(parameters_.sequence());
    request.set_vectors(vectors);
    request.set_compression(pb::REPLY_COMPRESSION_ZSTD);
    for (size_t i = begin; i < end; ++i) {
      if (hits[i].row >= layout.records()) return absl::InternalError("a row without a document");
      request.mutable_query()->append(identity_.Encrypt(layout.PackQuery(fhe::Modulus(t), hits[i].row)));
    }
    std::vector<std::vector<std::vector<uint64_t>>> pieces(end - begin,
                                                           std::vector<std::vector<uint64_t>>(layout.pieces()));
    ALCOVE_RETURN_IF_ERROR(
        client_.Stream(*stub, &Service::Stub::Lookup, request, [&](pb::LookupResponse&& reply) -> absl::Status {
          received += reply.ByteSizeLong();
          if (reply.query() >= pieces.size() || reply.block() >= layout.pieces()) {
            return absl::DataLossError("the server answered what was not asked");
          }
          ALCOVE_ASSIGN_OR_RETURN(pieces[reply.query()][reply.block()], identity_.Decrypt(reply.data()));
          return absl::OkStatus();
        }));
    sent += request.ByteSizeLong();
    for (size_t i = begin; i < end; ++i) {
      ALCOVE_ASSIGN_OR_RETURN(auto document, layout.Unpack(t, hits[i].row, pieces[i - begin], signs));
      hits[i].document = std::move(document.text);
      hits[i].cut = document.cut;
    }
  }
  steps_.push_back(
      {vectors ? "vectors fetched privately" : "documents fetched privately", watch.Lap(), sent, received});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PrivateHit>> PrivateSession::Lookup(const std::string& collection,
                                                               const std::string& vector_name,
                                                               const std::vector<std::string>& ids) {
  ALCOVE_RETURN_IF_ERROR(FetchParameters(collection, vector_name, {}));
  Say("listing rows");
  Stopwatch watch;
  pb::ListRowsRequest request;
  request.set_collection(collection);
  request.set_vector_name(vector_name);
  request.set_parameter_set(identity_.set_name());
  request.set_sequence(parameters_.sequence());
  absl::flat_hash_map<std::string, uint64_t> rows;
  for (const std::string& id : ids) rows[id] = UINT64_MAX;
  size_t received = 0;
  const auto stub = Service::NewStub(client_.channel());
  // All ids come, and the wanted ones are picked out here: asking for them would tell which.
  ALCOVE_RETURN_IF_ERROR(
      client_.Stream(*stub, &Service::Stub::ListRows, request, [&](pb::ListRowsResponse&& reply) -> absl::Status {
        received += reply.ByteSizeLong();
        for (int i = 0; i < reply.ids_size(); ++i) {
          const auto it = rows.find(reply.ids(i));
          if (it != rows.end()) it->second = reply.first_row() + static_cast<uint64_t>(i);
        }
        return absl::OkStatus();
      }));
  steps_.push_back({"row numbers", watch.Lap(), request.ByteSizeLong(), received});
  std::vector<PrivateHit> hits;
  for (const std::string& id : ids) {
    if (rows[id] == UINT64_MAX) return NotFound("document", id);
    PrivateHit& hit = hits.emplace_back();
    hit.id = id;
    hit.row = rows[id];
  }
  const std::string before = parameters_.sequence();
  ALCOVE_RETURN_IF_ERROR(FetchParameters(collection, vector_name, {.documents = true}));
  if (parameters_.sequence() != before) return absl::AbortedError("the collection is changing; try again");
  ALCOVE_RETURN_IF_ERROR(FetchRecords(parameters_.documents(), false, hits));
  return hits;
}

absl::StatusOr<std::vector<PrivateSession::ClassScore>> PrivateSession::Score(const std::string& classifier,
                                                                              const std::vector<float>& vector) {
  const auto stub = Service::NewStub(client_.channel());
  Stopwatch watch;
  pb::GetClassifierRequest ask;
  ask.set_name(classifier);
  ask.set_parameter_set(identity_.set_name());
  ALCOVE_ASSIGN_OR_RETURN(const auto described, client_.Call(*stub, &Service::Stub::GetClassifier, ask));
  steps_.push_back({"parameters", watch.Lap(), ask.ByteSizeLong(), described.ByteSizeLong()});
  ALCOVE_ASSIGN_OR_RETURN(const auto layout, LayoutFrom(identity_.context(), described.layout()));
  ALCOVE_ASSIGN_OR_RETURN(const auto signs,
                          fhe::SignPattern::FromBytes(described.layout().signs(), identity_.context().degree()));
  if (vector.size() != layout.dimensions()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the vector has ", vector.size(), " numbers; the classifier has ", layout.dimensions()));
  }
  if (described.labels_size() != described.biases_size() ||
      static_cast<uint32_t>(described.labels_size()) > layout.rows_per_block()) {
    return absl::DataLossError("the server described a classifier that does not add up");
  }
  const uint64_t t = identity_.context().parameters().plain_modulus;
  double scale = 1;
  ALCOVE_ASSIGN_OR_RETURN(const auto numbers, Quantise(described.quantisation(), t, vector, &scale));
  ALCOVE_ASSIGN_OR_RETURN(const auto packed, fhe::EncodeQuery(identity_.context(), layout, numbers));
  pb::ScoreRequest request;
  request.set_key_id(identity_.key_id());
  request.set_classifier(classifier);
  request.set_revision(described.revision());
  request.set_query(identity_.Encrypt(packed));
  request.set_compression(pb::REPLY_COMPRESSION_ZSTD);
  steps_.push_back({"vector encrypted", watch.Lap(), 0, 0});
  ALCOVE_ASSIGN_OR_RETURN(const auto reply, client_.Call(*stub, &Service::Stub::Score, request));
  steps_.push_back({"scores computed on ciphertext", watch.Lap(), request.ByteSizeLong(), reply.ByteSizeLong()});
  ALCOVE_ASSIGN_OR_RETURN(const auto coefficients, identity_.Decrypt(reply.scores()));
  const auto scores =
      fhe::DecodeScores(identity_.context(), coefficients, layout, static_cast<size_t>(described.labels_size()), signs);
  std::vector<ClassScore> out;
  for (int k = 0; k < described.labels_size(); ++k) {
    out.push_back({described.labels(k), static_cast<double>(scores[static_cast<size_t>(k)]) /
                                                (scale * described.quantisation().row_scale()) +
                                            static_cast<double>(described.biases(k))});
  }
  std::stable_sort(out.begin(), out.end(), [](const ClassScore& a, const ClassScore& b) { return a.score > b.score; });
  steps_.push_back({"decrypted", watch.Lap(), 0, 0});
  return out;
}

}  // namespace alcove::ctl
