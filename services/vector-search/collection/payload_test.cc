#include "services/vector-search/collection/payload.h"

#include <functional>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::vector_search {
namespace {

using ::testing::HasSubstr;

std::string Build(const std::function<void(PayloadBuilder&)>& fill) {
  PayloadBuilder builder;
  builder.BeginObject();
  fill(builder);
  builder.EndObject();
  auto bytes = std::move(builder).Finish();
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.value_or("");
}

TEST(Payload, GivesBackEveryKindOfValue) {
  const std::string bytes = Build([](PayloadBuilder& b) {
    b.Key("a");
    b.Null();
    b.Key("b");
    b.Bool(true);
    b.Key("c");
    b.Integer(-7);
    b.Key("d");
    b.Number(2.5);
    b.Key("e");
    b.String("héllo");
    b.Key("f");
    b.BeginList();
    b.Integer(1);
    b.String("x");
    b.EndList();
    b.Key("g");
    b.BeginObject();
    b.Key("h");
    b.Bool(false);
    b.EndObject();
  });
  ASSERT_TRUE(ValidatePayload(bytes).ok());
  EXPECT_EQ(FindPath(bytes, "a")->kind(), ValueKind::kNull);
  EXPECT_TRUE(FindPath(bytes, "b")->boolean());
  EXPECT_EQ(FindPath(bytes, "c")->integer(), -7);
  EXPECT_EQ(FindPath(bytes, "d")->number(), 2.5);
  EXPECT_EQ(FindPath(bytes, "e")->string(), "héllo");
  ListView list = FindPath(bytes, "f")->list();
  EXPECT_EQ(list.value().integer(), 1);
  list.Next();
  EXPECT_EQ(list.value().string(), "x");
  list.Next();
  EXPECT_TRUE(list.done());
  EXPECT_FALSE(FindPath(bytes, "g.h")->boolean());
  EXPECT_FALSE(FindPath(bytes, "g.i").has_value());
  EXPECT_FALSE(FindPath(bytes, "c.h").has_value());
}

TEST(Payload, StoresWholeNumbersAsIntegersAndKeepsMinusZero) {
  const std::string bytes = Build([](PayloadBuilder& b) {
    b.Key("big");
    b.Number(9007199254740992.0);
    b.Key("bigger");
    b.Number(1e300);
    b.Key("negative_zero");
    b.Number(-0.0);
    b.Key("whole");
    b.Number(42.0);
  });
  EXPECT_EQ(FindPath(bytes, "big")->kind(), ValueKind::kInteger);
  EXPECT_EQ(FindPath(bytes, "bigger")->number(), 1e300);
  EXPECT_TRUE(std::signbit(FindPath(bytes, "negative_zero")->number()));
  EXPECT_EQ(FindPath(bytes, "whole")->integer(), 42);
}

TEST(Payload, RefusesToBuildWhatItCouldNotRead) {
  const auto fails = [](const std::function<void(PayloadBuilder&)>& fill) {
    PayloadBuilder builder;
    fill(builder);
    return std::string(std::move(builder).Finish().status().message());
  };
  EXPECT_THAT(fails([](PayloadBuilder& b) {
                b.BeginObject();
                b.Key("b");
                b.Null();
                b.Key("a");
              }),
              HasSubstr("ascending"));
  EXPECT_THAT(fails([](PayloadBuilder& b) {
                b.BeginObject();
                b.Key("a");
                b.Number(std::nan(""));
              }),
              HasSubstr("finite"));
  EXPECT_THAT(fails([](PayloadBuilder& b) { b.String("top"); }), HasSubstr("object"));
  EXPECT_THAT(fails([](PayloadBuilder& b) {
                b.BeginObject();
                b.Key("a");
                b.String("\xff");
              }),
              HasSubstr("UTF-8"));
  EXPECT_THAT(fails([](PayloadBuilder& b) {
                b.BeginObject();
                for (int i = 0; i < 40; ++i) {
                  b.Key("a");
                  b.BeginObject();
                }
              }),
              HasSubstr("deeper"));
  EXPECT_THAT(fails([](PayloadBuilder& b) {
                b.BeginObject();
                b.Key("a");
                b.BeginList();
                const std::string text(1 << 16, 'x');
                for (int i = 0; i < 20; ++i) b.String(text);
                b.EndList();
                b.EndObject();
              }),
              HasSubstr("larger"));
}

TEST(Payload, TheDeepestAllowedObjectPassesValidation) {
  PayloadBuilder builder;
  builder.BeginObject();
  for (int i = 1; i < kMaxPayloadDepth; ++i) {
    builder.Key("a");
    builder.BeginObject();
  }
  for (int i = 0; i < kMaxPayloadDepth; ++i) builder.EndObject();
  const auto bytes = std::move(builder).Finish();
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_TRUE(ValidatePayload(*bytes).ok());
}

TEST(Payload, ValidationNoticesEveryTruncationAndSaysWhichVersionIsTooNew) {
  const std::string bytes = Build([](PayloadBuilder& b) {
    b.Key("a");
    b.BeginList();
    b.Integer(300);
    b.Number(0.1);
    b.EndList();
    b.Key("b");
    b.String("text");
  });
  for (size_t n = 1; n < bytes.size(); ++n) EXPECT_FALSE(ValidatePayload(bytes.substr(0, n)).ok()) << n;
  EXPECT_FALSE(ValidatePayload(bytes + "x").ok());
  std::string newer = bytes;
  newer[0] = 2;
  EXPECT_EQ(ValidatePayload(newer).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Payload, MergeSetsTopLevelFieldsAndKeepsTheOthers) {
  const std::string base = Build([](PayloadBuilder& b) {
    b.Key("a");
    b.Integer(1);
    b.Key("c");
    b.Integer(3);
  });
  const std::string change = Build([](PayloadBuilder& b) {
    b.Key("b");
    b.Integer(20);
    b.Key("c");
    b.Integer(30);
  });
  const auto merged = MergePayload(base, change);
  ASSERT_TRUE(merged.ok());
  EXPECT_EQ(FindPath(*merged, "a")->integer(), 1);
  EXPECT_EQ(FindPath(*merged, "b")->integer(), 20);
  EXPECT_EQ(FindPath(*merged, "c")->integer(), 30);
  EXPECT_EQ(*MergePayload("", change), change);
  EXPECT_EQ(*MergePayload(base, ""), base);
}

TEST(Payload, SelectorKeepsOnlyTheFieldsAskedFor) {
  const std::string bytes = Build([](PayloadBuilder& b) {
    for (const char* key : {"a", "b", "c"}) {
      b.Key(key);
      b.Integer(1);
    }
  });
  const auto keys = [](const std::string& payload) {
    std::string out;
    for (ObjectView it = PayloadObject(payload); !it.done(); it.Next()) out += std::string(it.key());
    return out;
  };
  EXPECT_EQ(keys(SelectPayload(bytes, {})), "abc");
  EXPECT_EQ(keys(SelectPayload(bytes, {.include = {"c", "a", "z"}})), "ac");
  EXPECT_EQ(keys(SelectPayload(bytes, {.exclude = {"b"}})), "ac");
  EXPECT_EQ(keys(SelectPayload(bytes, {.include = {"a", "b"}, .exclude = {"b"}})), "a");
  EXPECT_EQ(SelectPayload(bytes, {.none = true}), "");
}

// Writes a random value and returns its JSON-like text, made by the writer rather than the reader.
std::string RandomValue(std::mt19937& rng, PayloadBuilder& b, int depth) {
  switch (rng() % (depth > 4 ? 5 : 7)) {
    case 0: b.Null(); return "null";
    case 1: {
      const bool v = rng() % 2;
      b.Bool(v);
      return v ? "true" : "false";
    }
    case 2: {
      const auto v = static_cast<int64_t>(rng()) - (int64_t{1} << 31);
      b.Integer(v);
      return std::to_string(v);
    }
    case 3: {
      const double v = static_cast<double>(rng()) / 1000.0 + 0.0001;
      b.Number(v);
      return std::to_string(v);
    }
    case 4: {
      const std::string v(rng() % 300, static_cast<char>('a' + rng() % 26));
      b.String(v);
      return v;
    }
    case 5: {
      std::string out = "[";
      b.BeginList();
      for (size_t n = rng() % 4; n > 0; --n) out += RandomValue(rng, b, depth + 1) + ",";
      b.EndList();
      return out + "]";
    }
    default: {
      std::string out = "{";
      b.BeginObject();
      for (char key = 'a'; key < 'd'; ++key) {
        if (rng() % 2) continue;
        b.Key(std::string(1, key));
        out += std::string(1, key) + ":" + RandomValue(rng, b, depth + 1) + ",";
      }
      b.EndObject();
      return out + "}";
    }
  }
}

std::string Print(ValueView v) {
  switch (v.kind()) {
    case ValueKind::kNull: return "null";
    case ValueKind::kFalse: return "false";
    case ValueKind::kTrue: return "true";
    case ValueKind::kInteger: return std::to_string(v.integer());
    case ValueKind::kDouble: return std::to_string(v.number());
    case ValueKind::kString: return std::string(v.string());
    case ValueKind::kList: {
      std::string out = "[";
      for (ListView it = v.list(); !it.done(); it.Next()) out += Print(it.value()) + ",";
      return out + "]";
    }
    case ValueKind::kObject: {
      std::string out = "{";
      for (ObjectView it = v.object(); !it.done(); it.Next()) {
        out += std::string(it.key()) + ":" + Print(it.value()) + ",";
      }
      return out + "}";
    }
  }
  return "?";
}

TEST(Payload, ReadsBackRandomTrees) {
  std::mt19937 rng(7);
  for (int round = 0; round < 500; ++round) {
    PayloadBuilder builder;
    builder.BeginObject();
    builder.Key("v");
    const std::string want = RandomValue(rng, builder, 0);
    builder.EndObject();
    const auto bytes = std::move(builder).Finish();
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_TRUE(ValidatePayload(*bytes).ok());
    EXPECT_EQ(Print(*FindPath(*bytes, "v")), want);
  }
}

}  // namespace
}  // namespace alcove::vector_search
