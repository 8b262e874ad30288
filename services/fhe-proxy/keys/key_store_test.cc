#include "services/fhe-proxy/keys/key_store.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/status.h"
#include "libs/fhe/fault.h"
#include "libs/fhe/search/noise.h"
#include "libs/fhe/testdata/fixtures.h"
#include "libs/testing/temp_dir.h"

namespace alcove::fhe_proxy {
namespace {

namespace fs = std::filesystem;

class StoppedClock : public Clock {
 public:
  absl::Time Now() const override { return now; }
  int64_t MonotonicNanos() const override { return absl::ToUnixNanos(now); }
  bool AwaitWithDeadline(absl::Mutex*, const absl::Condition&, absl::Time) override { return false; }
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
};

class KeyStoreTest : public ::testing::Test {
 protected:
  KeyStoreTest() {
    options_.folder = folder_.File("keys");
    Reopen();
  }

  void Reopen() {
    store_.reset();
    auto store = KeyStore::Open(options_, &clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  // A whole set of Galois keys: the one key a real client made, under every element the set needs. `variant` changes
  // the bytes but not their validity. The store checks form, not what the keys decrypt to.
  static std::string Keys(uint8_t variant = 0, fhe::SealVersion version = {4, 1}) {
    const ParameterSet& set = OfferedSets()[0];
    fhe::GaloisKeys keys = fhe::ReadGaloisKeys(fhe::Fixture("node.galois"), set.parameters, 1)->object;
    const auto digits = keys.keys[0].digits;
    keys.keys.clear();
    for (auto it = set.galois_elements.rbegin(); it != set.galois_elements.rend(); ++it) {
      keys.keys.push_back({*it / 2, digits});
      keys.keys.back().digits[0].value.seed->bytes[0] ^= variant;
    }
    return fhe::WriteGaloisKeys(keys, set.parameters, {version, fhe::Compression::kNone});
  }

  absl::StatusOr<KeyStore::Uploaded> Upload(const std::string& tenant, const std::string& keys,
                                            const std::string& label = "laptop") {
    clock_.now += absl::Seconds(1);
    return store_->Upload(tenant, {"s50", keys, "", label});
  }

  size_t Files() const {
    size_t n = 0;
    for (const auto& e : fs::recursive_directory_iterator(options_.folder)) n += e.is_regular_file();
    return n;
  }

  testing::TempDir folder_;
  KeyStore::Options options_;
  StoppedClock clock_;
  std::unique_ptr<KeyStore> store_;
};

TEST_F(KeyStoreTest, StoresKeysAndGivesThemBack) {
  const auto uploaded = Upload("acme", Keys(0, {4, 3}));
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_FALSE(uploaded->already_stored);
  EXPECT_EQ(uploaded->info.key_id.size(), 64u);
  EXPECT_EQ(uploaded->info.galois_elements.size(), 9u);
  EXPECT_FALSE(uploaded->info.has_relin_keys);
  const auto keys = store_->Use("acme", uploaded->info.key_id);
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ((*keys)->version, (fhe::SealVersion{4, 3}));
  EXPECT_EQ((*keys)->set->name, "s50");
  EXPECT_NE((*keys)->galois.Find(4097), nullptr);
}

TEST_F(KeyStoreTest, UploadingTheSameKeysAgainChangesNothing) {
  const auto first = Upload("acme", Keys());
  const auto second = Upload("acme", Keys());
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->already_stored);
  EXPECT_EQ(second->info.key_id, first->info.key_id);
  EXPECT_EQ(store_->stats().key_sets, 1u);
  EXPECT_EQ(Files(), 1u);
}

TEST_F(KeyStoreTest, KeysOfAnotherTenantDoNotExist) {
  const auto uploaded = Upload("acme", Keys());
  EXPECT_EQ(store_->Use("rival", uploaded->info.key_id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Delete("rival", uploaded->info.key_id, true).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store_->List("rival", 10, "")->keys.empty());
  const auto same_bytes = Upload("rival", Keys());
  EXPECT_NE(same_bytes->info.key_id, uploaded->info.key_id);
}

TEST_F(KeyStoreTest, ARestartFindsEverythingAgain) {
  const auto uploaded = Upload("acme", Keys(), "my phone");
  Reopen();
  EXPECT_EQ(store_->reload_report().key_sets, 1u);
  const auto page = store_->List("acme", 10, "");
  ASSERT_EQ(page->keys.size(), 1u);
  EXPECT_EQ(page->keys[0].label, "my phone");
  EXPECT_EQ(page->keys[0].created_at, uploaded->info.created_at);
  EXPECT_EQ(page->keys[0].galois_elements, uploaded->info.galois_elements);
  EXPECT_TRUE(store_->Use("acme", uploaded->info.key_id).ok());
  EXPECT_TRUE(Upload("acme", Keys())->already_stored);
}

TEST_F(KeyStoreTest, ADamagedFileIsSetAsideAndTheRestStillLoads) {
  const auto bad = Upload("acme", Keys(1));
  const auto good = Upload("acme", Keys(2));
  std::string path;
  for (const auto& e : fs::recursive_directory_iterator(options_.folder)) {
    if (absl::StrContains(e.path().string(), bad->info.key_id)) path = e.path();
  }
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file.put('\x7f');
  }
  Reopen();
  EXPECT_EQ(store_->reload_report().damaged, 1u);
  EXPECT_EQ(store_->reload_report().key_sets, 1u);
  EXPECT_TRUE(fs::exists(path + ".damaged"));
  EXPECT_EQ(store_->Use("acme", bad->info.key_id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store_->Use("acme", good->info.key_id).ok());
}

TEST_F(KeyStoreTest, DeletedKeysMayComeBackRevokedOnesMayNot) {
  const auto uploaded = Upload("acme", Keys());
  const std::string id = uploaded->info.key_id;
  EXPECT_TRUE(store_->Delete("acme", id, false).ok());
  EXPECT_EQ(store_->Use("acme", id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Delete("acme", id, false).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Files(), 0u);
  EXPECT_FALSE(Upload("acme", Keys())->already_stored);

  EXPECT_TRUE(store_->Delete("acme", id, true).ok());
  EXPECT_TRUE(store_->Delete("acme", id, true).ok());
  for (int restart = 0; restart < 2; ++restart) {
    const absl::Status use = store_->Use("acme", id).status();
    EXPECT_EQ(use.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(GetErrorDetails(use).reason, "KEY_REVOKED");
    EXPECT_EQ(Upload("acme", Keys()).status().code(), absl::StatusCode::kFailedPrecondition);
    Reopen();
  }
}

TEST_F(KeyStoreTest, ACrashInTheMiddleOfARevocationFinishesItAtRestart) {
  const auto uploaded = Upload("acme", Keys());
  for (const auto& e : fs::recursive_directory_iterator(options_.folder)) {
    if (e.path().extension() == ".key") {
      std::ofstream(fs::path(e.path()).replace_extension(".revoked")) << "acme";
      break;
    }
  }
  Reopen();
  EXPECT_EQ(store_->stats().key_sets, 0u);
  EXPECT_EQ(store_->stats().stored_bytes, 0u);
  EXPECT_EQ(Files(), 1u);
  EXPECT_EQ(store_->Use("acme", uploaded->info.key_id).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(KeyStoreTest, MakesRoomByTheTenantsOwnLeastRecentlyUsedKeys) {
  options_.max_keys_per_tenant = 2;
  Reopen();
  const std::string other = Upload("rival", Keys())->info.key_id;
  const std::string a = Upload("acme", Keys(1))->info.key_id;
  const std::string b = Upload("acme", Keys(2))->info.key_id;
  clock_.now += absl::Minutes(5);
  ASSERT_TRUE(store_->Use("acme", a).ok());
  Reopen();  // the order of use survives
  const std::string c = Upload("acme", Keys(3))->info.key_id;
  EXPECT_TRUE(store_->Use("acme", a).ok());
  EXPECT_FALSE(store_->Use("acme", b).ok());
  EXPECT_TRUE(store_->Use("acme", c).ok());
  EXPECT_TRUE(store_->Use("rival", other).ok());
  EXPECT_EQ(store_->stats().evictions, 1u);
  EXPECT_EQ(Files(), 3u);
}

TEST_F(KeyStoreTest, AFullStoreRefusesRatherThanTouchOtherTenants) {
  options_.max_bytes_total = Keys().size() * 3 / 2;
  Reopen();
  const std::string id = Upload("rival", Keys())->info.key_id;
  const absl::Status status = Upload("acme", Keys()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorDetails(status).reason, "KEY_STORE_FULL");
  EXPECT_TRUE(store_->Use("rival", id).ok());
  EXPECT_TRUE(Upload("rival", Keys(1)).ok()) << "its own old keys make room";
}

TEST_F(KeyStoreTest, MemoryHoldsOnlyWhatItsBudgetAllows) {
  options_.max_loaded_bytes = 6'000'000;  // one set of prepared keys takes 4.1 MB
  Reopen();
  const std::string a = Upload("acme", Keys(1))->info.key_id;
  const std::string b = Upload("acme", Keys(2))->info.key_id;
  EXPECT_LE(store_->stats().loaded_bytes, 6'000'000u);
  EXPECT_TRUE(store_->Use("acme", a).ok());
  EXPECT_TRUE(store_->Use("acme", b).ok());
  EXPECT_LE(store_->stats().loaded_bytes, 6'000'000u);
}

TEST_F(KeyStoreTest, RefusesBadUploadsAndKeepsNothing) {
  const auto fault = [&](const std::string& keys) -> std::string {
    const absl::Status status = Upload("acme", keys).status();
    const auto found = fhe::FaultOf(status);
    return found ? std::string(fhe::FaultName(*found)) : status.ToString();
  };
  EXPECT_EQ(fault(""), "truncated");
  EXPECT_EQ(fault("hello, world, this is not a key"), "bad_magic");
  EXPECT_EQ(fault(Keys().substr(0, 1000)), "truncated");
  EXPECT_EQ(fault(fhe::Fixture("node.galois")), "missing_key");
  EXPECT_EQ(fault(fhe::Fixture("node.query")), "parms_id_mismatch");
  std::string newer = Keys();
  newer[4] = 9;
  EXPECT_EQ(fault(newer), "unsupported_version");
  EXPECT_EQ(Upload("acme", Keys(), std::string(129, 'x')).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Upload("acme", {"s99", Keys(), "", ""}).status().code(), absl::StatusCode::kNotFound);
  const absl::Status large = store_->Upload("acme", {"s50", std::string(5 << 20, 'x'), "", ""}).status();
  EXPECT_EQ(large.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Files(), 0u);
  EXPECT_EQ(store_->stats().key_sets, 0u);
}

TEST_F(KeyStoreTest, ListsNewestFirstInPages) {
  std::vector<std::string> ids;
  for (uint8_t i = 1; i <= 5; ++i) ids.push_back(Upload("acme", Keys(i))->info.key_id);
  std::vector<std::string> seen;
  std::string token;
  do {
    const auto page = store_->List("acme", 2, token);
    ASSERT_TRUE(page.ok());
    for (const KeyInfo& info : page->keys) seen.push_back(info.key_id);
    token = page->next_page_token;
  } while (!token.empty());
  std::reverse(ids.begin(), ids.end());
  EXPECT_EQ(seen, ids);
  EXPECT_EQ(store_->List("acme", 2, "nonsense").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ParameterSetTest, SaysWhichSetsHoldAgainstQuantumAttacks) {
  EXPECT_FALSE((*FindSet("s50"))->quantum_128);
  EXPECT_TRUE((*FindSet("q50"))->quantum_128);
  EXPECT_TRUE((*FindSet("q50-fine"))->quantum_128);
  EXPECT_EQ((*FindSet("q50-fine"))->max_row_scale, (*FindSet("s50"))->max_row_scale);
}

TEST(ParameterSetTest, EveryOfferedSetIsSecureAndSmallEnough) {
  for (const ParameterSet& set : OfferedSets()) {
    EXPECT_TRUE(fhe::Validate(set.parameters).ok());
    EXPECT_GE(set.security_bits, 128);
    EXPECT_EQ(set.galois_elements.size(), 9u);
    EXPECT_EQ(set.galois_elements.front(), 4097u);
    EXPECT_EQ(set.galois_elements.back(), 17u);
    EXPECT_LE(set.QueryBytes(), 33'000u);
    EXPECT_LE(set.KeyBytes(), 1'250'000u);
    // With rows as long as the scale allows and rounding can make them, a reply decrypts wrongly with a probability
    // below 2^-64 (row_table.h takes no longer ones).
    const double longest = 1.01 * set.max_row_scale + std::sqrt(2048.0) / 2;
    EXPECT_LT(fhe::BoundSearchNoise(set.parameters, set.max_dimensions, longest * longest).failure_log2, -64)
        << set.name;
  }
}

}  // namespace
}  // namespace alcove::fhe_proxy
