#include <filesystem>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/store/store.h"
#include "libs/testing/fake_clock.h"
#include "services/gateway/access/api_key.h"
#include "services/gateway/access/authenticator.h"
#include "services/gateway/access/bootstrap.h"

namespace alcove::gateway {
namespace {

using ::testing::HasSubstr;

net::HeaderList Bearer(std::string_view secret) {
  net::HeaderList headers;
  headers.Add("Authorization", "Bearer " + std::string(secret));
  return headers;
}

TEST(ApiKey, IsLongRandomAndRecognisable) {
  const NewApiKey a = MakeApiKey();
  const NewApiKey b = MakeApiKey();
  EXPECT_NE(a.secret, b.secret);
  EXPECT_TRUE(LooksLikeApiKey(a.secret));
  EXPECT_EQ(a.secret.size(), 48u);
  EXPECT_EQ(ApiKeyPrefix(a.id), a.secret.substr(0, 16));
  EXPECT_FALSE(LooksLikeApiKey("sk-" + a.secret));
  EXPECT_FALSE(LooksLikeApiKey(a.secret.substr(1)));
  EXPECT_EQ(HashApiKey("abc").substr(0, 4), "\xba\x78\x16\xbf");
}

TEST(ApiKey, IsFoundInEitherHeader) {
  net::HeaderList headers;
  EXPECT_THAT(FindApiKey(headers).status().message(), HasSubstr("no API key"));
  headers.Add("X-Api-Key", "alc_1");
  EXPECT_EQ(*FindApiKey(headers), "alc_1");
  headers.Add("authorization", "bearer  alc_2");
  EXPECT_EQ(*FindApiKey(headers), "alc_2");
  net::HeaderList basic;
  basic.Add("authorization", "Basic YTpi");
  EXPECT_EQ(FindApiKey(basic).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST(Caller, AnAdminMayDoEverythingAndAReaderOnlyRead) {
  Caller reader;
  reader.read = true;
  EXPECT_TRUE(CheckScope(reader, AccessScope::kRead).ok());
  EXPECT_EQ(CheckScope(reader, AccessScope::kWrite).code(), absl::StatusCode::kPermissionDenied);
  Caller admin;
  admin.admin = true;
  EXPECT_TRUE(CheckScope(admin, AccessScope::kWrite).ok());
  EXPECT_TRUE(CheckScope(admin, AccessScope::kAdmin).ok());
}

TEST(KeyUsage, TellsTheClientWhenToComeBack) {
  KeyUsage usage(10, 2);
  EXPECT_TRUE(usage.Take(0).allowed);
  EXPECT_TRUE(usage.Take(0).allowed);
  const GcraDecision refused = usage.Take(0);
  EXPECT_FALSE(refused.allowed);
  net::HeaderList headers;
  AddRateLimitHeaders(usage, refused, headers);
  EXPECT_EQ(headers.Get("retry-after"), "1");
  EXPECT_EQ(headers.Get("x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(headers.Get("x-ratelimit-remaining-requests"), "0");
  EXPECT_EQ(headers.Get("ratelimit-policy"), "\"key\";q=2;w=1");
  const absl::Status status = RateLimited(usage, refused);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorDetails(status).reason, "RATE_LIMITED");
  EXPECT_TRUE(usage.Take(refused.retry_after_ns).allowed);
}

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() : dir_(::testing::TempDir() + "access_" + std::to_string(::getpid())) {
    std::filesystem::create_directories(dir_);
    store::StoreOptions options;
    options.clock = &clock_;
    auto opened = store::Open("sqlite:" + dir_ + "/test.db", options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
    KeyDirectoryOptions directory_options;
    directory_options.clock = &clock_;
    directory_ = std::make_unique<KeyDirectory>(&store_->keys(), directory_options);
    authenticator_ = std::make_unique<Authenticator>(directory_.get(), &workers_, &clock_);
  }
  ~AccessTest() override {
    workers_.join();
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  absl::StatusOr<std::shared_ptr<const Caller>> Authenticate(const net::HeaderList& headers) {
    asio::io_context io;
    absl::StatusOr<std::shared_ptr<const Caller>> result;
    asio::co_spawn(
        io, [&]() -> asio::awaitable<void> { result = co_await authenticator_->Authenticate(headers); },
        [](std::exception_ptr error) { EXPECT_EQ(error, nullptr); });
    io.run();
    return result;
  }

  std::string AdminSecret() {
    EXPECT_TRUE(BootstrapKeys(*store_, {dir_ + "/data", ""}).ok());
    auto file = ReadFile(dir_ + "/data/admin.key", 1000);
    EXPECT_TRUE(file.ok()) << file.status();
    return file->substr(0, file->size() - 1);
  }

  testing::FakeClock clock_;
  const std::string dir_;
  asio::thread_pool workers_{1};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<KeyDirectory> directory_;
  std::unique_ptr<Authenticator> authenticator_;
};

TEST_F(AccessTest, TheFirstStartWritesAnAdminKeyForTheOwnerOnly) {
  const std::string secret = AdminSecret();
  struct stat info {};
  ASSERT_EQ(::stat((dir_ + "/data/admin.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto caller = Authenticate(Bearer(secret));
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_TRUE((*caller)->admin);
  EXPECT_EQ((*caller)->tenant, "default");
  // The second start leaves it alone.
  EXPECT_EQ(AdminSecret(), secret);
}

TEST_F(AccessTest, AConfiguredKeyReplacesTheOneConfiguredBefore) {
  const std::string first = "configured-secret-number-1", second = "configured-secret-number-2";
  ASSERT_TRUE(BootstrapKeys(*store_, {dir_ + "/data", first}).ok());
  ASSERT_TRUE(BootstrapKeys(*store_, {dir_ + "/data", first}).ok());
  EXPECT_TRUE(Authenticate(Bearer(first)).ok());
  ASSERT_TRUE(BootstrapKeys(*store_, {dir_ + "/data", second}).ok());
  directory_->Invalidate();
  EXPECT_FALSE(Authenticate(Bearer(first)).ok());
  EXPECT_TRUE(Authenticate(Bearer(second)).ok());
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/data/admin.key"));
}

TEST_F(AccessTest, AKnownKeyIsAnsweredFromMemoryUntilSomethingChanges) {
  const net::HeaderList headers = Bearer(AdminSecret());
  EXPECT_EQ(authenticator_->Check(headers).verdict, Authenticator::Verdict::kAskStore);
  const auto caller = Authenticate(headers);
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(authenticator_->Check(headers).verdict, Authenticator::Verdict::kKnown);

  ASSERT_TRUE(directory_->Refresh().ok());
  ASSERT_TRUE(Authenticate(headers).ok());
  ASSERT_TRUE(directory_->Refresh().ok());
  EXPECT_EQ(authenticator_->Check(headers).verdict, Authenticator::Verdict::kKnown);

  ASSERT_TRUE(store_->keys().RevokeKey((*caller)->key_id).ok());
  ASSERT_TRUE(directory_->Refresh().ok());
  EXPECT_EQ(authenticator_->Check(headers).verdict, Authenticator::Verdict::kAskStore);
  EXPECT_THAT(Authenticate(headers).status().message(), HasSubstr("revoked"));
  EXPECT_EQ(authenticator_->Check(headers).verdict, Authenticator::Verdict::kRefused);
}

TEST_F(AccessTest, AnExpiredKeyStopsWorkingWithoutBeingReadAgain) {
  ASSERT_TRUE(BootstrapKeys(*store_, {dir_ + "/data", ""}).ok());
  const NewApiKey made = MakeApiKey();
  store::ApiKey key;
  key.id = made.id;
  key.tenant = "default";
  key.hash = HashApiKey(made.secret);
  key.scopes = {"read"};
  key.expires_at = clock_.Now() + absl::Seconds(10);
  ASSERT_TRUE(store_->keys().CreateKey(key).ok());
  EXPECT_TRUE(Authenticate(Bearer(made.secret)).ok());
  clock_.Advance(absl::Seconds(11));
  EXPECT_THAT(Authenticate(Bearer(made.secret)).status().message(), HasSubstr("expired"));
}

TEST_F(AccessTest, AnUnknownKeyIsRememberedForAWhile) {
  const net::HeaderList headers = Bearer(MakeApiKey().secret);
  EXPECT_EQ(Authenticate(headers).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(authenticator_->Check(headers).verdict, Authenticator::Verdict::kRefused);
  clock_.Advance(Authenticator::kNegative + absl::Seconds(1));
  EXPECT_EQ(authenticator_->Check(headers).verdict, Authenticator::Verdict::kAskStore);
}

TEST_F(AccessTest, UsesReachTheStore) {
  const auto caller = Authenticate(Bearer(AdminSecret()));
  ASSERT_TRUE(caller.ok());
  ASSERT_TRUE(directory_->FlushUses().ok());
  const auto key = store_->keys().GetKey((*caller)->key_id);
  ASSERT_TRUE(key.ok());
  EXPECT_TRUE(key->last_used_at.has_value());
}

TEST(Authenticator, LetsEverybodyInWhenKeysAreOff) {
  Authenticator authenticator(nullptr, nullptr);
  const auto answer = authenticator.Check(net::HeaderList());
  EXPECT_EQ(answer.verdict, Authenticator::Verdict::kKnown);
  EXPECT_TRUE(answer.caller->admin);
}

}  // namespace
}  // namespace alcove::gateway
