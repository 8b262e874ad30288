#include "services/vector-search/text/tokenizer.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/testing/status_matchers.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Words(absl::string_view text) { return Tokenizer::Plain().Words(text); }

TEST(Tokenizer, CutsAtEverythingThatIsNoLetterMarkOrDigit) {
  EXPECT_THAT(Words("Hello, brave-new WORLD_2024!"), ElementsAre("hello", "brave", "new", "world", "2024"));
  EXPECT_THAT(Words("don't\tstop\n"), ElementsAre("don", "t", "stop"));
  EXPECT_THAT(Words("libfoo2-dev 1.2.3"), ElementsAre("libfoo2", "dev", "1", "2", "3"));
  EXPECT_THAT(Words(""), IsEmpty());
  EXPECT_THAT(Words(" …—!? "), IsEmpty());
}

TEST(Tokenizer, FoldsCaseAndCompatibilityForms) {
  EXPECT_THAT(Words("ÉCOLE École école"), ElementsAre("école", "école", "école"));
  EXPECT_THAT(Words("e\u0301cole"), ElementsAre("école"));  // composed from a letter and its accent
  EXPECT_THAT(Words("Straße STRASSE"), ElementsAre("strasse", "strasse"));
  EXPECT_THAT(Words("ﬁle ＡＢＣ"), ElementsAre("file", "abc"));
  EXPECT_THAT(Words("ΣΊΣΥΦΟΣ σίσυφος"), ElementsAre("σίσυφοσ", "σίσυφοσ"));
}

TEST(Tokenizer, CutsScriptsWithoutSpacesFiner) {
  EXPECT_THAT(Words("東京都は日本"), ElementsAre("東", "京", "都", "は", "日", "本"));
  EXPECT_THAT(Words("カタカナ語"), ElementsAre("カタカナ", "語"));
  EXPECT_THAT(Words("한국어 검색"), ElementsAre("한국어", "검색"));
  EXPECT_THAT(Words("กินข้าว"), ElementsAre("กิ", "น", "ข้", "า", "ว"));
}

TEST(Tokenizer, TellsWhereAWordWas) {
  std::vector<std::string> seen;
  std::vector<uint32_t> positions;
  const std::string text = "The Über-fast FOX";
  const auto tokenizer = Tokenizer::Make({.stop_words = {"THE"}}).value();
  tokenizer->ForEach(text, [&](const Token& token) {
    seen.push_back(text.substr(token.begin, token.end - token.begin));
    positions.push_back(token.position);
    return true;
  });
  EXPECT_THAT(seen, ElementsAre("Über", "fast", "FOX"));
  EXPECT_THAT(positions, ElementsAre(1, 2, 3));
}

TEST(Tokenizer, StopsWhenAsked) {
  int seen = 0;
  Tokenizer::Plain().ForEach("a b c d", [&](const Token&) { return ++seen < 2; });
  EXPECT_EQ(seen, 2);
}

TEST(Tokenizer, RemovesEndingsOfALanguage) {
  const auto english = Tokenizer::Make({.language = "english", .stop_words = {"and"}}).value();
  EXPECT_THAT(english->Words("Running runs and connections"), ElementsAre("run", "run", "connect"));
  const auto german = Tokenizer::Make({.language = "german"}).value();
  EXPECT_EQ(german->Words("Häuser"), german->Words("Hauses"));
}

TEST(Tokenizer, RefusesSettingsItCannotHonour) {
  EXPECT_THAT(Tokenizer::Make({.language = "klingon"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("english")));
  EXPECT_THAT(Tokenizer::Make({.stop_words = std::vector<std::string>(kMaxStopWords + 1, "x")}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1024")));
  EXPECT_THAT(Tokenizer::Make({.stop_words = {""}}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Tokenizer, BoundsWordsAndSurvivesBrokenBytes) {
  const std::string longest(100'000, 'x');
  EXPECT_THAT(Words(longest), ElementsAre(std::string(kMaxWordBytes, 'x')));
  std::string umlauts;
  for (int i = 0; i < 1000; ++i) umlauts += "ü";
  ASSERT_EQ(Words(umlauts).size(), 1u);
  EXPECT_EQ(Words(umlauts)[0].size(), kMaxWordBytes);
  EXPECT_THAT(Words("a\xff"
                    "b \xe2\x82"),
              ElementsAre("a", "b"));
}

TEST(Tokenizer, ServesManyThreads) {
  const auto english = Tokenizer::Make({.language = "english"}).value();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 500; ++j)
        ASSERT_THAT(english->Words("connected connections"), ElementsAre("connect", "connect"));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace alcove::vector_search
