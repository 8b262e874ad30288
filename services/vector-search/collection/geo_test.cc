#include "services/vector-search/collection/geo.h"

#include <cmath>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace alcove::vector_search {
namespace {

TEST(Geo, MeasuresKnownDistances) {
  const GeoPoint berlin{52.5200, 13.4050}, paris{48.8566, 2.3522}, sydney{-33.8688, 151.2093};
  EXPECT_NEAR(DistanceMeters(berlin, paris), 877'500, 1'000);
  EXPECT_NEAR(DistanceMeters(berlin, sydney), 16'095'000, 20'000);
  EXPECT_EQ(DistanceMeters(berlin, berlin), 0);
  EXPECT_NEAR(DistanceMeters({0, 179.5}, {0, -179.5}), 111'195, 10);  // over the antimeridian
  EXPECT_NEAR(DistanceMeters({90, 0}, {-90, 77}), M_PI * 6'371'008.8, 1);
}

TEST(GeoIndex, FindsWhatLiesInsideAndNothingElse) {
  std::mt19937 rng(1);
  std::uniform_real_distribution<double> lat(-90, 90), lon(-180, 180);
  GeoIndex index;
  std::multimap<Row, GeoPoint> model;
  const auto place = [&]() -> GeoPoint {
    if (rng() % 4 != 0) return {lat(rng), lon(rng)};
    // Where mistakes would be: poles, the antimeridian, crowds.
    if (rng() % 2) return {rng() % 2 ? 90.0 : -90.0, lon(rng)};
    return {std::round(lat(rng)), rng() % 2 ? 180.0 : -180.0};
  };
  for (Row row = 0; row < 5000; ++row) {
    const GeoPoint p = place();
    index.Add(row, p);
    model.emplace(row, p);
  }
  for (Row row = 0; row < 5000; row += 3) {
    index.Remove(row, model.find(row)->second);
    model.erase(row);
  }
  for (int round = 0; round < 300; ++round) {
    const GeoPoint a = place(), b = place(), c = place();
    std::variant<GeoCircle, GeoBox, GeoPolygon> shape;
    switch (round % 3) {
      case 0: shape = GeoCircle{a, std::pow(10.0, 3 + static_cast<double>(rng() % 4300) / 1000)}; break;
      case 1: shape = GeoBox{std::max(a.lat, b.lat), std::min(a.lat, b.lat), a.lon, b.lon}; break;
      default: shape = GeoPolygon{{a, b, c}, {}};
    }
    const GeoShape area(shape);
    std::set<Row> expected, found;
    for (const auto& [row, p] : model) {
      if (area.Contains(p)) expected.insert(row);
    }
    index.Visit(area, [&](Row row) { found.insert(row); });
    ASSERT_EQ(found, expected) << round;
  }
}

TEST(GeoShape, TakesHolesOutOfAPolygon) {
  const GeoShape ring(GeoPolygon{{{0, 0}, {0, 10}, {10, 10}, {10, 0}}, {{{4, 4}, {4, 6}, {6, 6}, {6, 4}}}});
  EXPECT_TRUE(ring.Contains({2, 2}));
  EXPECT_FALSE(ring.Contains({5, 5}));
  EXPECT_FALSE(ring.Contains({11, 5}));
}

}  // namespace
}  // namespace alcove::vector_search
