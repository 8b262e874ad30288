#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "alcove/inference/v1/inference.pb.h"
#include "libs/common/status.h"
#include "services/gateway/flows/fake_backends.h"
#include "services/gateway/openai/embeddings_request.h"
#include "services/gateway/openai/openai_api.h"
#include "services/gateway/openai/openai_error.h"

namespace alcove::gateway {
namespace {

namespace inference = alcove::inference::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<EmbeddingsRequest> Parse(std::string json) { return ParseEmbeddingsRequest(json); }

TEST(EmbeddingsRequest, TakesEveryFormOfInput) {
  EXPECT_THAT(Parse(R"({"input":"a","model":"m"})")->texts, ElementsAre("a"));
  EXPECT_THAT(Parse(R"({"input":["a","b"],"model":"m","user":"u","new_field":{}})")->texts, ElementsAre("a", "b"));
  EXPECT_THAT(Parse(R"({"input":[1,2],"model":"m"})")->tokens, ElementsAre(ElementsAre(1, 2)));
  const auto lists = Parse(R"({"input":[[1],[2,3]],"model":"m","encoding_format":"base64","dimensions":4})");
  EXPECT_THAT(lists->tokens, ElementsAre(ElementsAre(1), ElementsAre(2, 3)));
  EXPECT_TRUE(lists->base64);
  EXPECT_EQ(lists->dimensions, 4u);
}

TEST(EmbeddingsRequest, SaysWhatIsWrong) {
  const auto error = [](std::string json) { return std::string(Parse(std::move(json)).status().message()); };
  EXPECT_THAT(error(""), HasSubstr("empty"));
  EXPECT_THAT(error("{"), HasSubstr("malformed JSON"));
  EXPECT_THAT(error("[]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(error(R"({"model":"m"})"), HasSubstr("input: must be given"));
  EXPECT_THAT(error(R"({"input":"a"})"), HasSubstr("model: must be given"));
  EXPECT_THAT(error(R"({"input":[],"model":"m"})"), HasSubstr("input: must not be empty"));
  EXPECT_THAT(error(R"({"input":"","model":"m"})"), HasSubstr("input: must not be empty"));
  EXPECT_THAT(error(R"({"input":["a",""],"model":"m"})"), HasSubstr("input[1]: must not be empty"));
  EXPECT_THAT(error(R"({"input":["a",1],"model":"m"})"), HasSubstr("input[1]: expected"));
  EXPECT_THAT(error(R"({"input":["a",[1]],"model":"m"})"), HasSubstr("cannot be mixed"));
  EXPECT_THAT(error(R"({"input":[-1],"model":"m"})"), HasSubstr("token ids"));
  EXPECT_THAT(error(R"({"input":{},"model":"m"})"), HasSubstr("input: expected"));
  EXPECT_THAT(error(R"({"input":"a","model":"m","encoding_format":"hex"})"), HasSubstr("base64"));
  EXPECT_THAT(error(R"({"input":"a","model":"m","dimensions":0})"), HasSubstr("dimensions"));
  std::string many = R"({"model":"m","input":["a")";
  for (int i = 0; i < 2048; ++i) many += R"(,"a")";
  EXPECT_THAT(error(many + "]}"), HasSubstr("at most 2048"));
}

TEST(OpenAiError, HasTheShapeClientsKnow) {
  EXPECT_EQ(OpenAiErrorJson(NotFound("model", "x")),
            R"({"error":{"message":"model \"x\" not found","type":"invalid_request_error","param":"model",)"
            R"("code":"model_not_found"}})");
  EXPECT_EQ(OpenAiErrorJson(InvalidField("input", "bad")),
            R"({"error":{"message":"input: bad","type":"invalid_request_error","param":"input","code":null}})");
  EXPECT_THAT(OpenAiErrorJson(absl::UnauthenticatedError("no")), HasSubstr(R"("code":"invalid_api_key")"));
  EXPECT_THAT(OpenAiErrorJson(absl::ResourceExhaustedError("slow")), HasSubstr("rate_limit_error"));
}

class OpenAiApiTest : public ::testing::Test {
 protected:
  OpenAiApiTest() {
    backends_.On<inference::ListModelsRequest, inference::ListModelsResponse>(
        methods::kListModels, [](const RequestContext&, const inference::ListModelsRequest&) {
          inference::ListModelsResponse reply;
          auto* model = reply.add_models();
          model->set_name("org/mini");
          model->set_task(inference::MODEL_TASK_EMBED);
          model->set_dimension(2);
          model->set_created(1700000000);
          return reply;
        });
    backends_.On<inference::EmbedRequest, inference::EmbedResponse>(
        methods::kEmbed,
        [](const RequestContext&, const inference::EmbedRequest& request) -> absl::StatusOr<inference::EmbedResponse> {
          inference::EmbedResponse reply;
          for (int i = 0; i < request.texts_size(); ++i) {
            if (request.texts(i) == "long") return InvalidField(absl::StrCat("texts[", i, "]"), "too long");
            auto* embedding = reply.add_embeddings();
            embedding->add_values(0.5f);
            embedding->add_values(static_cast<float>(request.texts(i).size()));
          }
          reply.set_prompt_tokens(3);
          return reply;
        });
  }
  absl::StatusOr<std::string> Embeddings(std::string body) {
    return Await(io_, OpenAiEmbeddings(env_, RequestContext(), std::move(body)));
  }
  asio::io_context io_;
  FakeBackends backends_;
  FlowEnv env_{backends_, io_.get_executor(), [] {
                 FlowOptions options;
                 options.batch_size = 2;
                 return options;
               }()};
};

TEST_F(OpenAiApiTest, AnswersEmbeddingsInOrderWithUsage) {
  EXPECT_EQ(
      *Embeddings(R"({"input":["a","bb","ccc"],"model":"org/mini"})"),
      R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,1]},)"
      R"({"object":"embedding","index":1,"embedding":[0.5,2]},{"object":"embedding","index":2,"embedding":[0.5,3]}],)"
      R"("model":"org/mini","usage":{"prompt_tokens":6,"total_tokens":6}})");
  EXPECT_THAT(*Embeddings(R"({"input":"a","model":"default","encoding_format":"base64"})"),
              HasSubstr(R"("embedding":"AAAAPwAAgD8=")"));
}

TEST_F(OpenAiApiTest, NamesTheInputAModelRefused) {
  const absl::Status status = Embeddings(R"({"input":["a","b","c","long"],"model":"org/mini"})").status();
  EXPECT_EQ(status.message(), "input[3]: too long");
}

TEST_F(OpenAiApiTest, TellsAnUnknownModelAndAnImpossibleDimension) {
  EXPECT_EQ(Embeddings(R"({"input":"a","model":"gpt"})").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Embeddings(R"({"input":"a","model":"default","dimensions":3})").status().message(), HasSubstr("have 2"));
}

TEST_F(OpenAiApiTest, ListsModels) {
  EXPECT_EQ(
      *Await(io_, OpenAiListModels(env_, RequestContext())),
      R"({"object":"list","data":[{"id":"org/mini","object":"model","created":1700000000,"owned_by":"alcove"}]})");
  EXPECT_TRUE(Await(io_, OpenAiGetModel(env_, RequestContext(), "org/mini")).ok());
  EXPECT_EQ(Await(io_, OpenAiGetModel(env_, RequestContext(), "x")).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace alcove::gateway
