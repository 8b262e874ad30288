#include "services/vector-search/collection/schema.h"

#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/vector-search/collection/payload.h"

namespace alcove::vector_search {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

CollectionConfig Example() {
  CollectionConfig config;
  config.vectors[""] = {.dimension = 384};
  config.vectors["title"] = {.dimension = 8, .metric = Metric::kL2, .m = 8, .codes = Codes::kF32};
  config.schema = {{"section", FieldType::kKeyword},
                   {"size", FieldType::kInteger},
                   {"score", FieldType::kFloat},
                   {"free", FieldType::kBool},
                   {"meta.at", FieldType::kDatetime}};
  config.embedding_model = "all-MiniLM-L6-v2";
  config.description = "packages";
  return config;
}

TEST(Schema, SettingsSurviveTheCatalogue) {
  const CollectionConfig config = Example();
  ASSERT_TRUE(ValidateConfig(config).ok());
  const auto decoded = DecodeConfig(EncodeConfig(config));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, config);
}

TEST(Schema, DamagedSettingsAreNotBelieved) {
  const std::string good = EncodeConfig(Example());
  EXPECT_EQ(DecodeConfig("").status().code(), absl::StatusCode::kDataLoss);
  for (size_t n = 0; n < good.size(); n += 3) {
    EXPECT_EQ(DecodeConfig(good.substr(0, n)).status().code(), absl::StatusCode::kDataLoss) << n;
  }
}

TEST(Schema, NamesTheSettingThatIsOutOfBounds) {
  const auto message = [](auto change) {
    CollectionConfig config = Example();
    change(config);
    return std::string(ValidateConfig(config).message());
  };
  EXPECT_THAT(message([](auto& c) { c.vectors.clear(); }), HasSubstr("at least one vector"));
  EXPECT_THAT(message([](auto& c) { c.vectors["title"].dimension = 0; }),
              AllOf(HasSubstr("title"), HasSubstr("dimension"), HasSubstr("65536")));
  EXPECT_THAT(message([](auto& c) { c.vectors[""].m = 3; }), HasSubstr("hnsw.m"));
  EXPECT_THAT(message([](auto& c) { c.vectors[""].ef_construction = 10; }), HasSubstr("16 to 4096"));
  EXPECT_THAT(message([](auto& c) { c.vectors[""].ef_search = 0; }), HasSubstr("ef_search"));
  EXPECT_THAT(message([](auto& c) { c.description.assign(2000, 'x'); }), HasSubstr("description"));
  const auto sparse = [&](auto change) {
    return message([&](auto& c) {
      c.sparse["words"].text_field = "text";
      change(c, c.sparse["words"]);
    });
  };
  EXPECT_EQ(sparse([](auto&, auto&) {}), "");
  EXPECT_THAT(sparse([](auto& c, auto&) { c.sparse["title"] = {}; }), HasSubstr("vector field too"));
  EXPECT_THAT(sparse([](auto& c, auto&) { c.sparse[""] = {}; }), HasSubstr("1 to 128"));
  EXPECT_THAT(sparse([](auto&, auto& f) { f.text.language = "elvish"; }),
              AllOf(HasSubstr("words"), HasSubstr("elvish")));
  EXPECT_THAT(sparse([](auto&, auto& f) { f.k1 = std::nanf(""); }), HasSubstr("k1"));
  EXPECT_THAT(sparse([](auto&, auto& f) { f.b = 1.5f; }), HasSubstr("0 to 1"));
  EXPECT_THAT(sparse([](auto&, auto& f) { f.idf = true; }), HasSubstr("BM25"));
  EXPECT_THAT(sparse([](auto& c, auto&) { c.sparse["raw"].text.language = "english"; }), HasSubstr("text_field"));
  EXPECT_THAT(sparse([](auto& c, auto&) {
                for (int i = 0; i < 9; ++i) c.sparse[std::string(1, static_cast<char>('a' + i))] = {};
              }),
              HasSubstr("at most 8"));
}

TEST(Schema, SparseFieldsSurviveTheCatalogueAndAreAnewerVersionOfIt) {
  CollectionConfig config = Example();
  const auto version = [](const std::string& bytes) { return FindPath(bytes, "version")->integer(); };
  EXPECT_EQ(version(EncodeConfig(config)), 1);
  config.sparse["words"] = {
      .text_field = "body.text", .text = {.language = "english", .stop_words = {"the", "of"}}, .k1 = 0.9f, .b = 0.4f};
  config.sparse["splade"] = {.idf = true};
  config.vectors.clear();
  ASSERT_TRUE(ValidateConfig(config).ok());
  const auto decoded = DecodeConfig(EncodeConfig(config));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, config);
  EXPECT_EQ(version(EncodeConfig(config)), 2);
  config = Example();
  config.schema["place"] = FieldType::kGeo;
  EXPECT_EQ(version(EncodeConfig(config)), 2);
  EXPECT_EQ(DecodeConfig(EncodeConfig(config)).value(), config);
}

TEST(Schema, WhatIsKeptOfVectorsSurvivesTheCatalogueAndIsANewerVersionOfIt) {
  const auto version = [](const std::string& bytes) { return FindPath(bytes, "version")->integer(); };
  const auto kept = [](Codes codes, VectorStorage storage, bool on_disk) {
    CollectionConfig config = Example();
    config.vectors[""].codes = codes;
    config.vectors[""].storage = storage;
    config.vectors[""].on_disk = on_disk;
    return config;
  };
  for (const CollectionConfig& config :
       {kept(Codes::kInt4, VectorStorage::kF16, false), kept(Codes::kInt4, VectorStorage::kInt8, true),
        kept(Codes::kInt8, VectorStorage::kF32, true), kept(Codes::kBit1, VectorStorage::kF32, false)}) {
    ASSERT_TRUE(ValidateConfig(config).ok());
    EXPECT_EQ(version(EncodeConfig(config)), 3);
    EXPECT_EQ(DecodeConfig(EncodeConfig(config)).value(), config);
  }
  // What older builds know is written as they would.
  EXPECT_EQ(version(EncodeConfig(kept(Codes::kF16, VectorStorage::kF16, false))), 1);
  EXPECT_EQ(DecodeConfig(EncodeConfig(kept(Codes::kF16, VectorStorage::kF16, false)))->vectors.at("").storage,
            VectorStorage::kF16);

  const auto message = [&](Codes codes, VectorStorage storage, bool on_disk) {
    return std::string(ValidateConfig(kept(codes, storage, on_disk)).message());
  };
  EXPECT_THAT(message(Codes::kF32, VectorStorage::kF16, false), HasSubstr("storage"));
  EXPECT_THAT(message(Codes::kBit1, VectorStorage::kInt8, false), HasSubstr("storage"));
  EXPECT_THAT(message(Codes::kInt8, VectorStorage::kInt6, false), HasSubstr("storage"));
  EXPECT_THAT(message(Codes::kF32, VectorStorage::kF32, true), HasSubstr("on_disk"));
  EXPECT_THAT(message(Codes::kInt8, VectorStorage::kInt8, true), HasSubstr("on_disk"));
}

TEST(Schema, CollectionNamesAreAPlainAlphabet) {
  EXPECT_TRUE(ValidateCollectionName("docs-2024_v1.0").ok());
  for (const char* name : {"", "a b", "a/b", "é"}) EXPECT_FALSE(ValidateCollectionName(name).ok()) << name;
  EXPECT_FALSE(ValidateCollectionName(std::string(129, 'a')).ok());
}

std::string OneField(absl::string_view key, const std::function<void(PayloadBuilder&)>& value) {
  PayloadBuilder b;
  b.BeginObject();
  b.Key(key);
  value(b);
  b.EndObject();
  return std::move(b).Finish().value();
}

TEST(Schema, RefusesPayloadOfTheWrongTypeNamingPointFieldAndType) {
  CollectionConfig config = Example();
  config.schema["place"] = FieldType::kGeo;
  config.sparse["words"].text_field = "text";
  const auto status = CheckPayloadTypes(config, "p-17", OneField("size", [](auto& b) { b.String("large"); }));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("p-17"), HasSubstr("size"), HasSubstr("integer")));
  const auto ok = [&](absl::string_view key, const std::function<void(PayloadBuilder&)>& value) {
    return CheckPayloadTypes(config, "p", OneField(key, value)).ok();
  };
  EXPECT_FALSE(ok("size", [](auto& b) { b.Number(1.5); }));
  EXPECT_TRUE(ok("size", [](auto& b) { b.Number(2.0); }));
  EXPECT_TRUE(ok("size", [](auto& b) { b.Null(); }));
  EXPECT_TRUE(ok("score", [](auto& b) { b.Integer(1); }));
  EXPECT_FALSE(ok("free", [](auto& b) { b.String("true"); }));
  EXPECT_FALSE(ok("section", [](auto& b) { b.Integer(1); }));
  EXPECT_TRUE(ok("section", [](auto& b) {
    b.BeginList();
    b.String("x");
    b.EndList();
  }));
  EXPECT_FALSE(ok("section", [](auto& b) {
    b.BeginList();
    b.String("x");
    b.Integer(1);
    b.EndList();
  }));
  EXPECT_TRUE(ok("other", [](auto& b) { b.Integer(1); }));
  EXPECT_FALSE(ok("text", [](auto& b) { b.Integer(1); }));  // what a sparse field reads
  const auto place = [](double lat, double lon) {
    return [=](PayloadBuilder& b) {
      b.BeginObject();
      b.Key("lat");
      b.Number(lat);
      b.Key("lon");
      b.Number(lon);
      b.EndObject();
    };
  };
  EXPECT_TRUE(ok("place", place(52.5, 13.4)));
  EXPECT_FALSE(ok("place", place(91, 13.4)));
  EXPECT_FALSE(ok("place", [](auto& b) { b.String("52.5,13.4"); }));
  EXPECT_FALSE(ok("meta", [](auto& b) {
    b.BeginObject();
    b.Key("at");
    b.String("yesterday");
    b.EndObject();
  }));
}

}  // namespace
}  // namespace alcove::vector_search
