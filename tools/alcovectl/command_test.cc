#include "tools/alcovectl/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CommandSpec Sample() {
  return {.name = "paint",
          .summary = "Paint a wall",
          .args = "WALL",
          .min_args = 1,
          .max_args = 2,
          .flags = {{"colour", 'c', "NAME", "white", "which"},
                    {"twice", 't', "", "", "again"},
                    {"coat", 0, "KIND", "", "", true}}};
}

absl::StatusOr<Invocation> Parse(const CommandSpec& command, std::vector<std::string> words) {
  return Invocation::Parse(command, words);
}

TEST(Command, ReadsFlagsInEveryForm) {
  const CommandSpec command = Sample();
  const auto invocation = Parse(command, {"north", "--colour=red", "-t", "--coat", "base", "--coat=top"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_THAT(invocation->args(), ElementsAre("north"));
  EXPECT_EQ(invocation->Get("colour"), "red");
  EXPECT_TRUE(invocation->GetSwitch("twice"));
  EXPECT_THAT(invocation->GetAll("coat"), ElementsAre("base", "top"));
  EXPECT_EQ(Parse(command, {"north", "-cblue"})->Get("colour"), "blue");
  EXPECT_EQ(Parse(command, {"north"})->Get("colour"), "white");
}

TEST(Command, TakesEverythingBehindTwoDashesAsArguments) {
  const CommandSpec command = Sample();
  EXPECT_THAT(Parse(command, {"--", "-t", "--colour"})->args(), ElementsAre("-t", "--colour"));
}

TEST(Command, NamesWhatIsWrong) {
  const CommandSpec command = Sample();
  EXPECT_THAT(std::string(Parse(command, {"n", "--color=x"}).status().message()), HasSubstr("did you mean --colour"));
  EXPECT_THAT(std::string(Parse(command, {"n", "--colour"}).status().message()), HasSubstr("needs a value"));
  EXPECT_THAT(std::string(Parse(command, {"n", "--twice=1"}).status().message()), HasSubstr("takes no value"));
  EXPECT_THAT(std::string(Parse(command, {}).status().message()), HasSubstr("usage: alcovectl paint WALL"));
  EXPECT_FALSE(Parse(command, {"a", "b", "c"}).ok());
}

TEST(Command, BoundsNumbers) {
  const CommandSpec command = Sample();
  EXPECT_EQ(*Parse(command, {"n", "-c", "7"})->GetInt("colour", 1, 9), 7);
  EXPECT_FALSE(Parse(command, {"n", "-c", "10"})->GetInt("colour", 1, 9).ok());
  EXPECT_FALSE(Parse(command, {"n", "-c", "7x"})->GetInt("colour", 1, 9).ok());
}

TEST(Command, HelpNamesEveryFlagAndDefault) {
  const std::string help = HelpText(Sample());
  EXPECT_THAT(help, HasSubstr("-c, --colour NAME"));
  EXPECT_THAT(help, HasSubstr("[white]"));
  EXPECT_THAT(help, HasSubstr("(may be repeated)"));
}

}  // namespace
}  // namespace alcove::ctl
