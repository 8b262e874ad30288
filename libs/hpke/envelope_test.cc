#include "libs/hpke/envelope.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "libs/testing/temp_dir.h"

namespace alcove::hpke {
namespace {

TEST(EnvelopeTest, ARequestAndItsRepliesCrossUnread) {
  const PrivateKey own = PrivateKey::Generate();
  auto sealed = SealRequest(own.public_key(), "test", Aead::kAes256Gcm, "a secret question");
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_EQ(sealed->bytes.find("secret"), std::string::npos);
  auto opened = OpenRequest(own, "test", Aead::kAes256Gcm, sealed->bytes);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->text, "a secret question");
  const std::string first = opened->replies.Seal("one").value(), second = opened->replies.Seal("two").value();
  EXPECT_FALSE(sealed->replies.Open(second).ok()) << "replies keep their order";
  EXPECT_EQ(sealed->replies.Open(first).value(), "one");
  EXPECT_FALSE(sealed->replies.Open(first).ok()) << "a reply is not taken twice";
  EXPECT_EQ(sealed->replies.Open(second).value(), "two");
}

TEST(EnvelopeTest, RefusesWhatWasNotMeantForIt) {
  const PrivateKey own = PrivateKey::Generate(), other = PrivateKey::Generate();
  const auto sealed = SealRequest(own.public_key(), "test", Aead::kChaCha20Poly1305, "text");
  EXPECT_FALSE(OpenRequest(other, "test", Aead::kChaCha20Poly1305, sealed->bytes).ok());
  EXPECT_FALSE(OpenRequest(own, "else", Aead::kChaCha20Poly1305, sealed->bytes).ok());
  EXPECT_FALSE(OpenRequest(own, "test", Aead::kAes256Gcm, sealed->bytes).ok());
  for (size_t length = 0; length < sealed->bytes.size(); ++length) {
    EXPECT_FALSE(OpenRequest(own, "test", Aead::kChaCha20Poly1305, sealed->bytes.substr(0, length)).ok());
  }
}

TEST(EnvelopeTest, AKeyFileIsMadeOnceAndKeptToItsOwner) {
  testing::TempDir folder;
  const std::string path = folder.File("deep/key");
  const auto made = LoadOrMakeKey(path);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(KeyName(LoadOrMakeKey(path)->public_key()), KeyName(made->public_key()));
  chmod(path.c_str(), 0644);
  EXPECT_EQ(LoadOrMakeKey(path).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace alcove::hpke
