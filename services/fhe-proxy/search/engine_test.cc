#include "services/fhe-proxy/search/engine.h"

#include <map>
#include <random>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/status.h"
#include "libs/fhe/client/client.h"
#include "libs/fhe/client/query.h"
#include "libs/fhe/fault.h"
#include "services/fhe-proxy/search/objects.h"

namespace alcove::fhe_proxy {
namespace {

// A client of one parameter set.
class Client {
 public:
  explicit Client(const ParameterSet& set) : set(set), secret(fhe::SecretKey::Generate(*set.context)) {
    keys.set = &set;
    keys.galois = fhe::MakeGaloisKeys(*set.context, secret, set.galois_elements);
    keys.expansion = std::make_shared<const fhe::ExpansionKeys>(
        fhe::ExpansionKeys::Prepare(*set.context, keys.galois, static_cast<int>(set.galois_elements.size())).value());
  }
  std::string Encrypt(const std::vector<std::vector<uint64_t>>& parts, fhe::SealVersion version = {4, 1}) const {
    std::string out;
    for (const auto& part : parts) {
      out +=
          fhe::WriteCiphertext(fhe::EncryptSymmetric(*set.context, secret, part), {version, fhe::Compression::kZlib});
    }
    return out;
  }
  std::vector<uint64_t> Decrypt(const std::string& reply, fhe::SealVersion version = {4, 1}) const {
    const auto read = fhe::ReadCiphertext(reply, set.parameters);
    EXPECT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->version, version) << "the reply is in the client's own version";
    const auto plain = fhe::Decrypt(*set.context, secret, read->object);
    EXPECT_TRUE(plain.ok()) << plain.status();
    EXPECT_GT(plain->noise_budget_bits, 0);
    return plain->coefficients;
  }

  const ParameterSet& set;
  fhe::SecretKey secret;
  EvaluationKeys keys;
};

const Client& SharedClient() {
  static const Client* const client = new Client(OfferedSets()[0]);
  return *client;
}

class EngineTest : public ::testing::Test {
 protected:
  std::vector<int32_t> Numbers(size_t count, int limit) {
    std::uniform_int_distribution<int> number(-limit, limit);
    std::vector<int32_t> out;
    for (size_t i = 0; i < count; ++i) out.push_back(number(rng_));
    return out;
  }
  std::shared_ptr<const EncodedCollection> Collection(const ParameterSet& set, uint32_t dimension, size_t rows) {
    RowTable table = RowTable::Create(set, dimension, {1, "seed"}).value();
    values_.clear();
    for (size_t r = 0; r < rows; ++r) {
      const auto numbers = Numbers(dimension, 20);
      values_.push_back(numbers);
      EXPECT_TRUE(table.Put(absl::StrCat("p", r), std::vector<float>(numbers.begin(), numbers.end())).ok());
    }
    return EncodeCollection({"c", dimension, Metric::kDot, 1, {1}}, table, nullptr, pool_).value();
  }
  std::string Fault(const absl::Status& status) {
    const auto fault = fhe::FaultOf(status);
    return fault ? std::string(fhe::FaultName(*fault)) : GetErrorDetails(status).reason;
  }

  std::mt19937 rng_{11};
  TaskPool pool_{1};
  RequestContext ctx_;
  std::vector<std::vector<int32_t>> values_;
};

TEST_F(EngineTest, EveryScoreOfEveryBlockAndQueryIsExact) {
  const Client& client = SharedClient();
  struct Case {
    uint32_t dimension;
    size_t rows;
  };
  for (const Case& c : {Case{64, 5000}, Case{64, 300}, Case{700, 100}, Case{3, 1}}) {
    const auto collection = Collection(client.set, c.dimension, c.rows);
    std::vector<std::vector<int32_t>> queries = {Numbers(c.dimension, 20), Numbers(c.dimension, 20)};
    std::string bytes;
    for (const auto& query : queries) {
      bytes += client.Encrypt(fhe::EncodeQuery(*client.set.context, collection->layout(), query).value(), {4, 3});
    }
    size_t replies = 0;
    const absl::Status status = SearchCollection(
        ctx_, client.keys, *collection, {.bytes = bytes, .max_queries = 4}, {}, pool_, [&](EncryptedReply reply) {
          const size_t first = reply.block * collection->layout().rows_per_block();
          const size_t rows = collection->layout().RowsOf(reply.block, collection->rows);
          const auto scores = fhe::DecodeScores(*client.set.context, client.Decrypt(reply.ciphertext, {4, 3}),
                                                collection->layout(), rows, collection->signs());
          for (size_t r = 0; r < rows; ++r) {
            int64_t want = 0;
            for (uint32_t d = 0; d < c.dimension; ++d) want += queries[reply.query][d] * values_[first + r][d];
            EXPECT_EQ(scores[r], want);
          }
          ++replies;
          return absl::OkStatus();
        });
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(replies, 2 * collection->blocks());
  }
}

TEST_F(EngineTest, EverySetAndVersionGetsExactScoresFromTrimmedReplies) {
  struct Case {
    size_t set;
    fhe::SealVersion version;
    fhe::Compression compression;
  };
  for (const Case& c : {Case{0, {4, 1}, fhe::Compression::kZlib}, Case{0, {4, 3}, fhe::Compression::kZstd},
                        Case{1, {3, 6}, fhe::Compression::kZlib}, Case{2, {4, 1}, fhe::Compression::kZstd}}) {
    const Client client(OfferedSets()[c.set]);
    const auto collection = Collection(client.set, 96, 3000);
    EXPECT_GT(collection->trim.first, 10) << client.set.name;
    const auto query = Numbers(96, 5);
    const std::string bytes =
        client.Encrypt(fhe::EncodeQuery(*client.set.context, collection->layout(), query).value(), c.version);
    std::map<fhe::Compression, std::string> replies;
    for (const auto compression : {fhe::Compression::kNone, c.compression}) {
      const auto status = SearchCollection(ctx_, client.keys, *collection, {.bytes = bytes, .compression = compression},
                                           {}, pool_, [&](EncryptedReply reply) {
                                             replies[compression] = std::move(reply.ciphertext);
                                             return absl::OkStatus();
                                           });
      ASSERT_TRUE(status.ok()) << status;
      const auto scores = fhe::DecodeScores(*client.set.context, client.Decrypt(replies[compression], c.version),
                                            collection->layout(), 3000, collection->signs());
      for (size_t r = 0; r < 3000; ++r) {
        int64_t want = 0;
        for (uint32_t d = 0; d < 96; ++d) want += query[d] * values_[r][d];
        ASSERT_EQ(scores[r], want) << client.set.name << " row " << r;
      }
    }
    EXPECT_LT(replies[c.compression].size(), replies[fhe::Compression::kNone].size() * 3 / 4) << client.set.name;
  }
}

TEST_F(EngineTest, ALookupBringsExactlyTheDocumentAskedForUnderEverySet) {
  // Bytes of a record, how many there are, and whether they fit the set's noise bound.
  struct Case {
    size_t set;
    uint32_t bytes;
    int records;
    bool fits;
  };
  for (const Case& c : {Case{0, 256, 9000, true}, Case{0, 5000, 40, true}, Case{1, 256, 9000, true},
                        Case{1, 5000, 40, true}, Case{2, 256, 700, true}, Case{2, 256, 9000, false}}) {
    const Client client(OfferedSets()[c.set]);
    const fhe::Modulus t(client.set.parameters.plain_modulus);
    std::vector<std::string> documents, records;
    for (int i = 0; i < c.records; ++i) {
      documents.push_back(absl::StrCat("document ", i, std::string(c.bytes / 2, static_cast<char>('a' + i % 26))));
      records.push_back(private_search::MakeRecord(documents.back(), c.bytes));
    }
    const auto layout = private_search::RecordLayout::Make(4096, 512, c.bytes, records.size());
    ASSERT_TRUE(layout.ok());
    EXPECT_EQ(layout->parts(), c.records == 9000 ? 2u : 1u);
    const auto encoded = EncodeRecords(
        client.set, "s", *layout, "seed", [&](uint64_t i) -> const std::string& { return records[i]; }, pool_);
    if (!c.fits) {
      EXPECT_EQ(Fault(encoded.status()), "NOISE_BOUND");
      continue;
    }
    ASSERT_TRUE(encoded.ok()) << encoded.status();
    const std::vector<uint64_t> wanted = {0, records.size() - 1};
    std::string query;
    for (const uint64_t i : wanted) query += client.Encrypt(layout->PackQuery(t, i));
    for (const auto compression : {fhe::Compression::kNone, fhe::Compression::kZstd}) {
      std::vector<std::vector<std::vector<uint64_t>>> pieces(2);
      const auto status =
          LookupRecords(ctx_, client.keys, **encoded, {.bytes = query, .max_queries = 2, .compression = compression},
                        pool_, [&](EncryptedReply reply) {
                          pieces[reply.query].push_back(client.Decrypt(reply.ciphertext));
                          return absl::OkStatus();
                        });
      ASSERT_TRUE(status.ok()) << status;
      for (size_t q = 0; q < 2; ++q) {
        const auto found = layout->Unpack(t.value(), wanted[q], pieces[q], (*encoded)->signs);
        ASSERT_TRUE(found.ok()) << client.set.name << " " << c.bytes << ": " << found.status();
        EXPECT_EQ(found->text, documents[wanted[q]]);
      }
    }
  }
}

TEST_F(EngineTest, NamesWhatIsWrongWithAQuery) {
  const Client& client = SharedClient();
  const auto collection = Collection(client.set, 16, 10);
  const auto packed = fhe::EncodeQuery(*client.set.context, collection->layout(), Numbers(16, 5)).value();
  const std::string good = client.Encrypt(packed);
  const auto never = [](EncryptedReply) {
    ADD_FAILURE() << "nothing may be answered";
    return absl::OkStatus();
  };
  const auto why = [&](absl::string_view bytes, std::vector<uint32_t> blocks = {}) {
    const absl::Status status =
        SearchCollection(ctx_, client.keys, *collection, {.bytes = bytes, .max_queries = 2}, blocks, pool_, never);
    EXPECT_FALSE(status.ok());
    return Fault(status);
  };
  EXPECT_EQ(why(absl::string_view(good).substr(0, good.size() - 5)), "truncated");
  EXPECT_EQ(why(absl::string_view(good).substr(0, 7)), "truncated");
  EXPECT_EQ(why("this is certainly no ciphertext"), "bad_magic");
  EXPECT_EQ(why(""), "");
  EXPECT_EQ(why(good + good + good), "TOO_MANY_QUERIES");
  EXPECT_EQ(why(good, {1}), "");
  EXPECT_EQ(why(good + client.Encrypt(packed, {4, 3})), "mixed_versions");
  const Client other(OfferedSets()[1]);
  EXPECT_EQ(why(other.Encrypt(packed)), "parms_id_mismatch");
  auto parameters = client.set.parameters;
  fhe::Ciphertext transparent = fhe::EncryptSymmetric(*client.set.context, client.secret, packed[0]);
  fhe::ExpandSeed(transparent, parameters);
  auto out_of_range = transparent;
  out_of_range.words[3] = parameters.primes[0];
  EXPECT_EQ(why(fhe::WriteCiphertext(out_of_range, {{4, 1}, fhe::Compression::kNone})), "residue_out_of_range");
  std::fill(transparent.words.begin() + 4096, transparent.words.end(), 0);
  EXPECT_EQ(why(fhe::WriteCiphertext(transparent, {{4, 1}, fhe::Compression::kNone})), "transparent");
  const absl::Status keys =
      SearchCollection(ctx_, other.keys, *collection, {.bytes = good, .max_queries = 2}, {}, pool_, never);
  EXPECT_EQ(Fault(keys), "parms_id_mismatch");
}

TEST_F(EngineTest, StopsWhenTheCallerHasGone) {
  const Client& client = SharedClient();
  const auto collection = Collection(client.set, 16, 20'000);
  const std::string query =
      client.Encrypt(fhe::EncodeQuery(*client.set.context, collection->layout(), Numbers(16, 5)).value());
  CancellationSource gone;
  int replies = 0;
  const auto status = SearchCollection(ctx_.WithCancellation(gone.token()), client.keys, *collection, {.bytes = query},
                                       {}, pool_, [&](EncryptedReply) {
                                         ++replies;
                                         gone.Cancel();
                                         return absl::OkStatus();
                                       });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_LT(replies, 5);
}

TEST(ObjectsTest, SplitsByTheSizesInTheHeaders) {
  const Client& client = SharedClient();
  const std::string a = client.Encrypt({{1}}), b = client.Encrypt({{2}});
  const std::string both = a + b;
  const auto split = SplitObjects(both, 2);
  ASSERT_TRUE(split.ok());
  EXPECT_THAT(*split, ::testing::ElementsAre(a, b));
  EXPECT_FALSE(SplitObjects(both, 1).ok());
}

}  // namespace
}  // namespace alcove::fhe_proxy
