#include <random>

#include <gtest/gtest.h>

#include "libs/fhe/client/client.h"
#include "libs/fhe/client/query.h"
#include "libs/fhe/poly/isa.h"
#include "libs/fhe/search/database.h"
#include "libs/fhe/search/expand.h"
#include "libs/fhe/search/noise.h"
#include "libs/fhe/search/score.h"

namespace alcove::fhe {
namespace {

const Context& S50() {
  static const auto context = *Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, {50, 59}), 417793});
  return *context;
}

std::vector<uint32_t> Elements(int levels) {
  std::vector<uint32_t> out;
  for (int j = 0; j < levels; ++j) out.push_back(ExpansionElement(4096, j));
  return out;
}

TEST(ExpandTest, EachCiphertextHoldsOneCoefficientAsAConstant) {
  const SecretKey secret = SecretKey::Generate(S50());
  const std::vector<int32_t> query = {7, -3, 0, 1000, -1000, 5};
  const int levels = ExpansionLevels(query.size());
  EXPECT_EQ(levels, 3);
  const GaloisKeys keys = MakeGaloisKeys(S50(), secret, Elements(levels));
  const auto prepared = ExpansionKeys::Prepare(S50(), keys, levels);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const Ciphertext encrypted = EncryptSymmetric(S50(), secret, *EncodeQuery(S50(), query));
  const auto expanded = Expand(S50(), *FromWire(S50(), encrypted), *prepared, query.size());
  ASSERT_EQ(expanded.size(), query.size());
  for (size_t d = 0; d < query.size(); ++d) {
    const auto plain = Decrypt(S50(), secret, ToWire(S50(), ToCoeff(S50(), expanded[d])));
    std::vector<int64_t> want(4096);
    want[0] = query[d];
    EXPECT_EQ(DecodeScores(S50(), plain->coefficients, 4096), want) << d;
  }
}

TEST(ExpandTest, AMissingKeyIsNamed) {
  const SecretKey secret = SecretKey::Generate(S50());
  const GaloisKeys keys = MakeGaloisKeys(S50(), secret, Elements(2));
  EXPECT_FALSE(ExpansionKeys::Prepare(S50(), keys, 3).ok());
}

TEST(ExpansionLevelsTest, IsTheCeilingOfTheLogarithm) {
  EXPECT_EQ(ExpansionLevels(1), 0);
  EXPECT_EQ(ExpansionLevels(2), 1);
  EXPECT_EQ(ExpansionLevels(3), 2);
  EXPECT_EQ(ExpansionLevels(384), 9);
  EXPECT_EQ(ExpansionLevels(512), 9);
  EXPECT_EQ(ExpansionElement(4096, 8), 17u);
}

TEST(MacTest, EveryKernelEqualsTheScalarOneAtTheExtremes) {
  std::vector<std::pair<const char*, const MacKernels*>> kernels = {{"emulated ifma", &kMacEmulatedIfma}};
  if (BestIsa() >= Isa::kAvx2) kernels.emplace_back("avx2", &kMacAvx2);
  if (BestIsa() >= Isa::kAvx512) kernels.emplace_back("avx512", &kMacAvx512);
  if (BestIsa() >= Isa::kAvx512Ifma) kernels.emplace_back("ifma", &kMacAvx512Ifma);
  const Modulus q(0x3ffffffffc001);
  const uint64_t r52 = q.Reduce(uint64_t{1} << 52);
  const uint64_t r104 = q.Mul(r52, r52);
  const MacModulus modulus = {
      q.value(), r52, q.ShoupQuotient(r52, 52), r104, q.ShoupQuotient(r104, 52), (uint64_t{1} << 52) / q.value()};
  const uint64_t top = (uint64_t{1} << 50) - 1;
  for (size_t terms : {size_t{1}, size_t{7}, kMaxMacTerms}) {
    for (int extreme = 0; extreme < 2; ++extreme) {
      std::mt19937_64 rng(terms);
      Words database(kMacBlocks * terms * kTile), query(2 * terms * kTile);
      for (uint64_t& w : database) w = extreme ? top : rng() & top;
      for (uint64_t& w : query) w = extreme ? top : rng() & top;
      unsigned __int128 sums[kMacBlocks][2][kTile] = {};
      for (size_t d = 0; d < terms; ++d) {
        for (size_t i = 0; i < kTile; ++i) {
          for (size_t b = 0; b < kMacBlocks; ++b) {
            for (size_t p = 0; p < 2; ++p) {
              sums[b][p][i] += static_cast<unsigned __int128>(database[(b * terms + d) * kTile + i]) *
                               query[(d * 2 + p) * kTile + i];
            }
          }
        }
      }
      kernels.emplace_back("scalar", &kMacScalar);
      for (const auto& [name, mac] : kernels) {
        for (size_t together = 1; together <= kMacBlocks; ++together) {
          Words acc(kMacBlocks * kMacWords);
          const uint64_t* blocks[kMacBlocks];
          const uint64_t* rest[kMacBlocks];
          uint64_t* to[kMacBlocks];
          const size_t head = terms / 3;
          for (size_t b = 0; b < kMacBlocks; ++b) {
            blocks[b] = database.data() + b * terms * kTile;
            rest[b] = blocks[b] + head * kTile;
            to[b] = acc.data() + b * kMacWords;
          }
          // In two pieces, as the job calls it: all blocks with the second piece fetched ahead, then `together` of them
          // and the others one by one.
          mac->accumulate(blocks, kMacBlocks, query.data(), head, to,
                          {{rest[0], rest[1], rest[2], rest[3]}, kMacBlocks, terms - head});
          mac->accumulate(rest, together, query.data() + head * 2 * kTile, terms - head, to, {});
          for (size_t b = together; b < kMacBlocks; ++b) {
            mac->accumulate(rest + b, 1, query.data() + head * 2 * kTile, terms - head, to + b, {});
          }
          for (size_t b = 0; b < kMacBlocks; ++b) {
            alignas(64) uint64_t got[2][kTile];
            mac->reduce(to[b], modulus, got[0], got[1]);
            for (size_t p = 0; p < 2; ++p) {
              for (size_t i = 0; i < kTile; ++i) {
                ASSERT_EQ(got[p][i], q.Reduce128(sums[b][p][i])) << name << ", block " << b << " at " << i;
              }
            }
          }
        }
      }
      kernels.pop_back();
    }
  }
}

TEST(LayoutTest, EveryRowHasACoefficientOfItsOwnThatNoOtherProductReaches) {
  for (size_t dimensions : {1, 5, 300, 384, 512, 1000}) {
    for (int levels = 0; levels <= ExpansionLevels(dimensions); ++levels) {
      const auto layout = Layout::Create(4096, dimensions, levels);
      ASSERT_TRUE(layout.ok());
      const size_t width = size_t{1} << levels;
      ASSERT_GE(layout->rows_per_block(), 1u);
      std::vector<int> owner(4096, -1);
      for (size_t r = 0; r < layout->rows_per_block(); ++r) {
        ASSERT_LT(layout->Position(r), 4096u);
        ASSERT_EQ(owner[layout->Position(r)], -1);
        owner[layout->Position(r)] = static_cast<int>(r);
      }
      for (size_t r = 0; r < layout->rows_per_block(); ++r) {
        for (size_t delta = 1; delta < layout->fold(); ++delta) {
          ASSERT_EQ(owner[(layout->Position(r) + delta * width) % 4096], -1) << dimensions << " " << levels;
          ASSERT_EQ(owner[(layout->Position(r) + 4096 - delta * width) % 4096], -1) << dimensions << " " << levels;
        }
      }
    }
  }
  EXPECT_EQ(Layout::Full(4096, 384)->rows_per_block(), 4096u);
  EXPECT_EQ(Layout::Create(4096, 384, 7)->rows_per_block(), 1280u);
  EXPECT_FALSE(Layout::Create(4096, 0, 0).ok());
  EXPECT_FALSE(Layout::Create(4096, 384, 10).ok());
  EXPECT_FALSE(Layout::Create(4096, 5000, 9).ok());
  EXPECT_FALSE(Layout::Create(4095, 16, 2).ok());
  EXPECT_FALSE(Layout::Create(4096, 16, -1).ok());
  EXPECT_FALSE(Layout::Create(4096, 16, 2, 0).ok());
  EXPECT_FALSE(Layout::Create(4096, 16, 2, 5).ok()) << "more than a part needs";
  EXPECT_FALSE(Layout::Full(4096, 0).ok());
}

TEST(LayoutTest, AQueryThatExpandsNoFurtherIsCutIntoParts) {
  const auto parts = [](size_t dimensions, size_t rows) {
    return Layout::ForRows(4096, dimensions, rows, 1, 9)->parts();
  };
  EXPECT_EQ(parts(512, 100'000).size(), 1u);
  ASSERT_EQ(parts(1300, 100'000).size(), 3u);
  EXPECT_EQ(parts(1300, 100'000)[2], (QueryPart{1024, 276, 276, 9}));
  ASSERT_EQ(parts(1300, 1000).size(), 3u) << "fewer doublings, but no more ciphertexts";
  EXPECT_EQ(parts(1300, 1000)[0], (QueryPart{0, 512, 128, 7}));
  EXPECT_EQ(parts(1030, 1000)[2], (QueryPart{1024, 6, 6, 3}));
  EXPECT_EQ(Layout::ForRows(4096, 1300, 1000, 1, 9)->rows_per_block(), 1024u);
  EXPECT_EQ(Layout::ForRows(4096, 1300, 5000, 1, 9)->rows_per_block(), 4096u);
  EXPECT_FALSE(Layout::ForRows(4096, 1300, 5000, 1, -1).ok());
}

TEST(LayoutTest, SmallCollectionsFoldAndLargeOnesDoNot) {
  EXPECT_GT(Layout::ForRows(4096, 384, 10000, 16)->fold(), 1u);
  EXPECT_LE(Layout::ForRows(4096, 384, 10000, 16)->Blocks(10000), 16u);
  EXPECT_EQ(Layout::ForRows(4096, 384, 1000000, 300)->fold(), 1u);
  EXPECT_EQ(Layout::ForRows(4096, 384, 10000, 3)->fold(), 1u);
  const auto polynomials = [](size_t dimensions, size_t rows) {
    return Layout::ForRows(4096, dimensions, rows, 1, 9)->polynomials();
  };
  EXPECT_EQ(polynomials(384, 100'000), 384u);
  EXPECT_EQ(polynomials(384, 2048), 256u);
  EXPECT_EQ(polynomials(384, 1200), 128u);
  EXPECT_EQ(polynomials(384, 8), 1u);
  EXPECT_EQ(Layout::ForRows(4096, 384, 0, 1, 9)->Blocks(0), 0u);
}

// The whole path at full width, with the largest numbers the quantisation can give.
struct Set {
  std::vector<int> bits;
  uint64_t plain_modulus;
  int scale;
};

class SearchTest : public ::testing::TestWithParam<Set> {};

TEST_P(SearchTest, DecryptedScoresAreExactInnerProducts) {
  const int scale = GetParam().scale;
  const auto owned =
      *Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, GetParam().bits), GetParam().plain_modulus});
  const Context& context = *owned;
  constexpr size_t kDimensions = 384;
  constexpr size_t kRows[] = {4096, 100};
  std::mt19937_64 rng(5);
  const auto unit = [&] {
    std::normal_distribution<float> normal;
    std::vector<float> v(kDimensions);
    double norm = 0;
    for (float& x : v) {
      x = normal(rng);
      norm += x * x;
    }
    for (float& x : v) x /= static_cast<float>(std::sqrt(norm));
    return v;
  };
  const std::vector<int32_t> query = *Quantise(unit(), scale, scale);
  std::vector<Block> blocks;
  std::vector<std::vector<int64_t>> want;
  for (size_t rows : kRows) {
    std::vector<int8_t> values;
    std::vector<int64_t> scores;
    for (size_t r = 0; r < rows; ++r) {
      const auto row = *Quantise(unit(), scale, 127);
      int64_t score = 0;
      for (size_t d = 0; d < kDimensions; ++d) score += int64_t{row[d]} * query[d];
      scores.push_back(score);
      values.insert(values.end(), row.begin(), row.end());
    }
    want.push_back(scores);
    auto block = Block::Encode(context, *Layout::Full(4096, kDimensions), values, rows);
    ASSERT_TRUE(block.ok()) << block.status();
    blocks.push_back(*std::move(block));
  }
  const SecretKey secret = SecretKey::Generate(context);
  const auto keys = ExpansionKeys::Prepare(context, MakeGaloisKeys(context, secret, Elements(9)), 9);
  const Ciphertext encrypted = EncryptSymmetric(context, secret, *EncodeQuery(context, query));
  const ScoringQuery expanded(context, Expand(context, *FromWire(context, encrypted), *keys, kDimensions));
  const auto replies = Score(context, expanded, {&blocks[0], &blocks[1]});
  const auto scalar = Score(context, expanded, {&blocks[0], &blocks[1]}, kMacScalar);
  EXPECT_EQ(replies, scalar);
  const ScoringQuery other(
      context, Expand(context, *FromWire(context, EncryptSymmetric(context, secret, {1})), *keys, kDimensions));
  const auto batch = ScoreBatch(context, {&other, &expanded}, {&blocks[0], &blocks[1]});
  EXPECT_EQ(batch[1], replies);
  EXPECT_EQ(batch[0], Score(context, other, {&blocks[0], &blocks[1]}));
  // More blocks than are scored side by side.
  const std::vector<const Block*> many = {&blocks[0], &blocks[1], &blocks[1], &blocks[0], &blocks[1], &blocks[0]};
  const auto long_batch = ScoreBatch(context, {&expanded, &other, &expanded}, many);
  for (size_t k = 0; k < 3; ++k) {
    for (size_t b = 0; b < many.size(); ++b) {
      EXPECT_EQ(long_batch[k][b], batch[k == 1 ? 0 : 1][many[b] == &blocks[0] ? 0 : 1]);
    }
  }
  for (size_t b = 0; b < 2; ++b) {
    const auto plain = Decrypt(context, secret, ToWire(context, replies[b]));
    EXPECT_EQ(DecodeScores(context, plain->coefficients, kRows[b]), want[b]);
    if (b == 0) {
      // The largest of 4,096 Gaussian samples lies between three and six deviations.
      const SearchNoise noise = BoundSearchNoise(context.parameters(), kDimensions, double(scale) * scale);
      const double largest_bits = noise.limit_bits - plain->noise_budget_bits;
      EXPECT_NEAR(largest_bits, noise.sigma_bits + 2, 0.7);
      EXPECT_GT(plain->noise_budget_bits, 1.5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, SearchTest,
                         ::testing::Values(Set{{50, 59}, 417793, 450}, Set{{50, 50}, 65537, 180},
                                           Set{{50, 50}, 417793, 450}));

TEST_P(SearchTest, RowsThatAreAllAlikeMakeNoMoreNoiseThanTheBoundSays) {
  const auto context =
      *Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, GetParam().bits), GetParam().plain_modulus});
  constexpr size_t kDimensions = 384;
  const double energy = double(GetParam().scale) * GetParam().scale;
  const auto layout = Layout::Full(4096, kDimensions);
  auto database = *Database::Create(context, {*layout, energy, SignPattern::FromSeed("a collection", 4096)});
  const std::vector<int8_t> row(kDimensions, static_cast<int8_t>(std::sqrt(energy / kDimensions)));
  for (size_t r = 0; r < 4096; ++r) ASSERT_TRUE(database->Set(r, row).ok());
  ASSERT_TRUE(database->Commit(1).ok());
  std::vector<int32_t> query(kDimensions);
  for (size_t d = 0; d < kDimensions; ++d) query[d] = static_cast<int32_t>(d % 5) - 1;
  int64_t want = 0;
  for (size_t d = 0; d < kDimensions; ++d) want += int64_t{row[d]} * query[d];
  const SearchNoise noise = BoundSearchNoise(context->parameters(), *layout, energy);
  // Several keys: what such rows used to depend on was the key. Alike rows have alike noise, so the largest of one
  // key's says less than the mean.
  double largest_bits = 0;
  constexpr int kKeys = 4;
  for (int key = 0; key < kKeys; ++key) {
    const SecretKey secret = SecretKey::Generate(*context);
    const auto keys = ExpansionKeys::Prepare(*context, MakeGaloisKeys(*context, secret, Elements(9)), 9);
    const auto encrypted = EncryptSymmetric(*context, secret, (*EncodeQuery(*context, *layout, query))[0]);
    const ScoringQuery scoring(*context, *FromWire(*context, encrypted), *keys, *layout);
    const auto snapshot = database->snapshot();
    const auto replies = Score(*context, scoring, snapshot->Pointers());
    const auto plain = Decrypt(*context, secret, ToWire(*context, replies[0]));
    EXPECT_EQ(DecodeScores(*context, plain->coefficients, *layout, 4096, snapshot->signs),
              std::vector<int64_t>(4096, want));
    largest_bits += (noise.limit_bits - plain->noise_budget_bits) / kKeys;
  }
  EXPECT_NEAR(largest_bits, noise.sigma_bits + 1.7, 0.8);
}

const Context& Q50() {
  static const auto context = *Context::Create({Scheme::kBfv, 4096, *CreatePrimes(4096, {50, 50}), 417793});
  return *context;
}

std::shared_ptr<const Context> Unowned(const Context& context) { return {std::shared_ptr<const void>(), &context}; }

// Random rows, a database of them, a client: what the tests below share.
struct Party {
  explicit Party(const Layout& layout)
      : database(*Database::Create(Unowned(Q50()), {layout, 450.0 * 450.0})),
        secret(SecretKey::Generate(Q50())),
        keys(
            *ExpansionKeys::Prepare(Q50(), MakeGaloisKeys(Q50(), secret, Elements(layout.levels())), layout.levels())) {
    for (size_t d = 0; d < layout.dimensions(); ++d) query.push_back(static_cast<int32_t>(rng() % 61) - 30);
  }
  std::vector<int8_t> RandomRow() {
    std::vector<int8_t> row(database->options().layout.dimensions());
    for (int8_t& v : row) v = static_cast<int8_t>(static_cast<int>(rng() % 41) - 20);
    return row;
  }
  std::vector<CoeffCiphertext> Ask(const DatabaseSnapshot& snapshot) {
    ScoringQuery scoring(Q50(), snapshot.layout);
    const auto parts = *EncodeQuery(Q50(), snapshot.layout, query);
    for (size_t p = 0; p < parts.size(); ++p) {
      const auto encrypted = EncryptSymmetric(Q50(), secret, parts[p]);
      scoring.ExpandPart(Q50(), p, *FromWire(Q50(), encrypted), keys, snapshot.layout);
    }
    return Score(Q50(), scoring, snapshot.Pointers());
  }
  std::vector<int64_t> Scores(const DatabaseSnapshot& snapshot, const std::vector<CoeffCiphertext>& replies) {
    std::vector<int64_t> out;
    for (size_t b = 0; b < replies.size(); ++b) {
      const size_t rows =
          std::min(snapshot.layout.rows_per_block(), snapshot.rows - b * snapshot.layout.rows_per_block());
      const auto plain = Decrypt(Q50(), secret, ToWire(Q50(), replies[b]));
      const auto part = DecodeScores(Q50(), plain->coefficients, snapshot.layout, rows, snapshot.signs);
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }
  std::vector<int64_t> Want() const {
    std::vector<int64_t> out(database->rows());
    for (size_t r = 0; r < out.size(); ++r) {
      for (size_t d = 0; d < query.size(); ++d) out[r] += int64_t{database->Row(r)[d]} * query[d];
    }
    return out;
  }
  std::mt19937_64 rng{11};
  std::unique_ptr<Database> database;
  SecretKey secret;
  ExpansionKeys keys;
  std::vector<int32_t> query;
};

TEST(DatabaseTest, EveryLayoutGivesExactScoresAlsoAfterRowsChange) {
  // Dimensions that do and do not divide evenly; full, partial and no expansion.
  for (auto [dimensions, levels] : {std::pair(300, 9), {300, 6}, {40, 3}, {5, 0}}) {
    const auto layout = Layout::Create(4096, static_cast<size_t>(dimensions), levels);
    Party party(*layout);
    const size_t rows = layout->rows_per_block() + 5;
    for (size_t r = 0; r < rows; ++r) ASSERT_TRUE(party.database->Set(r, party.RandomRow()).ok());
    ASSERT_TRUE(party.database->Commit(7).ok());
    const auto first = party.database->snapshot();
    ASSERT_EQ(first->blocks.size(), 2u);
    EXPECT_EQ(first->sequence, 7u);
    const auto before = party.Want();
    EXPECT_EQ(party.Scores(*first, party.Ask(*first)), before) << dimensions << " " << levels;

    ASSERT_TRUE(party.database->Clear(3).ok());
    ASSERT_TRUE(party.database->Set(1, party.RandomRow()).ok());
    ASSERT_TRUE(party.database->Commit(8).ok());
    const auto second = party.database->snapshot();
    EXPECT_EQ(second->blocks[1], first->blocks[1]) << "an unchanged block is not encoded again";
    EXPECT_EQ(party.Scores(*second, party.Ask(*second)), party.Want());
    EXPECT_EQ(party.Want()[3], 0);
    EXPECT_EQ(party.Scores(*first, party.Ask(*first)), before) << "a snapshot does not change";
    party.database->Truncate(rows - 5);
    ASSERT_TRUE(party.database->Commit(9).ok());
    EXPECT_EQ(party.database->snapshot()->blocks.size(), 1u);
  }
}

TEST(DatabaseTest, ALayoutOfSeveralPartsIsExactAndSurvivesAFile) {
  // A last part that expands less than the others, and one that does not.
  for (auto [dimensions, levels, fold] : {std::tuple(70, 4, 2), {70, 5, 1}, {100, 5, 2}, {10, 0, 3}}) {
    const auto layout = Layout::Create(4096, static_cast<size_t>(dimensions), levels, static_cast<size_t>(fold));
    ASSERT_TRUE(layout.ok()) << layout.status();
    ASSERT_GT(layout->parts().size(), 1u);
    Party party(*layout);
    const size_t rows = layout->rows_per_block() + 3;
    for (size_t r = 0; r < rows; ++r) ASSERT_TRUE(party.database->Set(r, party.RandomRow()).ok());
    ASSERT_TRUE(party.database->Commit(1).ok());
    const auto snapshot = party.database->snapshot();
    const auto replies = party.Ask(*snapshot);
    EXPECT_EQ(party.Scores(*snapshot, replies), party.Want()) << dimensions << " " << levels << " " << fold;
    const auto read = Database::Parse(Unowned(Q50()), *party.database->Serialise());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ((*read)->layout(), *layout);
    EXPECT_EQ(party.Scores(*(*read)->snapshot(), replies), party.Want());
  }
}

TEST(SignPatternTest, IsDrawnFromASeedAndComesBackFromBytes) {
  const SignPattern signs = SignPattern::FromSeed("x", 4096);
  EXPECT_EQ(signs, SignPattern::FromSeed("x", 4096));
  EXPECT_NE(signs, SignPattern::FromSeed("y", 4096));
  ASSERT_EQ(signs.bytes().size(), 512u);
  int negative = 0;
  for (size_t i = 0; i < 4096; ++i) negative += signs.Negative(i);
  EXPECT_NEAR(negative, 2048, 200);
  EXPECT_EQ(*SignPattern::FromBytes(signs.bytes(), 4096), signs);
  EXPECT_TRUE(SignPattern::FromBytes("", 4096)->empty());
  EXPECT_FALSE(SignPattern().Negative(5));
  EXPECT_FALSE(SignPattern::FromBytes("short", 4096).ok());
}

TEST(DatabaseTest, SignsChangeNoScoreAndSurviveAFile) {
  const auto layout = Layout::Create(4096, 40, 3);
  const SignPattern signs = SignPattern::FromSeed("signs", 4096);
  Party party(*layout);
  party.database = *Database::Create(Unowned(Q50()), {*layout, 450.0 * 450.0, signs});
  for (size_t r = 0; r < 700; ++r) ASSERT_TRUE(party.database->Set(r, party.RandomRow()).ok());
  ASSERT_TRUE(party.database->Commit(1).ok());
  const auto replies = party.Ask(*party.database->snapshot());
  EXPECT_EQ(party.Scores(*party.database->snapshot(), replies), party.Want());
  const std::string bytes = *party.database->Serialise();
  const auto read = Database::Parse(Unowned(Q50()), bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)->options().signs, signs);
  EXPECT_EQ(party.Scores(*(*read)->snapshot(), replies), party.Want());
  EXPECT_FALSE(Database::Parse(Unowned(Q50()), bytes.substr(0, 300)).ok());
  EXPECT_FALSE(Database::Create(Unowned(Q50()), {*layout, 1, SignPattern::FromSeed("signs", 2048)}).ok());
}

TEST(DatabaseTest, AnotherLayoutPacksTheSameRowsAgain) {
  Party party(*Layout::Create(4096, 40, 6));
  for (size_t r = 0; r < 50; ++r) ASSERT_TRUE(party.database->Set(r, party.RandomRow()).ok());
  ASSERT_TRUE(party.database->Commit(1).ok());
  const auto before = party.database->snapshot();
  ASSERT_TRUE(party.database->SetLayout(*Layout::Create(4096, 40, 3)).ok());
  EXPECT_EQ(party.database->snapshot(), before) << "until it is committed";
  EXPECT_FALSE(party.database->Serialise().ok());
  std::vector<size_t> encoded;
  ASSERT_TRUE(party.database
                  ->Commit(2,
                           [&](size_t n, absl::FunctionRef<void(size_t)> body) {
                             encoded.push_back(n);
                             for (size_t i = n; i-- > 0;) body(i);
                           })
                  .ok());
  EXPECT_EQ(encoded, std::vector<size_t>{1});
  const auto after = party.database->snapshot();
  EXPECT_EQ(after->layout.fold(), 5u);
  EXPECT_EQ(party.Scores(*after, party.Ask(*after)), party.Want());
  EXPECT_EQ(party.Scores(*before, party.Ask(*before)), party.Want());
  EXPECT_FALSE(party.database->SetLayout(*Layout::Create(4096, 41, 3)).ok());
  EXPECT_FALSE(party.database->SetLayout(*Layout::Create(2048, 40, 3)).ok());
  EXPECT_EQ(party.database->layout(), after->layout);
}

TEST(DatabaseTest, TrimmedRepliesDecryptToTheSameScoresAndCompress) {
  const auto layout = Layout::Create(4096, 384, 7);
  Party party(*layout);
  for (size_t r = 0; r < 1000; ++r) ASSERT_TRUE(party.database->Set(r, party.RandomRow()).ok());
  ASSERT_TRUE(party.database->Commit(1).ok());
  const auto snapshot = party.database->snapshot();
  auto replies = party.Ask(*snapshot);
  const size_t before = WriteCiphertext(ToWire(Q50(), replies[0]), {{4, 1}, Compression::kZlib}).size();
  const TrimBits bits = FreeReplyBits(Q50().parameters(), *layout, 450.0 * 450.0);
  EXPECT_GT(bits.first, 15);
  EXPECT_GT(bits.second, 10);
  EXPECT_LT(bits.failure_log2, kMaxFailureLog2);
  TrimReply(Q50(), bits.first, bits.second, replies[0]);
  const std::string bytes = WriteCiphertext(ToWire(Q50(), replies[0]), {{4, 1}, Compression::kZlib});
  EXPECT_LT(bytes.size(), before * 3 / 4);
  replies[0] = *FromWire(Q50(), ReadCiphertext(bytes, Q50().parameters())->object);
  EXPECT_EQ(party.Scores(*snapshot, replies), party.Want());
}

TEST(DatabaseTest, ALookupReturnsTheBytesOfOneRecord) {
  const std::vector<std::string> records = {"first", "the second, a longer one", "", "\xff\x00\x80 bytes"};
  const auto layout = Layout::Full(4096, records.size());
  auto database = *Database::Create(Unowned(Q50()), {*layout, 128.0 * 128 * 4});
  const auto rows = LookupRows(records);
  for (size_t r = 0; r < rows.size(); ++r) ASSERT_TRUE(database->Set(r, rows[r]).ok());
  ASSERT_TRUE(database->Commit(1).ok());
  Party party(*layout);
  for (size_t wanted = 0; wanted < records.size(); ++wanted) {
    party.query.assign(records.size(), 0);
    party.query[wanted] = 1;
    const auto bytes = party.Scores(*database->snapshot(), party.Ask(*database->snapshot()));
    std::string got;
    for (int64_t b : bytes) got.push_back(static_cast<char>(b));
    got.resize(records[wanted].size());
    EXPECT_EQ(got, records[wanted]);
  }
}

TEST(DatabaseTest, SurvivesAFileAndTellsDamage) {
  const auto layout = Layout::Create(4096, 16, 2);
  Party party(*layout);
  for (size_t r = 0; r < 50; ++r) ASSERT_TRUE(party.database->Set(r, party.RandomRow()).ok());
  EXPECT_FALSE(party.database->Serialise().ok()) << "rows have not been committed";
  ASSERT_TRUE(party.database->Commit(42).ok());
  const std::string path = ::testing::TempDir() + "fhe_database_test";
  ASSERT_TRUE(party.database->Save(path).ok());
  auto loaded = Database::Load(Unowned(Q50()), path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->snapshot()->sequence, 42u);
  EXPECT_EQ((*loaded)->options().layout, *layout);
  EXPECT_EQ(party.Scores(*(*loaded)->snapshot(), party.Ask(*(*loaded)->snapshot())), party.Want());
  EXPECT_EQ((*loaded)->snapshot()->MemoryBytes(), 4u * 4096 * 8 * 1);

  const std::string good = *party.database->Serialise();
  for (size_t at : {size_t{0}, size_t{8}, size_t{20}, size_t{50}, size_t{70}, good.size() / 2, good.size() - 1}) {
    std::string bad = good;
    bad[at] ^= 1;
    EXPECT_FALSE(Database::Parse(Unowned(Q50()), bad).ok()) << at;
  }
  for (size_t size : {size_t{0}, size_t{79}, size_t{111}, good.size() - 1}) {
    EXPECT_FALSE(Database::Parse(Unowned(Q50()), good.substr(0, size)).ok()) << size;
  }
  EXPECT_EQ(Database::Parse(Unowned(S50()), good).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Database::Load(Unowned(Q50()), path + "-absent").status().code(), absl::StatusCode::kNotFound);
  std::remove(path.c_str());
}

TEST(DatabaseTest, RefusesRowsAndBoundsThatCouldDecryptWrongly) {
  const auto layout = Layout::Full(4096, 384);
  EXPECT_FALSE(Database::Create(Unowned(Q50()), {*layout, 127.0 * 127 * 384}).ok());
  EXPECT_FALSE(Database::Create(Unowned(Q50()), {*layout, 0}).ok());
  auto database = *Database::Create(Unowned(Q50()), {*layout, 450.0 * 450});
  EXPECT_EQ(database->Set(0, std::vector<int8_t>(384, 127)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(database->Set(0, std::vector<int8_t>(383, 1)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(database->Set(kMaxDatabaseRows, std::vector<int8_t>(384, 1)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(database->Clear(0).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(database->rows(), 0u);
}

TEST(NoiseTest, NoReplyFailsWithProbabilityAbove2ToTheMinus64WhateverTheRowsHold) {
  for (size_t dimensions : {1, 128, 384, 512}) {
    const double worst = 127.0 * 127.0 * static_cast<double>(dimensions);
    EXPECT_LT(BoundSearchNoise(S50().parameters(), dimensions, worst).failure_log2, -64) << dimensions;
  }
  // The bound is not vacuous: a plain modulus eight bits larger would not do.
  EncryptionParameters too_large = S50().parameters();
  too_large.plain_modulus <<= 8;
  EXPECT_GT(BoundSearchNoise(too_large, 512, 127.0 * 127.0 * 512).failure_log2, -64);
}

}  // namespace
}  // namespace alcove::fhe
