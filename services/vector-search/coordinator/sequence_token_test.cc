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
  EXPECT_EQ(FormatSequenceToken({{0, 17}, {3, 4}}), "0:17,3:4");
  EXPECT_THAT(ParseSequenceToken("0:17,3:4", 4), IsOkAndHolds(ElementsAre(Pair(0, 17), Pair(3, 4))));
  EXPECT_THAT(ParseSequenceToken("", 4), IsOkAndHolds(IsEmpty()));
}

TEST(SequenceToken, RefusesAnythingElse) {
  for (const char* token : {"0", "0:", ":1", "0:1,", ",0:1", "0:1,0:2", "1:1,0:1", "4:1", "-1:1", "0:-1", "0:1 ", "a:b",
                            "00:1", "0:01", "0:9999999999999999999", "99999999999999999999:1", "0:1,1:2x"}) {
    EXPECT_FALSE(ParseSequenceToken(token, 4).ok()) << token;
  }
  EXPECT_FALSE(ParseSequenceToken(std::string(kMaxTokenBytes + 1, '1'), 4).ok());
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
