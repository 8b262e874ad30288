#include "services/vector-search/collection/filter.h"

#include <map>
#include <random>
#include <set>
#include <string>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/vector-search/collection/field_values.h"
#include "services/vector-search/collection/filter_plan.h"
#include "services/vector-search/collection/payload.h"
#include "services/vector-search/collection/payload_index.h"

namespace alcove::vector_search {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

CollectionConfig Config() {
  CollectionConfig config;
  config.vectors[""] = {.dimension = 4};
  config.schema = {{"color", FieldType::kKeyword}, {"size", FieldType::kInteger}, {"price", FieldType::kFloat},
                   {"free", FieldType::kBool},     {"at", FieldType::kDatetime},  {"meta.lang", FieldType::kKeyword},
                   {"place", FieldType::kGeo},     {"body", FieldType::kText}};
  return config;
}

Filter Must(Condition condition) {
  Filter filter;
  filter.must.push_back(std::move(condition));
  return filter;
}

std::string Error(const Filter& filter) {
  const CollectionConfig config = Config();
  const auto plan = PlanFilter(config, FieldList(config), filter);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(plan.status().message());
}

TEST(Filter, NamesAnUnknownFieldAndThoseThatExist) {
  EXPECT_THAT(Error(Must(MatchCondition{"colour", {Literal("red")}})),
              AllOf(HasSubstr("colour"), HasSubstr("did you mean \"color\""), HasSubstr("meta.lang")));
  EXPECT_THAT(Error(Must(IsEmptyCondition{"nothing"})), HasSubstr("nothing"));
}

TEST(Filter, ChecksTextAndGeoConditions) {
  EXPECT_THAT(Error(Must(TextCondition{"color", "red"})), HasSubstr("match_text needs text"));
  EXPECT_THAT(Error(Must(TextCondition{"body", " ?! "})), HasSubstr("at least one word"));
  EXPECT_THAT(Error(Must(TextCondition{"body", std::string(40'000, 'x')})), HasSubstr("32768"));
  std::string many;
  for (int i = 0; i < 300; ++i) absl::StrAppend(&many, " w", i);
  EXPECT_THAT(Error(Must(TextCondition{"body", many})), HasSubstr("256"));
  EXPECT_THAT(Error(Must(MatchCondition{"body", {Literal("x")}})), HasSubstr("match_text"));
  EXPECT_THAT(Error(Must(MatchCondition{"place", {Literal("x")}})), HasSubstr("geo_radius"));
  EXPECT_THAT(Error(Must(RangeCondition{.field = "place", .gt = Literal(1.0)})), HasSubstr("ranges need"));
  EXPECT_THAT(Error(Must(GeoCondition{"color", GeoCircle{{0, 0}, 1}})), HasSubstr("needs geo"));
  EXPECT_THAT(Error(Must(GeoCondition{"place", GeoCircle{{91, 0}, 1}})), HasSubstr("latitudes"));
  EXPECT_THAT(Error(Must(GeoCondition{"place", GeoCircle{{0, 0}, std::nan("")}})), HasSubstr("radius"));
  EXPECT_THAT(Error(Must(GeoCondition{"place", GeoBox{1, 2, 0, 0}})), HasSubstr("below"));
  EXPECT_THAT(Error(Must(GeoCondition{"place", GeoPolygon{{{0, 0}, {1, 1}}, {}}})), HasSubstr("3 to 1024"));
}

TEST(Filter, NamesTheTypeALiteralShouldHave) {
  EXPECT_THAT(Error(Must(MatchCondition{"color", {Literal(1.0)}})), AllOf(HasSubstr("keyword"), HasSubstr("a number")));
  EXPECT_THAT(Error(Must(MatchCondition{"size", {Literal("big")}})), AllOf(HasSubstr("integer"), HasSubstr("a text")));
  EXPECT_THAT(Error(Must(MatchCondition{"free", {Literal(std::monostate())}})), HasSubstr("null"));
  EXPECT_THAT(Error(Must(MatchCondition{"at", {Literal("monday")}})), HasSubstr("RFC 3339"));
  EXPECT_THAT(Error(Must(RangeCondition{.field = "color", .gt = Literal("a")})), HasSubstr("ranges need"));
  EXPECT_THAT(Error(Must(RangeCondition{.field = "size"})), HasSubstr("needs gt"));
  EXPECT_THAT(Error(Must(RangeCondition{.field = "price", .gt = Literal(std::nan(""))})), HasSubstr("finite"));
  EXPECT_THAT(Error(Must(MatchCondition{"color", {}})), HasSubstr("any_of"));
}

TEST(Filter, StopsAtItsLimits) {
  Filter nested = Must(MatchCondition{"color", {Literal("red")}});
  for (int depth = 1; depth < kMaxFilterDepth; ++depth) nested = Must(std::move(nested));
  const CollectionConfig config = Config();
  EXPECT_TRUE(PlanFilter(config, FieldList(config), nested).ok());
  EXPECT_THAT(Error(Must(nested)), HasSubstr("at most 8 deep"));
  EXPECT_THAT(Error(Must(HasIdCondition{std::vector<std::string>(1025, "x")})), HasSubstr("1024"));
  EXPECT_THAT(Error(Must(MatchCondition{"size", std::vector<Literal>(1025, Literal(1.0))})), HasSubstr("1024"));
  Filter wide;
  wide.should.assign(kMaxFilterConditions + 1, IsEmptyCondition{"color"});
  EXPECT_THAT(Error(wide), HasSubstr("4096"));
}

struct Fields {
  std::vector<std::string> colors;
  std::optional<std::vector<int64_t>> sizes;
  std::optional<double> price;
  std::optional<bool> free;
  std::string at;
  std::string lang;
  std::vector<GeoPoint> places;
  std::vector<std::string> bodies;
};

std::string ToPayload(const Fields& f) {
  PayloadBuilder b;
  b.BeginObject();
  if (!f.at.empty()) {
    b.Key("at");
    b.String(f.at);
  }
  if (!f.bodies.empty()) {
    b.Key("body");
    b.BeginList();
    for (const auto& body : f.bodies) b.String(body);
    b.EndList();
  }
  b.Key("color");
  b.BeginList();
  for (const auto& c : f.colors) b.String(c);
  b.EndList();
  if (f.free) {
    b.Key("free");
    b.Bool(*f.free);
  }
  if (!f.lang.empty()) {
    b.Key("meta");
    b.BeginObject();
    b.Key("lang");
    b.String(f.lang);
    b.EndObject();
  }
  if (!f.places.empty()) {
    b.Key("place");
    if (f.places.size() > 1) b.BeginList();
    for (const GeoPoint& place : f.places) {
      b.BeginObject();
      b.Key("lat");
      b.Number(place.lat);
      b.Key("lon");
      b.Number(place.lon);
      b.EndObject();
    }
    if (f.places.size() > 1) b.EndList();
  }
  if (f.price) {
    b.Key("price");
    b.Number(*f.price);
  }
  if (f.sizes) {
    b.Key("size");
    if (f.sizes->size() == 1) {
      b.Integer(f.sizes->front());
    } else {
      b.BeginList();
      for (const int64_t s : *f.sizes) b.Integer(s);
      b.EndList();
    }
  }
  b.EndObject();
  return std::move(b).Finish().value();
}

bool Matches(const Filter& filter, const Fields& fields, absl::string_view id = "p") {
  const CollectionConfig config = Config();
  const FieldList list(config);
  const auto plan = PlanFilter(config, list, filter);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return MatchesPoint(*plan, list, id, ToPayload(fields));
}

TEST(Filter, MeansWhatItSays) {
  const Fields p{.colors = {"red", "blue"},
                 .sizes = {{5}},
                 .price = 2.5,
                 .free = false,
                 .at = "2024-05-01T12:00:00Z",
                 .lang = "en",
                 .places = {{52.52, 13.405}},
                 .bodies = {"The quick brown FOX", "jumps over"}};
  EXPECT_TRUE(Matches({}, p));
  EXPECT_TRUE(Matches(Must(MatchCondition{"color", {Literal("blue")}}), p));
  EXPECT_FALSE(Matches(Must(MatchCondition{"color", {Literal("green")}}), p));
  EXPECT_TRUE(Matches(Must(MatchCondition{"color", {Literal("green"), Literal("red")}}), p));
  EXPECT_TRUE(Matches(Must(MatchCondition{"meta.lang", {Literal("en")}}), p));
  EXPECT_TRUE(Matches(Must(MatchCondition{"free", {Literal(false)}}), p));
  EXPECT_FALSE(Matches(Must(MatchCondition{"size", {Literal(5.5)}}), p));
  EXPECT_TRUE(Matches(Must(MatchCondition{"at", {Literal("2024-05-01T14:00:00+02:00")}}), p));
  EXPECT_TRUE(Matches(Must(RangeCondition{.field = "size", .gt = Literal(4.5), .lt = Literal(5.5)}), p));
  EXPECT_FALSE(Matches(Must(RangeCondition{.field = "size", .gt = Literal(5.0)}), p));
  EXPECT_TRUE(Matches(Must(RangeCondition{.field = "size", .gte = Literal(5.0), .lte = Literal(5.0)}), p));
  EXPECT_FALSE(Matches(Must(RangeCondition{.field = "size", .lt = Literal(5.0)}), p));
  EXPECT_TRUE(Matches(Must(RangeCondition{.field = "size", .gt = Literal(-1e300), .lt = Literal(1e300)}), p));
  EXPECT_FALSE(Matches(Must(RangeCondition{.field = "price", .gt = Literal(2.5)}), p));
  EXPECT_TRUE(Matches(Must(RangeCondition{.field = "price", .gte = Literal(2.5)}), p));
  EXPECT_TRUE(Matches(Must(RangeCondition{.field = "at", .lt = Literal("2024-05-01T12:00:00.000001Z")}), p));
  EXPECT_TRUE(Matches(Must(HasIdCondition{{"q", "p"}}), p));
  EXPECT_FALSE(Matches(Must(HasIdCondition{{}}), p));
  EXPECT_FALSE(Matches(Must(IsEmptyCondition{"color"}), p));
  EXPECT_TRUE(Matches(Must(IsEmptyCondition{"color"}), {}));
  EXPECT_TRUE(Matches(Must(IsEmptyCondition{"price"}), {}));
  EXPECT_TRUE(Matches(Must(TextCondition{"body", "fox, Quick!"}), p));
  EXPECT_TRUE(Matches(Must(TextCondition{"body", "fox jumps"}), p));
  EXPECT_FALSE(Matches(Must(TextCondition{"body", "fox bear"}), p));
  EXPECT_TRUE(Matches(Must(TextCondition{"body", "fox bear", TextMode::kAny}), p));
  EXPECT_FALSE(Matches(Must(TextCondition{"body", "bear", TextMode::kAny}), p));
  EXPECT_TRUE(Matches(Must(TextCondition{"body", "brown fox", TextMode::kPhrase}), p));
  EXPECT_FALSE(Matches(Must(TextCondition{"body", "quick fox", TextMode::kPhrase}), p));
  EXPECT_FALSE(Matches(Must(TextCondition{"body", "fox jumps", TextMode::kPhrase}), p));  // of two texts
  EXPECT_TRUE(Matches(Must(GeoCondition{"place", GeoCircle{{52.5, 13.4}, 3'000}}), p));
  EXPECT_FALSE(Matches(Must(GeoCondition{"place", GeoCircle{{52.5, 13.4}, 2'000}}), p));
  EXPECT_TRUE(Matches(Must(GeoCondition{"place", GeoBox{53, 52, 13, 14}}), p));
  EXPECT_FALSE(Matches(Must(GeoCondition{"place", GeoBox{53, 52, 14, 13}}), p));  // all but that strip
  EXPECT_TRUE(Matches(Must(GeoCondition{"place", GeoPolygon{{{53, 13}, {53, 14}, {52, 13.5}}, {}}}), p));
  EXPECT_FALSE(Matches(
      Must(GeoCondition{"place", GeoPolygon{{{53, 13}, {53, 14}, {52, 13.5}}, {{{53, 13}, {53, 14}, {52.4, 13.4}}}}}),
      p));
  EXPECT_FALSE(Matches(Must(GeoCondition{"place", GeoCircle{{52.5, 13.4}, 3'000}}), {}));
  Filter should;
  should.should = {MatchCondition{"color", {Literal("green")}}, MatchCondition{"free", {Literal(false)}}};
  EXPECT_TRUE(Matches(should, p));
  Filter not_red;
  not_red.must_not = {MatchCondition{"color", {Literal("red")}}};
  EXPECT_FALSE(Matches(not_red, p));
  EXPECT_TRUE(Matches(not_red, {}));
}

class RandomFilters {
 public:
  explicit RandomFilters(uint32_t seed) : rng_(seed) {}

  Fields Point() {
    Fields f;
    for (const char* c : {"red", "green", "blue", "black"}) {
      if (rng_() % 4 == 0) f.colors.push_back(c);
    }
    if (rng_() % 4 != 0) {
      f.sizes.emplace();
      for (size_t n = rng_() % 3; n > 0; --n) f.sizes->push_back(static_cast<int64_t>(rng_() % 20) - 10);
    }
    if (rng_() % 3 != 0) f.price = Price();
    if (rng_() % 3 != 0) f.free = rng_() % 2 == 0;
    if (rng_() % 2 != 0) f.at = Time();
    if (rng_() % 2 != 0) f.lang = rng_() % 2 ? "en" : "de";
    for (size_t n = rng_() % 3; n > 0; --n) f.places.push_back(Place());
    for (size_t n = rng_() % 3; n > 0; --n) f.bodies.push_back(Words(rng_() % 6));
    return f;
  }

  Filter Tree(int depth) {
    Filter filter;
    for (auto* list : {&filter.must, &filter.should, &filter.must_not}) {
      for (size_t n = rng_() % 3; n > 0; --n) list->push_back(One(depth));
    }
    return filter;
  }

  std::string Id() { return absl::StrCat("id", rng_() % 400); }
  uint32_t Next() { return rng_(); }

 private:
  double Price() { return (static_cast<double>(rng_() % 21) - 10) / 4; }
  std::string Time() { return absl::StrCat("2024-05-0", 1 + rng_() % 5, "T00:00:00Z"); }

  GeoPoint Place() {
    return {(static_cast<double>(rng_() % 37) - 18) * 5, (static_cast<double>(rng_() % 73) - 36) * 5};
  }
  std::string Words(size_t n) {
    std::string out;
    for (; n > 0; --n) absl::StrAppend(&out, " ", std::string(1, static_cast<char>('a' + rng_() % 6)));
    return out;
  }
  GeoCondition Shape() {
    const GeoPoint a = Place(), b = Place();
    switch (rng_() % 3) {
      case 0: return {"place", GeoCircle{a, static_cast<double>(1 + rng_() % 8'000'000)}};
      case 1: return {"place", GeoBox{std::max(a.lat, b.lat), std::min(a.lat, b.lat), a.lon, b.lon}};
      default: return {"place", GeoPolygon{{a, b, Place(), Place()}, {}}};
    }
  }

  Condition One(int depth) {
    switch (rng_() % 10) {
      case 8: return Shape();
      case 9: return TextCondition{"body", Words(1 + rng_() % 3), static_cast<TextMode>(1 + rng_() % 3)};
      case 0: return MatchCondition{"color", {Literal(rng_() % 2 ? "red" : "green"), Literal("violet")}};
      case 1: return MatchCondition{"size", {Literal(static_cast<double>(rng_() % 20) - 10), Literal(0.5)}};
      case 2: return MatchCondition{"free", {Literal(rng_() % 2 == 0)}};
      case 3: {
        RangeCondition range{.field = rng_() % 2 ? "size" : "price"};
        if (rng_() % 2) range.gt = Literal(Price());
        if (rng_() % 2) range.lte = Literal(Price());
        if (rng_() % 4 == 0) range.lt = Literal(Price());
        if (rng_() % 4 == 0 || (!range.gt && !range.lte && !range.lt)) range.gte = Literal(Price());
        return range;
      }
      case 4: return RangeCondition{.field = "at", .gte = Literal(Time())};
      case 5: return HasIdCondition{{Id(), Id(), Id()}};
      case 6: return IsEmptyCondition{rng_() % 2 ? "size" : "meta.lang"};
      default: return depth > 0 ? Condition(Tree(depth - 1)) : Condition(IsEmptyCondition{"at"});
    }
  }

  std::mt19937 rng_;
};

TEST(PayloadIndex, AgreesWithThePlainDefinitionThroughRandomChanges) {
  RandomFilters random(3);
  const CollectionConfig config = Config();
  const FieldList fields(config);
  PayloadIndex index(fields);
  struct Stored {
    std::string id, payload;
  };
  std::map<Row, Stored> model;
  std::map<std::string, Row> rows;
  size_t matched = 0, asked = 0;
  for (int step = 0; step < 3000; ++step) {
    const Row row = random.Next() % 300;
    if (const auto at = model.find(row); at != model.end()) {
      index.Remove(row, at->second.payload);
      rows.erase(at->second.id);
      model.erase(at);
    }
    const std::string id = random.Id();
    if (random.Next() % 4 != 0 && !rows.contains(id)) {
      model[row] = {id, ToPayload(random.Point())};
      rows[id] = row;
      index.Add(row, model[row].payload);
    }
    ASSERT_EQ(index.size(), model.size());
    if (step % 3 != 0) continue;
    const Filter filter = random.Tree(3);
    const auto plan = PlanFilter(config, fields, filter);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const auto find = [&](absl::string_view wanted) {
      const auto at = rows.find(std::string(wanted));
      return at == rows.end() ? PayloadIndex::kNoRow : at->second;
    };
    const auto payload = [&](Row r) -> absl::string_view { return model.at(r).payload; };
    const RowBitmap found = index.Evaluate(*plan, 300, {find, payload});
    for (const char* name : {"color", "size", "free"}) {
      const size_t field = fields.Find("x", name).value();
      std::map<std::string, uint64_t> expected, counted;
      const auto label = [](const auto& value) { return absl::StrCat(value); };
      for (const auto& [r, stored] : model) {
        if (!found.Contains(r)) continue;
        std::set<std::string> values;
        ForEachValue(stored.payload, name, [&](ValueView value) {
          values.insert(value.is_bool()                       ? absl::StrCat(value.boolean())
                        : value.kind() == ValueKind::kInteger ? absl::StrCat(value.integer())
                                                              : std::string(value.string()));
        });
        for (const std::string& value : values) ++expected[value];
      }
      for (const ValueCount& count : index.CountValues(field, &found)) {
        counted[std::visit(label, count.value)] = count.count;
      }
      ASSERT_EQ(counted, expected) << name;
    }
    for (Row r = 0; r < 300; ++r) {
      const auto at = model.find(r);
      const bool want = at != model.end() && MatchesPoint(*plan, fields, at->second.id, at->second.payload);
      ASSERT_EQ(found.Contains(r), want) << "row " << r << " step " << step;
      matched += want;
      ++asked;
    }
  }
  // The test would prove little if nearly everything or nothing matched.
  EXPECT_GT(matched, asked / 100);
  EXPECT_LT(matched, asked / 2);
}

TEST(PayloadIndex, IsEmptyAgainWhenEverythingIsRemoved) {
  RandomFilters random(5);
  PayloadIndex index{FieldList(Config())};
  std::vector<std::string> payloads;
  for (Row row = 0; row < 500; ++row) {
    payloads.push_back(ToPayload(random.Point()));
    index.Add(row, payloads.back());
  }
  for (Row row = 0; row < 500; ++row) index.Remove(row, payloads[row]);
  const CollectionConfig config = Config();
  Filter filter;
  filter.should = {RangeCondition{.field = "size", .gt = Literal(-100.0)}, MatchCondition{"color", {Literal("red")}},
                   IsEmptyCondition{"at"}, TextCondition{"body", "a b c d e f", TextMode::kAny},
                   GeoCondition{"place", GeoBox{90, -90, -180, 180}}};
  const auto plan = PlanFilter(config, index.fields(), filter);
  ASSERT_TRUE(plan.ok());
  const auto find = [](absl::string_view) { return PayloadIndex::kNoRow; };
  const auto payload = [](Row) { return absl::string_view(); };
  EXPECT_EQ(index.Evaluate(*plan, 500, {find, payload}).Count(), 0u);
  EXPECT_TRUE(index.CountValues(index.fields().Find("x", "color").value(), nullptr).empty());
}

}  // namespace
}  // namespace alcove::vector_search
