#include "services/fhe-proxy/convert.h"

#include <cmath>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/util/time_util.h>

#include "libs/common/status.h"
#include "libs/fhe/fault.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe_proxy {
namespace {

constexpr size_t kNeighbours = 32;

google::protobuf::Timestamp Timestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

}  // namespace

void ToProto(const ParameterSet& set, size_t max_key_bytes, private_search::v1::ParameterSet* out) {
  const fhe::EncryptionParameters& p = set.parameters;
  out->set_name(set.name);
  out->set_scheme("bfv");
  out->set_poly_modulus_degree(static_cast<uint32_t>(p.degree));
  for (uint64_t prime : p.primes) out->add_coeff_modulus(prime);
  out->set_plain_modulus(p.plain_modulus);
  out->set_security_bits(static_cast<uint32_t>(set.security_bits));
  // Stamped 3.6, which every SEAL from 3.6 to 4.4 loads.
  out->set_seal_parameters(fhe::WriteParameters(p, {{3, 6}, fhe::Compression::kNone}));
  const fhe::ParmsId id = p.KeyId();
  out->set_parms_id(id.data(), id.size());
  for (uint32_t element : set.galois_elements) out->add_galois_elements(element);
  out->set_max_key_bytes(static_cast<int64_t>(max_key_bytes));
  out->set_purpose(set.purpose);
  out->set_quantum_128(set.quantum_128);
  out->set_total_modulus_bits(static_cast<uint32_t>(p.TotalBits()));
  out->set_max_dimensions(set.max_dimensions);
  out->set_key_bytes(static_cast<int64_t>(set.KeyBytes()));
  out->set_query_bytes(static_cast<int64_t>(set.QueryBytes()));
  out->set_reply_bytes(static_cast<int64_t>(set.ReplyBytes()));
}

void ToProto(const KeyInfo& info, private_search::v1::EvaluationKeys* out) {
  out->set_key_id(info.key_id);
  out->set_parameter_set(info.parameter_set);
  out->set_seal_version(VersionText(info.version));
  out->set_stored_bytes(static_cast<int64_t>(info.stored_bytes));
  *out->mutable_created_at() = Timestamp(info.created_at);
  *out->mutable_last_used_at() = Timestamp(info.last_used_at);
  for (uint32_t element : info.galois_elements) out->add_galois_elements(element);
  out->set_has_relin_keys(info.has_relin_keys);
  out->set_label(info.label);
}

void ToProto(const fhe::Layout& layout, const fhe::SignPattern& signs, uint64_t blocks,
             private_search::v1::Layout* out) {
  out->set_signs(signs.bytes());
  out->set_dimension(static_cast<uint32_t>(layout.dimensions()));
  out->set_doublings(static_cast<uint32_t>(layout.levels()));
  out->set_chunk(static_cast<uint32_t>(layout.fold()));
  out->set_stride(static_cast<uint32_t>(layout.width()));
  for (const fhe::QueryPart& part : layout.parts()) {
    private_search::v1::QueryPart& to = *out->add_parts();
    to.set_first(static_cast<uint32_t>(part.first));
    to.set_numbers(static_cast<uint32_t>(part.numbers));
    to.set_selectors(static_cast<uint32_t>(part.polynomials));
    to.set_doublings(static_cast<uint32_t>(part.levels));
  }
  out->set_rows_per_block(static_cast<uint32_t>(layout.rows_per_block()));
  out->set_blocks(static_cast<uint32_t>(blocks));
}

void ToProto(const EncodedRecords& records, private_search::v1::RecordLayout* out) {
  const private_search::RecordLayout& layout = records.layout;
  out->set_signs(records.signs.bytes());
  out->set_records(layout.records());
  out->set_record_bytes(layout.record_bytes());
  out->set_per_selector(layout.per_selector());
  out->set_pieces(layout.pieces());
  out->set_selectors(layout.selectors());
  uint32_t first = 0;
  for (uint32_t part = 0; part < layout.parts(); ++part) {
    private_search::v1::QueryPart& to = *out->add_parts();
    to.set_first(first);
    to.set_numbers(layout.PartSelectors(part));
    to.set_selectors(layout.PartSelectors(part));
    to.set_doublings(layout.PartDoublings(part));
    first += layout.PartSelectors(part);
  }
}

void ToProto(const EncodedCollection& collection, private_search::v1::GetCollectionParametersResponse* out) {
  out->set_sequence(collection.sequence);
  ToProto(collection.layout(), collection.signs(), collection.blocks(), out->mutable_layout());
  private_search::v1::Quantisation& numbers = *out->mutable_quantisation();
  numbers.set_normalise(collection.info.metric == Metric::kCosine);
  numbers.set_row_scale(collection.row_scale);
  numbers.set_query_scale(collection.query_scale);
  numbers.set_max_row_norm(collection.max_row_norm);
  out->set_rows(collection.rows);
  out->set_memory_bytes(static_cast<int64_t>(collection.MemoryBytes()));
}

void ClustersToProto(const EncodedCollection& collection, private_search::v1::GetCollectionParametersResponse* out) {
  if (collection.clusters == nullptr) return;
  const Clusters& clusters = *collection.clusters;
  for (size_t c = 0; c < clusters.size(); ++c) {
    private_search::v1::Cluster& to = *out->add_clusters();
    for (const float v : clusters.centroid(c)) {
      // Means of numbers within ±127.
      to.mutable_centroid()->push_back(static_cast<char>(static_cast<int8_t>(std::lround(v))));
    }
    for (const uint32_t block : collection.cluster_blocks[c]) to.add_blocks(block);
    for (const uint32_t near : clusters.Neighbours(c, kNeighbours)) to.add_neighbours(near);
  }
}

void ToProto(const EncodedClassifier& classifier, private_search::v1::GetClassifierResponse* out) {
  out->set_revision(classifier.revision);
  ToProto(classifier.layout, classifier.signs, 1, out->mutable_layout());
  private_search::v1::Quantisation& numbers = *out->mutable_quantisation();
  numbers.set_row_scale(classifier.row_scale);
  numbers.set_query_scale(classifier.query_scale);
  numbers.set_max_row_norm(classifier.max_row_norm);
  for (const std::string& label : classifier.labels) out->add_labels(label);
  for (const float bias : classifier.biases) out->add_biases(bias);
}

Classifier FromProto(const private_search::v1::PutClassifierRequest& request) {
  Classifier out;
  out.name = request.name();
  out.dimension = request.dimension();
  for (const private_search::v1::ClassWeights& one : request.classes()) {
    out.labels.push_back(one.label());
    out.weights.insert(out.weights.end(), one.weights().begin(), one.weights().end());
    // A class of another length must not be made up for by the next one.
    if (static_cast<uint32_t>(one.weights_size()) != request.dimension()) out.dimension = 0;
    out.biases.push_back(one.bias());
  }
  return out;
}

fhe::Compression FromProto(private_search::v1::ReplyCompression compression) {
  switch (compression) {
    case private_search::v1::REPLY_COMPRESSION_ZLIB: return fhe::Compression::kZlib;
    case private_search::v1::REPLY_COMPRESSION_ZSTD: return fhe::Compression::kZstd;
    default: return fhe::Compression::kNone;
  }
}

std::string VersionText(fhe::SealVersion version) { return absl::StrCat(version.major, ".", version.minor); }

absl::Status WithFaultReason(absl::Status status) {
  const auto fault = fhe::FaultOf(status);
  if (!fault) return status;
  return WithReason(std::move(status), absl::StrCat("FHE_", absl::AsciiStrToUpper(fhe::FaultName(*fault))));
}

}  // namespace alcove::fhe_proxy
