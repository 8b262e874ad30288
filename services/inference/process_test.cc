// The real process: started with a tiny model, asked over gRPC, stopped.
#include <atomic>
#include <thread>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "alcove/inference/v1/inference.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "libs/common/status.h"
#include "libs/rpc/status.h"
#include "libs/testing/child_process.h"
#include "libs/testing/paths.h"
#include "services/inference/testing/test_data.h"

namespace alcove::inference {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// The value of "address" in a JSON log line.
std::string AddressIn(const std::string& line) {
  const std::string key = "\"address\":\"";
  const size_t at = line.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size();
  return line.substr(begin, line.find('"', begin) - begin);
}

std::string TinyFolder() { return testing::TestDataPath("tiny_bert"); }

absl::StatusOr<std::unique_ptr<alcove::testing::ChildProcess>> StartInference(std::vector<std::string> args) {
  args.insert(args.end(), {"--server.listen=127.0.0.1:0", "--server.admin_listen=127.0.0.1:0", "--log.format=json"});
  return alcove::testing::ChildProcess::Start(
      {.binary = alcove::testing::BuildDir() + "/bin/alcove-inference", .args = args});
}

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto process = StartInference({absl::StrCat("--model=tiny=", TinyFolder(), ",second=", TinyFolder())});
    ASSERT_TRUE(process.ok()) << process.status();
    process_ = *std::move(process);
    const auto admin = process_->WaitForLine("admin");
    ASSERT_TRUE(admin.ok()) << admin.status();
    const auto line = process_->WaitForLine("\"listening\"");
    ASSERT_TRUE(line.ok()) << line.status();
    channel_ = grpc::CreateChannel(AddressIn(*line), grpc::InsecureChannelCredentials());
    stub_ = v1::InferenceService::NewStub(channel_);
  }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    context->set_wait_for_ready(true);
    return context;
  }
  grpc::Status Embed(const v1::EmbedRequest& request, v1::EmbedResponse* response) {
    return stub_->Embed(Context().get(), request, response);
  }

  std::unique_ptr<alcove::testing::ChildProcess> process_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::InferenceService::Stub> stub_;
};

TEST_F(ProcessTest, EmbedsTextsAndTokensAlikeWithUsage) {
  v1::EmbedRequest by_text, by_tokens;
  by_text.add_texts("hello world");
  v1::TokenizeRequest tokenize;
  tokenize.add_texts("hello world");
  v1::TokenizeResponse tokens;
  ASSERT_TRUE(stub_->Tokenize(Context().get(), tokenize, &tokens).ok());
  *by_tokens.add_tokens() = tokens.tokens(0);
  v1::EmbedResponse a, b;
  ASSERT_TRUE(Embed(by_text, &a).ok());
  ASSERT_TRUE(Embed(by_tokens, &b).ok());
  EXPECT_EQ(a.model(), "tiny");
  EXPECT_EQ(a.prompt_tokens(), 4);
  ASSERT_EQ(a.embeddings_size(), 1);
  EXPECT_THAT(a.embeddings(0).values(), SizeIs(36));
  EXPECT_EQ(a.embeddings(0).SerializeAsString(), b.embeddings(0).SerializeAsString());
}

TEST_F(ProcessTest, ConcurrentRequestsGetTheirOwnVectorsBitForBit) {
  const std::vector<std::string> texts = {"hello", "world", "the hello", "a b c d e f g", "!", "world hello the ing"};
  std::vector<std::string> expected;
  for (const std::string& text : texts) {
    v1::EmbedRequest request;
    request.add_texts(text);
    v1::EmbedResponse response;
    ASSERT_TRUE(Embed(request, &response).ok());
    expected.push_back(response.embeddings(0).SerializeAsString());
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> clients;
  for (size_t c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      for (size_t i = 0; i < 25; ++i) {
        v1::EmbedRequest request;
        const size_t first = (c + i) % texts.size(), second = (c * 2 + i * 3) % texts.size();
        request.add_texts(texts[first]);
        request.add_texts(texts[second]);
        v1::EmbedResponse response;
        const bool ok = Embed(request, &response).ok() && response.embeddings_size() == 2 &&
                        response.embeddings(0).SerializeAsString() == expected[first] &&
                        response.embeddings(1).SerializeAsString() == expected[second];
        wrong += !ok;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(ProcessTest, LargeRequestsWork) {
  v1::EmbedRequest request;
  for (int i = 0; i < 2048; ++i) request.add_texts(absl::StrCat("hello world the ", i));
  v1::EmbedResponse response;
  ASSERT_TRUE(Embed(request, &response).ok());
  EXPECT_EQ(response.embeddings_size(), 2048);
}

TEST_F(ProcessTest, WrongRequestsGetTheRightCodes) {
  v1::EmbedRequest request;
  v1::EmbedResponse response;
  EXPECT_EQ(Embed(request, &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.add_texts("a");
  request.set_model("none");
  const grpc::Status unknown = Embed(request, &response);
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(unknown.error_message(), HasSubstr("none"));
  request.set_model("second");
  request.set_dimensions(4);
  ASSERT_TRUE(Embed(request, &response).ok());
  EXPECT_EQ(response.model(), "second");
  EXPECT_THAT(response.embeddings(0).values(), SizeIs(4));
}

TEST(ProcessLimits, MoreTextsThanTheQueueHoldsAreRefusedWithARetryHint) {
  auto process = StartInference({"--model=" + TinyFolder(), "--batching.max_queued=3"});
  ASSERT_TRUE(process.ok()) << process.status();
  const auto line = (*process)->WaitForLine("\"listening\"");
  ASSERT_TRUE(line.ok()) << line.status();
  const auto stub =
      v1::InferenceService::NewStub(grpc::CreateChannel(AddressIn(*line), grpc::InsecureChannelCredentials()));
  v1::EmbedRequest request;
  for (int i = 0; i < 4; ++i) request.add_texts("hello");
  grpc::ClientContext refused, accepted;
  v1::EmbedResponse response;
  const absl::Status status = rpc::FromGrpc(stub->Embed(&refused, request, &response));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("tiny_bert"));
  EXPECT_TRUE(GetErrorDetails(status).retry_after.has_value());
  request.mutable_texts()->RemoveLast();
  EXPECT_TRUE(stub->Embed(&accepted, request, &response).ok());
}

TEST_F(ProcessTest, ListsAndDescribesModels) {
  v1::ListModelsResponse list;
  ASSERT_TRUE(stub_->ListModels(Context().get(), {}, &list).ok());
  ASSERT_EQ(list.models_size(), 2);
  EXPECT_EQ(list.models(0).name(), "second");
  EXPECT_EQ(list.models(1).name(), "tiny");
  EXPECT_TRUE(list.models(1).is_default());
  v1::GetModelRequest get;
  get.set_name("tiny");
  v1::GetModelResponse model;
  ASSERT_TRUE(stub_->GetModel(Context().get(), get, &model).ok());
  EXPECT_EQ(model.model().dimension(), 36u);
  get.set_name("none");
  EXPECT_EQ(stub_->GetModel(Context().get(), get, &model).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ProcessTest, WhatIsNotBuiltSaysSo) {
  v1::GenerateResponse token;
  auto context = Context();
  EXPECT_EQ(stub_->Generate(context.get(), {})->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
  v1::LoadModelResponse load;
  EXPECT_EQ(stub_->LoadModel(Context().get(), {}, &load).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  v1::UnloadModelResponse unload;
  EXPECT_EQ(stub_->UnloadModel(Context().get(), {}, &unload).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  v1::RerankResponse rerank;
  const grpc::Status status = stub_->Rerank(Context().get(), {}, &rerank);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("no ranking head"));
}

TEST_F(ProcessTest, ReportsHealthAndStatus) {
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  grpc::health::v1::HealthCheckRequest check;
  check.set_service(v1::InferenceService::service_full_name());
  grpc::health::v1::HealthCheckResponse answer;
  ASSERT_TRUE(health->Check(Context().get(), check, &answer).ok());
  EXPECT_EQ(answer.status(), grpc::health::v1::HealthCheckResponse::SERVING);

  v1::EmbedRequest request;
  request.add_texts("hello");
  v1::EmbedResponse embedded;
  ASSERT_TRUE(Embed(request, &embedded).ok());
  v1::GetStatusResponse status;
  ASSERT_TRUE(stub_->GetStatus(Context().get(), {}, &status).ok());
  EXPECT_EQ(status.process().service(), "inference");
  EXPECT_EQ(status.models_size(), 2);
  EXPECT_EQ(status.texts(), 1);
  EXPECT_EQ(status.batches(), 1);
  EXPECT_EQ(status.queue_depth(), 0);
  EXPECT_EQ(status.process().facts().at("devices"), "cpu");
  EXPECT_GT(status.process().resident_bytes(), 0);
}

TEST_F(ProcessTest, SigtermEndsItCleanly) {
  const auto code = process_->Stop();
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 0) << process_->Output();
}

TEST(ProcessStart, AnIncompleteFolderIsNamedAndEndsTheProcess) {
  const std::string folder = testing::MakeTempFolder("incomplete");
  testing::WriteFile(folder + "/config.json", "{}");
  auto process = StartInference({"--model=broken=" + folder});
  ASSERT_TRUE(process.ok()) << process.status();
  const auto code = (*process)->WaitForExit();
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 1);
  EXPECT_THAT((*process)->Output(), HasSubstr("broken"));
  EXPECT_THAT((*process)->Output(), HasSubstr("config.json"));
}

TEST(ProcessStart, WrongConfigurationEndsTheProcessWithTwo) {
  for (const char* flag : {"--model=", "--batching.max_texts=0", "--no_such_setting=1", "--precision=f99"}) {
    auto process = StartInference({flag});
    ASSERT_TRUE(process.ok()) << process.status();
    const auto code = (*process)->WaitForExit();
    ASSERT_TRUE(code.ok()) << code.status();
    EXPECT_EQ(*code, 2) << flag << ": " << (*process)->Output();
  }
}

}  // namespace
}  // namespace alcove::inference
