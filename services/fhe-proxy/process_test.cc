// The real process: started, asked over gRPC, killed, started again.
#include <array>
#include <csignal>
#include <tuple>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "alcove/private_search/v1/private_search.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "libs/fhe/client/client.h"
#include "libs/fhe/client/query.h"
#include "libs/fhe/testdata/fixtures.h"
#include "libs/rpc/status.h"
#include "libs/testing/child_process.h"
#include "libs/testing/paths.h"
#include "libs/testing/temp_dir.h"
#include "services/fhe-proxy/keys/parameter_sets.h"

namespace alcove::fhe_proxy {
namespace {

namespace pb = private_search::v1;

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }

  void Start(std::vector<std::string> more = {}) {
    stub_.reset();
    process_.reset();
    std::vector<std::string> args = {"--server.listen=127.0.0.1:0", "--server.admin_listen=127.0.0.1:0",
                                     absl::StrCat("--data_dir=", folder_.File("data")), "--log.format=json"};
    args.insert(args.end(), more.begin(), more.end());
    auto process =
        testing::ChildProcess::Start({.binary = testing::BuildDir() + "/bin/alcove-fhe-proxy", .args = args});
    ASSERT_TRUE(process.ok()) << process.status();
    process_ = *std::move(process);
    const auto line = process_->WaitForLine("listening", absl::Seconds(30));
    ASSERT_TRUE(line.ok()) << line.status();
    address_ = AddressIn(*line);
    ASSERT_FALSE(address_.empty()) << *line;
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
    stub_ = pb::PrivateSearchService::NewStub(channel_);
  }

  // The value of "address" in a JSON log line.
  static std::string AddressIn(const std::string& line) {
    const std::string key = "\"address\":\"";
    const size_t at = line.find(key);
    if (at == std::string::npos) return "";
    const size_t begin = at + key.size();
    return line.substr(begin, line.find('"', begin) - begin);
  }

  static std::unique_ptr<grpc::ClientContext> As(const std::string& tenant) {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!tenant.empty()) context->AddMetadata("x-alcove-tenant", tenant);
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    return context;
  }

  // Keys made by our own client half for the recommended set.
  static const std::string& Keys() {
    static const std::string keys = [] {
      const ParameterSet& set = OfferedSets()[0];
      const auto context = fhe::Context::Create(set.parameters).value();
      const fhe::SecretKey secret = fhe::SecretKey::Generate(*context);
      return fhe::WriteGaloisKeys(fhe::MakeGaloisKeys(*context, secret, set.galois_elements), set.parameters,
                                  {{4, 3}, fhe::Compression::kZstd});
    }();
    return keys;
  }

  absl::StatusOr<pb::UploadKeysResponse> Upload(const std::string& tenant, const std::string& keys) {
    pb::UploadKeysRequest request;
    request.set_parameter_set("s50");
    request.set_galois_keys(keys);
    request.set_label("test");
    pb::UploadKeysResponse response;
    const grpc::Status status = stub_->UploadKeys(As(tenant).get(), request, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    return response;
  }

  testing::TempDir folder_;
  std::unique_ptr<testing::ChildProcess> process_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::PrivateSearchService::Stub> stub_;
};

TEST_F(ProcessTest, OffersParametersARealClientCanLoad) {
  pb::GetParametersResponse response;
  ASSERT_TRUE(stub_->GetParameters(As("").get(), {}, &response).ok());
  ASSERT_GE(response.sets_size(), 1);
  const pb::ParameterSet& set = response.sets(0);
  EXPECT_EQ(set.name(), "s50");
  EXPECT_EQ(set.security_bits(), 128u);
  EXPECT_EQ(set.total_modulus_bits(), 109u);
  const auto parameters = fhe::ReadParameters(set.seal_parameters());
  ASSERT_TRUE(parameters.ok()) << parameters.status();
  EXPECT_EQ(parameters->object, fhe::ReadParameters(fhe::Fixture("node.parms"))->object);
  EXPECT_EQ(std::vector<std::string>(response.seal_versions().begin(), response.seal_versions().end()),
            (std::vector<std::string>{"3.6", "3.7", "4.0", "4.1", "4.2", "4.3", "4.4"}));
  pb::GetParametersRequest unknown;
  unknown.set_name("s99");
  EXPECT_EQ(stub_->GetParameters(As("").get(), unknown, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ProcessTest, KeysSurviveAKill) {
  const auto uploaded = Upload("acme", Keys());
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_FALSE(uploaded->already_stored());
  EXPECT_EQ(uploaded->keys().seal_version(), "4.3");
  process_->Kill();
  Start();
  pb::ListKeysResponse list;
  ASSERT_TRUE(stub_->ListKeys(As("acme").get(), {}, &list).ok());
  ASSERT_EQ(list.keys_size(), 1);
  EXPECT_EQ(list.keys(0).key_id(), uploaded->keys().key_id());
  EXPECT_EQ(list.keys(0).label(), "test");
  EXPECT_TRUE(Upload("acme", Keys())->already_stored());
  ASSERT_TRUE(stub_->ListKeys(As("rival").get(), {}, &list).ok());
  EXPECT_EQ(list.keys_size(), 0);

  pb::DeleteKeysRequest remove;
  remove.set_key_id(uploaded->keys().key_id());
  remove.set_revoke(true);
  pb::DeleteKeysResponse removed;
  ASSERT_TRUE(stub_->DeleteKeys(As("acme").get(), remove, &removed).ok());
  EXPECT_EQ(Upload("acme", Keys()).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ProcessTest, NamesWhatIsWrongWithAKey) {
  const auto reason = [&](const std::string& keys) {
    const absl::Status status = Upload("acme", keys).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return GetErrorDetails(status).reason;
  };
  EXPECT_EQ(reason("not a key at all!"), "FHE_BAD_MAGIC");
  EXPECT_EQ(reason(Keys().substr(0, 10000)), "FHE_TRUNCATED");
  EXPECT_EQ(reason(fhe::Fixture("node.galois")), "FHE_MISSING_KEY");
  EXPECT_EQ(reason(fhe::Fixture("tenseal.secret")), "FHE_BAD_KEY_COUNT") << "a secret key is taken for no other object";
  EXPECT_EQ(Upload("", Keys()).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Upload("acme", std::string(5 << 20, 'x')).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ProcessTest, ScoresAnEncryptedVectorByAClassifierThatSurvivesAKill) {
  pb::PutClassifierRequest put;
  put.set_name("topics");
  put.set_dimension(3);
  for (const auto& [label, weights, bias] :
       {std::tuple{"art", std::array{1.f, 0.f, -0.5f}, 0.5f}, std::tuple{"law", std::array{0.f, 2.f, 0.25f}, -1.f}}) {
    pb::ClassWeights& one = *put.add_classes();
    one.set_label(label);
    one.mutable_weights()->Add(weights.begin(), weights.end());
    one.set_bias(bias);
  }
  pb::PutClassifierResponse stored;
  ASSERT_TRUE(stub_->PutClassifier(As("acme").get(), put, &stored).ok());
  process_->Kill();
  Start();

  const ParameterSet& set = OfferedSets()[0];
  const fhe::SecretKey secret = fhe::SecretKey::Generate(*set.context);
  const auto uploaded =
      Upload("acme", fhe::WriteGaloisKeys(fhe::MakeGaloisKeys(*set.context, secret, set.galois_elements),
                                          set.parameters, {{4, 3}, fhe::Compression::kZstd}));
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  pb::GetClassifierRequest get;
  get.set_name("topics");
  pb::GetClassifierResponse described;
  ASSERT_TRUE(stub_->GetClassifier(As("acme").get(), get, &described).ok());
  EXPECT_EQ(stub_->GetClassifier(As("rival").get(), get, &described).error_code(), grpc::StatusCode::NOT_FOUND);
  ASSERT_TRUE(stub_->GetClassifier(As("acme").get(), get, &described).ok());

  const auto layout = fhe::Layout::Create(4096, described.layout().dimension(),
                                          static_cast<int>(described.layout().doublings()), described.layout().chunk());
  ASSERT_TRUE(layout.ok());
  const std::vector<int32_t> vector = {10, 20, -30};
  pb::ScoreRequest score;
  score.set_key_id(uploaded->keys().key_id());
  score.set_classifier("topics");
  score.set_revision(described.revision());
  const auto parts = fhe::EncodeQuery(*set.context, *layout, vector).value();
  for (const auto& part : parts) {
    score.mutable_query()->append(
        fhe::WriteCiphertext(fhe::EncryptSymmetric(*set.context, secret, part), {{4, 3}, fhe::Compression::kZstd}));
  }
  pb::ScoreResponse scored;
  const grpc::Status status = stub_->Score(As("acme").get(), score, &scored);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(scored.labels(1), "law");
  const auto reply = fhe::ReadCiphertext(scored.scores(), set.parameters);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->version, (fhe::SealVersion{4, 3}));
  const auto plain = fhe::Decrypt(*set.context, secret, reply->object);
  ASSERT_TRUE(plain.ok());
  const auto scores = fhe::DecodeScores(*set.context, plain->coefficients, *layout, 2,
                                        fhe::SignPattern::FromBytes(described.layout().signs(), 4096).value());
  const double unit = described.quantisation().row_scale();
  EXPECT_NEAR(static_cast<double>(scores[0]) / unit, 10 + 15, 0.5);
  EXPECT_NEAR(static_cast<double>(scores[1]) / unit, 40 - 7.5, 0.5);

  score.set_revision("another");
  EXPECT_EQ(GetErrorDetails(rpc::FromGrpc(stub_->Score(As("acme").get(), score, &scored))).reason,
            "COLLECTION_CHANGED");
}

TEST_F(ProcessTest, WithoutVectorSearchCollectionsCannotBeSearchedAndItSaysWhy) {
  pb::GetCollectionParametersRequest request;
  request.set_collection("docs");
  pb::GetCollectionParametersResponse response;
  const grpc::Status status = stub_->GetCollectionParameters(As("acme").get(), request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_NE(status.error_message().find("vector_search"), std::string::npos);
  const auto context = As("acme");
  const auto stream = stub_->Search(context.get(), {});
  pb::SearchResponse block;
  EXPECT_FALSE(stream->Read(&block));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::NOT_FOUND) << "no such key";
  const auto nobody = As("");
  const auto refused = stub_->Search(nobody.get(), {});
  EXPECT_FALSE(refused->Read(&block));
  EXPECT_EQ(refused->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(ProcessTest, TellsItsHealthAndStopsCleanly) {
  auto health = grpc::health::v1::Health::NewStub(channel_);
  grpc::health::v1::HealthCheckResponse answer;
  ASSERT_TRUE(health->Check(As("").get(), {}, &answer).ok());
  EXPECT_EQ(answer.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  pb::GetStatusResponse status;
  ASSERT_TRUE(stub_->GetStatus(As("").get(), {}, &status).ok());
  EXPECT_EQ(status.process().address(), address_);
  EXPECT_EQ(status.key_sets(), 0);
  health.reset();
  stub_.reset();
  channel_.reset();
  const auto code = process_->Stop();
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 0);
}

}  // namespace
}  // namespace alcove::fhe_proxy
