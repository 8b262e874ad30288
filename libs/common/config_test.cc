#include "libs/common/config.h"

#include <cstdio>
#include <string>
#include <vector>

#include <absl/strings/str_replace.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/fs.h"
#include "libs/common/testdata/sample_config.pb.h"

namespace alcove {
namespace {

using testdata::SampleConfig;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const ConfigProgram kProgram = {
    "some-service", "alcove-some-service", "Serves samples.", "1.2.3", {{"listen", "127.0.0.1:7101"}}};

absl::StatusOr<SampleConfig> Load(const std::vector<const char*>& args, const EnvironmentList& environment = {}) {
  SampleConfig config;
  const absl::StatusOr<ConfigOutcome> outcome = LoadConfigMessage(kProgram, args, environment, config);
  if (!outcome.ok()) return outcome.status();
  return config;
}

std::string Output(const std::vector<const char*>& args) {
  SampleConfig config;
  const absl::StatusOr<ConfigOutcome> outcome = LoadConfigMessage(kProgram, args, {}, config);
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->action, ConfigAction::kExit);
  return outcome->output;
}

class ConfigFile : public ::testing::Test {
 protected:
  // Names the file after the test: cases run in parallel.
  std::string Write(const std::string& yaml) {
    const std::string path = ::testing::TempDir() + "/alcove_config_" +
                             ::testing::UnitTest::GetInstance()->current_test_info()->name() + ".yaml";
    EXPECT_TRUE(WriteFileAtomically(path, yaml).ok());
    path_ = path;
    return path;
  }
  void TearDown() override { (void)RemoveFile(path_); }
  std::string path_;
};

TEST(Config, TakesItsDefaultsFromTheSchemaAndTheService) {
  const absl::StatusOr<SampleConfig> config = Load({});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->http().port(), 8080u);
  EXPECT_EQ(config->http().timeout().seconds(), 1);
  EXPECT_EQ(config->http().timeout().nanos(), 500'000'000);
  EXPECT_EQ(config->http().body(), 64u << 20);
  EXPECT_THAT(config->names(), ElementsAre("a", "b"));
  EXPECT_EQ(config->mode(), testdata::MODE_FAST);
  EXPECT_EQ(config->listen(), "127.0.0.1:7101");
  EXPECT_DOUBLE_EQ(config->ratio(), 0.1);
}

TEST_F(ConfigFile, FlagsBeatTheEnvironmentWhichBeatsTheFile) {
  const std::string path = Write("http: {port: 1, level: debug}\nratio: 0.5\nnames: [x]\n");
  const EnvironmentList environment = {{"ALCOVE_SOME_SERVICE__HTTP__PORT", "2"},
                                       {"ALCOVE_SOME_SERVICE__RATIO", "0.25"},
                                       {"ALCOVE_OTHER__RATIO", "nonsense"},
                                       {"PATH", "/bin"}};
  const std::string flag = "--config=" + path;
  const absl::StatusOr<SampleConfig> config = Load({flag.c_str(), "--http.port", "3"}, environment);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->http().port(), 3u);
  EXPECT_DOUBLE_EQ(config->ratio(), 0.25);
  EXPECT_EQ(config->http().level(), "debug");
  EXPECT_THAT(config->names(), ElementsAre("x"));
}

TEST_F(ConfigFile, ReadsEveryKindOfValue) {
  const std::string path = Write(R"(
http:
  timeout: 2m
  body: 1.5GB
  tls: {enabled: true, password: "s3cret"}
backends:
  - address: a:1
    models: [m, n]
  - {address: "b:2", weight: 7}
numbers: [1, -2]
labels: {team: search, "a b": "c: d"}
mode: MODE_SAFE
waits: [1s, 50ms]
)");
  const absl::StatusOr<SampleConfig> config = Load({"--config", path.c_str()});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->http().timeout().seconds(), 120);
  EXPECT_EQ(config->http().body(), 1'500'000'000u);
  EXPECT_TRUE(config->http().tls().enabled());
  ASSERT_EQ(config->backends_size(), 2);
  EXPECT_THAT(config->backends(0).models(), ElementsAre("m", "n"));
  EXPECT_EQ(config->backends(0).weight(), 1) << "elements of a list get defaults too";
  EXPECT_EQ(config->backends(1).weight(), 7);
  EXPECT_THAT(config->numbers(), ElementsAre(1, -2));
  EXPECT_EQ(config->labels().at("a b"), "c: d");
  EXPECT_EQ(config->mode(), testdata::MODE_SAFE);
  EXPECT_EQ(config->waits(1).nanos(), 50'000'000);
}

TEST(Config, FlagsTakeListsSectionsAndSwitches) {
  const absl::StatusOr<SampleConfig> config =
      Load({"--names=x, y", "--backends=[{address: c:3}]", "--http.tls.enabled", "--labels={k: v}", "--numbers=[4]"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->names(), ElementsAre("x", "y"));
  EXPECT_EQ(config->backends(0).address(), "c:3");
  EXPECT_TRUE(config->http().tls().enabled());
  EXPECT_EQ(config->labels().at("k"), "v");
  EXPECT_THAT(config->numbers(), ElementsAre(4));
}

struct Mistake {
  std::vector<const char*> args;
  std::string message;
};

TEST(Config, NamesTheFlagAndTheNearestSettingOfAMistake) {
  const Mistake mistakes[] = {
      {{"--http.prot=1"}, "http.prot: unknown setting; did you mean \"http.port\"? (flag --http.prot)"},
      {{"--port=1"}, "did you mean \"http.port\""},
      {{"--http.port=0"}, "http.port: 0 is less than the minimum 1 (flag --http.port)"},
      {{"--http.port=70000"}, "70000 is more than the maximum 65535"},
      {{"--http.port=-1"}, "not a whole number"},
      {{"--http.port=80x"}, "\"80x\" is not a whole number"},
      {{"--http.port"}, "--http.port: needs a value"},
      {{"--http.port", "--ratio=1"}, "needs a value"},
      {{"--http.level=loud"}, "\"loud\" is not one of info, debug"},
      {{"--http.timeout=10"}, "not a duration"},
      {{"--http.timeout=2h"}, "2h is more than the maximum 1h"},
      {{"--http.body=10"}, "10 is less than the minimum 1KiB"},
      {{"--http.body=lots"}, "not a size"},
      {{"--http.tls.enabled=yes"}, "neither true nor false"},
      {{"--mode=quick"}, "is not one of MODE_UNSPECIFIED, MODE_FAST, MODE_SAFE"},
      {{"--ratio=nan"}, "not a finite number"},
      {{"--ratio.x=1"}, "has no parts"},
      {{"--backends=[{weight: 1}]"}, "backends[0].address: must be set"},
      {{"--backends=[{addres: a}]"}, "did you mean \"backends[0].address\""},
      {{"--backends=[{address: a},{address: a},{address: a},{address: a}]"}, "4 elements"},
      {{"--backends=text"}, "must be a list"},
      {{"--labels=[a]"}, "must be a map"},
      {{"--http=1"}, "must be a map of settings"},
      {{"extra"}, "not a flag"},
      {{"--config"}, "--config: needs a value"},
      {{"--config=/nonexistent/x.yaml"}, "cannot open /nonexistent/x.yaml"},
      {{"--numbers=1,x"}, "numbers[1]: \"x\" is not a whole number"},
  };
  for (const Mistake& mistake : mistakes) {
    const absl::StatusOr<SampleConfig> config = Load(mistake.args);
    ASSERT_FALSE(config.ok()) << mistake.args[0];
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(mistake.message));
  }
}

TEST_F(ConfigFile, NamesTheLineOfAMistake) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"http:\n  port: 80\n  levle: info\n", ":3); did you mean"},
      {"http:\n  port: many\n", ".yaml:2)"},
      {"ratio: 0.1\nratio: 0.2\n", "line 2: the key \"ratio\" is given twice"},
      {"a: &x 1\nb: *x\n", "anchors are not allowed"},
      {"http: [1]\n", "must be a map of settings"},
      {"http: {port:}\n", "has no value"},
      {"names: a\n", "must be a list"},
      {"ratio: [0.1]\n", "must be a single value"},
      {"http: {\n", "not YAML"},
      {"ratio: 0.1\n---\nratio: 0.2\n", "more than one document"},
      {"ratio: !!float 1\n", "tags are not allowed"},
      {"ratio: \xff\n", "not UTF-8"},
  };
  for (const auto& [yaml, message] : mistakes) {
    const std::string path = Write(yaml);
    const absl::StatusOr<SampleConfig> config = Load({"--config", path.c_str()});
    ASSERT_FALSE(config.ok()) << yaml;
    if (std::string(message).find(";") == std::string::npos) {
      EXPECT_THAT(std::string(config.status().message()), HasSubstr(message));
    } else {
      EXPECT_THAT(std::string(config.status().message()), HasSubstr("did you mean \"http.level\"? ("));
    }
  }
}

TEST(Config, RefusesDeepAndLargeYaml) {
  SampleConfig config;
  EXPECT_FALSE(MergeConfigYaml(std::string(100'000, '['), "x", config).ok());
  EXPECT_FALSE(MergeConfigYaml(std::string(2 << 20, ' '), "x", config).ok());
  std::string wide = "names: [";
  for (int i = 0; i < 60'000; ++i) wide += "a,";
  EXPECT_THAT(std::string(MergeConfigYaml(wide + "a]", "x", config).message()), HasSubstr("more than 50000 values"));
  std::string dashes;
  for (int i = 0; i < 50'000; ++i) dashes += "- ";
  EXPECT_FALSE(MergeConfigYaml(dashes, "x", config).ok());
}

TEST(Config, RejectsAnUnknownEnvironmentVariableOfItsService) {
  const absl::StatusOr<SampleConfig> config = Load({}, {{"ALCOVE_SOME_SERVICE__HTPP__PORT", "1"}});
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(std::string(config.status().message()),
              HasSubstr("did you mean \"http\"? (environment variable ALCOVE_SOME_SERVICE__HTPP__PORT)"));
}

TEST(Config, PrintsYamlThatLoadsBackWithSecretsMasked) {
  SampleConfig config = DefaultConfig<SampleConfig>(kProgram);
  config.mutable_http()->mutable_tls()->set_password("hunter2");
  config.set_listen("null");
  config.add_backends()->set_address("- odd: \"text\"\n");
  config.add_backends()->set_address("b:2");
  config.mutable_backends(1)->add_models("m");
  (*config.mutable_labels())["k"] = "~";
  config.add_waits()->set_seconds(90);
  const std::string yaml = ConfigToYaml(config);
  EXPECT_THAT(yaml, Not(HasSubstr("hunter2")));
  EXPECT_THAT(yaml, HasSubstr("password: \"********\""));
  EXPECT_THAT(yaml, HasSubstr("body: 64MiB"));
  SampleConfig loaded;
  ASSERT_TRUE(MergeConfigYaml(yaml, "printed", loaded).ok()) << MergeConfigYaml(yaml, "printed", loaded) << yaml;
  config.mutable_http()->mutable_tls()->set_password("********");
  EXPECT_EQ(loaded.DebugString(), config.DebugString());
}

TEST(Config, NeverShowsASecretInAnError) {
  SampleConfig config;
  const absl::Status status = MergeConfigYaml("http: {tls: {password: [hunter2]}}", "x", config);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
}

TEST(Config, AnswersHelpVersionCheckAndPrint) {
  EXPECT_EQ(Output({"--version"}), "alcove-some-service 1.2.3\n");
  EXPECT_EQ(Output({"--check-config", "--http.port=9"}), "the configuration is valid\n");
  EXPECT_THAT(Output({"--print-config", "--http.port=9"}), HasSubstr("port: 9\n"));
  const std::string help = Output({"--help"});
  EXPECT_THAT(help, HasSubstr("--http.port  (integer; default 8080; 1 to 65535; needs a restart)\n      Port."));
  EXPECT_THAT(help, HasSubstr("--listen  (text; default 127.0.0.1:7101)"));
  EXPECT_THAT(help, HasSubstr("--backends[].weight"));
  EXPECT_THAT(help, HasSubstr("ALCOVE_SOME_SERVICE__"));
  EXPECT_FALSE(Load({"--check-config", "--http.port=0"}).ok());
}

TEST(Config, AsksTheProgramWhatTheSchemaCannotSay) {
  const ConfigProgram program = {.service = "some-service", .check = [](const google::protobuf::Message& message) {
                                   const int port = static_cast<const SampleConfig&>(message).http().port();
                                   return port == 9 ? absl::InvalidArgumentError("not nine") : absl::OkStatus();
                                 }};
  const auto load = [&](std::vector<const char*> args) {
    SampleConfig config;
    return LoadConfigMessage(program, args, {}, config).status();
  };
  for (const char* action : {"--check-config", "--ratio=0.5"}) {
    EXPECT_TRUE(load({action, "--http.port=8"}).ok());
    EXPECT_EQ(load({action, "--http.port=9"}).message(), "not nine");
  }
  EXPECT_TRUE(load({"--print-config", "--http.port=9"}).ok()) << "shown all the same";
}

TEST(Config, RendersItsReferenceAsMarkdown) {
  const std::string page = Output({"--print-config-reference"});
  EXPECT_THAT(page,
              HasSubstr("| `http.timeout` | `ALCOVE_SOME_SERVICE__HTTP__TIMEOUT` | duration | `1500ms` | 1ms to 1h |"
                        " no | Time allowed. |\n"));
  EXPECT_THAT(page,
              HasSubstr("| `http.port` | `ALCOVE_SOME_SERVICE__HTTP__PORT` | integer | `8080` | 1 to 65535 | yes |"));
  EXPECT_THAT(page, HasSubstr("| text |  |  | no | Password of the key. *Secret.* |"));
  EXPECT_THAT(page, HasSubstr("| bool | `false` |  | yes | Whether to encrypt. |"));
  EXPECT_THAT(page, HasSubstr("| `backends[].address` |  | text |  |  | no | host:port **Required.** |"));
}

TEST_F(ConfigFile, ItsExampleLoadsAsIfThereWereNoFile) {
  const std::string example = Output({"--print-config-example"});
  EXPECT_THAT(example, HasSubstr("  # Port. (integer; 1 to 65535; needs a restart)\n  port: 8080\n"));
  EXPECT_THAT(example, HasSubstr("names: [a, b]\n"));
  const std::string path = Write(example);
  const absl::StatusOr<SampleConfig> with = Load({"--config", path.c_str()});
  const absl::StatusOr<SampleConfig> without = Load({});
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_EQ(ConfigToYaml(*with), ConfigToYaml(*without));
}

TEST_F(ConfigFile, TheElementsItsExampleShowsLoadWhenUncommented) {
  std::string example = Output({"--print-config-example"});
  const size_t list = example.find("backends: []\n");
  ASSERT_NE(list, std::string::npos);
  std::string element = example.substr(list + 13, example.find("\n# Names.") - list - 13);
  EXPECT_THAT(element, HasSubstr("#   - address: \"\"\n"));
  element = absl::StrReplaceAll("\n" + element, {{"\n#", "\n"}, {"\"\"", "a:1"}});
  const std::string path = Write("backends:" + element + "\n");
  const absl::StatusOr<SampleConfig> config = Load({"--config", path.c_str()});
  ASSERT_TRUE(config.ok()) << config.status() << element;
  ASSERT_EQ(config->backends_size(), 1);
  EXPECT_EQ(config->backends(0).address(), "a:1");
  EXPECT_EQ(config->backends(0).weight(), 1);
}

TEST(Config, ChecksAMessageMadeInCode) {
  SampleConfig config = DefaultConfig<SampleConfig>();
  EXPECT_TRUE(CheckConfig(config).ok());
  config.mutable_http()->set_port(0);
  config.set_ratio(2);
  const absl::Status status = CheckConfig(config);
  EXPECT_THAT(std::string(status.message()), HasSubstr("http.port: 0 is less than the minimum 1; ratio: 2 is more"));
}

}  // namespace
}  // namespace alcove
