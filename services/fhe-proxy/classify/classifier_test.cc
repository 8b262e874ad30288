#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/status.h"
#include "libs/testing/temp_dir.h"
#include "services/fhe-proxy/classify/classifier_store.h"

namespace alcove::fhe_proxy {
namespace {

Classifier Topics() { return {"topics", {"art", "law"}, 3, {1, 0, -0.5f, 0, 2, 0.25f}, {0.5f, -1}}; }

class ClassifierTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }
  void Start() {
    store_.reset();
    store_ = ClassifierStore::Open({folder_.File("classifiers"), 2}).value();
  }
  testing::TempDir folder_;
  std::unique_ptr<ClassifierStore> store_;
  const ParameterSet& set_ = OfferedSets()[0];
};

TEST_F(ClassifierTest, SurvivesARestartAndBelongsToItsTenant) {
  ASSERT_TRUE(store_->Put("acme", Topics()).ok());
  Start();
  ASSERT_EQ(store_->List("acme").size(), 1u);
  EXPECT_EQ(store_->List("acme")[0].labels, (std::vector<std::string>{"art", "law"}));
  const auto encoded = store_->Encoded("acme", "topics", set_);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ((*encoded)->biases, (std::vector<float>{0.5f, -1}));
  EXPECT_NEAR((*encoded)->row_scale, 63.5, 1e-9);
  EXPECT_EQ(store_->Encoded("rival", "topics", set_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Delete("rival", "topics").code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(store_->Delete("acme", "topics").ok());
  Start();
  EXPECT_TRUE(store_->List("acme").empty());
}

TEST_F(ClassifierTest, AReplacedClassifierHasAnotherRevision) {
  ASSERT_TRUE(store_->Put("acme", Topics()).ok());
  const std::string first = store_->Encoded("acme", "topics", set_).value()->revision;
  Classifier other = Topics();
  other.weights[0] = 0.75f;
  ASSERT_TRUE(store_->Put("acme", other).ok());
  EXPECT_NE(store_->Encoded("acme", "topics", set_).value()->revision, first);
}

TEST_F(ClassifierTest, NamesWhatIsWrong) {
  const auto field = [&](auto change) {
    Classifier c = Topics();
    change(c);
    const absl::Status status = store_->Put("acme", c);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return GetErrorDetails(status).field_violations.at(0).field;
  };
  EXPECT_EQ(field([](Classifier& c) { c.name = "a/b"; }), "name");
  EXPECT_EQ(field([](Classifier& c) { c.labels[1] = "art"; }), "labels");
  EXPECT_EQ(field([](Classifier& c) { c.weights.pop_back(); }), "weights");
  EXPECT_EQ(field([](Classifier& c) { c.weights.assign(6, 0); }), "weights");
  EXPECT_EQ(field([](Classifier& c) { c.biases[0] = INFINITY; }), "biases");
  EXPECT_EQ(field([](Classifier& c) { c.dimension = 0; }), "dimension");
  Classifier more = Topics();
  for (const char* name : {"one", "two"}) {
    more.name = name;
    ASSERT_TRUE(store_->Put("acme", more).ok());
  }
  more.name = "three";
  EXPECT_EQ(GetErrorDetails(store_->Put("acme", more)).reason, "TOO_MANY_CLASSIFIERS");
}

TEST_F(ClassifierTest, ADamagedFileIsSetAside) {
  const std::string bytes = EncodeClassifier("acme", Topics());
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_EQ(DecodeClassifier(damaged).status().code(), absl::StatusCode::kDataLoss);
  }
  std::ofstream(folder_.File("classifiers/x.classifier")) << "nonsense";
  Start();
  EXPECT_EQ(store_->damaged(), 1u);
}

}  // namespace
}  // namespace alcove::fhe_proxy
