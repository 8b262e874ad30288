#include "libs/hpke/hpke.h"

#include <algorithm>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <gtest/gtest.h>

namespace alcove::hpke {
namespace {

std::array<uint8_t, kKeyBytes> Key(absl::string_view hex) {
  const std::string bytes = absl::HexStringToBytes(hex);
  std::array<uint8_t, kKeyBytes> out{};
  std::copy_n(bytes.begin(), kKeyBytes, out.begin());
  return out;
}

std::string Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

// RFC 9180, appendix A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode.
TEST(HpkeTest, EqualsTheVectorsOfRfc9180) {
  const std::string info = absl::HexStringToBytes("4f6465206f6e2061204772656369616e2055726e");
  const PrivateKey ephemeral(Key("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600"));
  const PrivateKey recipient(Key("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"));
  EXPECT_EQ(ephemeral.public_key(), Key("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"));
  EXPECT_EQ(recipient.public_key(), Key("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a"));
  auto sender = SetupSenderWith(ephemeral, recipient.public_key(), info, Aead::kChaCha20Poly1305);
  ASSERT_TRUE(sender.ok()) << sender.status();
  const std::string text = absl::HexStringToBytes("4265617574792069732074727574682c20747275746820626561757479");
  EXPECT_EQ(Hex(sender->context.Seal("Count-0", text).value()),
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
  EXPECT_EQ(Hex(sender->context.Export("", 32)), "4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e");
}

class RoundTrip : public ::testing::TestWithParam<Aead> {};

TEST_P(RoundTrip, OpensWhatWasSealedInOrder) {
  const PrivateKey own = PrivateKey::Generate();
  auto sender = SetupSender(own.public_key(), "purpose", GetParam());
  ASSERT_TRUE(sender.ok());
  auto recipient = SetupRecipient(sender->encapsulated, own, "purpose", GetParam());
  ASSERT_TRUE(recipient.ok());
  for (const std::string& text : {std::string("hello"), std::string(), std::string(100'000, 'x')}) {
    const std::string sealed = sender->context.Seal("aad", text).value();
    EXPECT_EQ(sealed.size(), text.size() + kTagBytes);
    const auto opened = recipient->Open("aad", sealed);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(*opened, text);
  }
  EXPECT_EQ(sender->context.Export("reply", 44), recipient->Export("reply", 44));
  EXPECT_NE(sender->context.Export("reply", 44), recipient->Export("other", 44));
}

TEST_P(RoundTrip, OpensNothingElse) {
  const PrivateKey own = PrivateKey::Generate(), other = PrivateKey::Generate();
  auto sender = SetupSender(own.public_key(), "purpose", GetParam());
  ASSERT_TRUE(sender.ok());
  const std::string sealed = sender->context.Seal("aad", "secret").value();
  const auto opens = [&](const PrivateKey& key, absl::string_view info, absl::string_view aad,
                         const std::string& bytes) {
    auto context = SetupRecipient(sender->encapsulated, key, info, GetParam());
    return context.ok() && context->Open(aad, bytes).ok();
  };
  EXPECT_TRUE(opens(own, "purpose", "aad", sealed));
  EXPECT_FALSE(opens(other, "purpose", "aad", sealed));
  EXPECT_FALSE(opens(own, "another", "aad", sealed));
  EXPECT_FALSE(opens(own, "purpose", "", sealed));
  EXPECT_FALSE(opens(own, "purpose", "aad", sealed.substr(0, 10)));
  for (size_t at = 0; at < sealed.size(); ++at) {
    std::string changed = sealed;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(opens(own, "purpose", "aad", changed));
  }
  // A failed attempt does not move the counter.
  auto context = SetupRecipient(sender->encapsulated, own, "purpose", GetParam());
  EXPECT_FALSE(context->Open("aad", std::string(40, 'x')).ok());
  EXPECT_TRUE(context->Open("aad", sealed).ok());
}

INSTANTIATE_TEST_SUITE_P(Aeads, RoundTrip, ::testing::Values(Aead::kAes256Gcm, Aead::kChaCha20Poly1305));

TEST(HpkeTest, RefusesAKeyOfSmallOrder) {
  EXPECT_FALSE(SetupSender(PublicKey{}, "purpose", Aead::kAes256Gcm).ok());
  EXPECT_FALSE(SetupRecipient(PublicKey{}, PrivateKey::Generate(), "purpose", Aead::kAes256Gcm).ok());
}

}  // namespace
}  // namespace alcove::hpke
