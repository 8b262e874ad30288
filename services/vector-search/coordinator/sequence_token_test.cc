#include "services/vector-search/coordinator/sequence_token.h"

#include <string>

#include "libs/testing/status_matchers.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOkAndHolds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(SequenceToken, ComesBackAsItWas) {
  EXPECT_EQ(FormatSequenceToken(1, {{0, 17}, {3, 4}}), "0:17,3:4");
  EXPECT_EQ(FormatSequenceToken(12, {{0, 17}, {3, 4}}), "e12;0:17,3:4");
  EXPECT_EQ(FormatSequenceToken(12, {}), "");
  ALCOVE_ASSERT_OK_AND_ASSIGN(SequenceToken token, ParseSequenceToken("0:17,3:4", {4, 1}));
  EXPECT_EQ(token.epoch, 1);
  EXPECT_THAT(token.sequences, ElementsAre(Pair(0, 17), Pair(3, 4)));
  ALCOVE_ASSERT_OK_AND_ASSIGN(token, ParseSequenceToken("", {4, 1}));
  EXPECT_EQ(token.epoch, 0);
  EXPECT_THAT(token.sequences, IsEmpty());
}

TEST(SequenceToken, OfAnotherPlacementIsReadButNotHeldToThisOnesShards) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(SequenceToken token, ParseSequenceToken("e2;7:1", {4, 3}));
  EXPECT_EQ(token.epoch, 2);
  EXPECT_THAT(token.sequences, ElementsAre(Pair(7, 1)));
  ALCOVE_ASSERT_OK_AND_ASSIGN(token, ParseSequenceToken("5:1", {4, 3}));
  EXPECT_EQ(token.epoch, 1);
  EXPECT_FALSE(ParseSequenceToken("e3;4:1", {4, 3}).ok());
}

TEST(SequenceToken, RefusesAnythingElse) {
  for (const char* token : {"0",
                            "0:",
                            ":1",
                            "0:1,",
                            ",0:1",
                            "0:1,0:2",
                            "1:1,0:1",
                            "4:1",
                            "-1:1",
                            "0:-1",
                            "0:1 ",
                            "a:b",
                            "00:1",
                            "0:01",
                            "0:9999999999999999999",
                            "99999999999999999999:1",
                            "0:1,1:2x",
                            "e1;0:1",
                            "e2",
                            "e2;",
                            "e;0:1",
                            "e02;0:1",
                            "e2,0:1",
                            "ee2;0:1"}) {
    EXPECT_FALSE(ParseSequenceToken(token, {4, 1}).ok()) << token;
  }
  EXPECT_FALSE(ParseSequenceToken(std::string(kMaxTokenBytes + 1, '1'), {4, 1}).ok());
}

TEST(PageToken, ComesBackForItsCollectionOnly) {
  const std::string token = FormatPageToken(7, "id/ä:1");
  EXPECT_THAT(ParsePageToken(token, 7), IsOkAndHolds(std::string("id/ä:1")));
  EXPECT_FALSE(ParsePageToken(token, 8).ok());
  EXPECT_FALSE(ParsePageToken(token + "A", 7).ok());
  EXPECT_FALSE(ParsePageToken("nonsense", 7).ok());
  EXPECT_FALSE(ParsePageToken(FormatPageToken(7, ""), 7).ok());
  for (size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(ParsePageToken(changed, 7).ok()) << i;
  }
}

}  // namespace
}  // namespace alcove::vector_search
