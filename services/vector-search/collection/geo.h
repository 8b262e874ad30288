// Places on the globe and areas of them: what geo fields hold and geo conditions ask for.
#pragma once

#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include <absl/container/btree_set.h>
#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include "services/vector-search/collection/row_set.h"

namespace alcove::vector_search {

inline constexpr size_t kMaxPolygonPoints = 1024;  // of one ring
inline constexpr size_t kMaxPolygonHoles = 16;
inline constexpr double kMaxGeoRadiusMeters = 20'037'509;  // half around the globe

// Degrees; latitude -90 to 90, longitude -180 to 180.
struct GeoPoint {
  double lat = 0;
  double lon = 0;
  bool valid() const { return lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180; }
  friend bool operator==(const GeoPoint&, const GeoPoint&) = default;
};

// Metres along the great circle on a sphere of the Earth's mean radius (6,371,008.8 m): within 0.6 % of the ellipsoid.
double DistanceMeters(GeoPoint a, GeoPoint b);

struct GeoCircle {
  GeoPoint center;
  double radius_m = 0;
};
// Crosses the antimeridian when west > east.
struct GeoBox {
  double north = 0, south = 0, west = 0, east = 0;
};
// Rings are closed of themselves, at least three points each. Edges are straight in degrees and do not cross the
// antimeridian. Points on an edge may count as inside or outside.
struct GeoPolygon {
  std::vector<GeoPoint> exterior;
  std::vector<std::vector<GeoPoint>> holes;
};

class GeoShape {
 public:
  explicit GeoShape(std::variant<GeoCircle, GeoBox, GeoPolygon> shape);
  bool Contains(GeoPoint point) const;
  // Boxes, none crossing the antimeridian, that hold the whole shape.
  const std::vector<GeoBox>& bounds() const { return bounds_; }

 private:
  std::variant<GeoCircle, GeoBox, GeoPolygon> shape_;
  std::vector<GeoBox> bounds_;
};

// INVALID_ARGUMENT (without a field name) for coordinates out of range or not finite, a radius that is not positive or
// beyond kMaxGeoRadiusMeters, a box whose north lies south, a ring with too few or too many points.
absl::Status ValidateGeo(const GeoCircle& circle);
absl::Status ValidateGeo(const GeoBox& box);
absl::Status ValidateGeo(const GeoPolygon& polygon);

// Rows by place, in the order of a Z curve over 32 bits of latitude and longitude. Not thread-safe.
class GeoIndex {
 public:
  void Add(Row row, GeoPoint point) { entries_.insert({Cell(point), row, point}); }
  void Remove(Row row, GeoPoint point) { entries_.erase({Cell(point), row, point}); }
  // Calls visit(row) for each place inside the shape; a row with several places may come more than once.
  void Visit(const GeoShape& shape, absl::FunctionRef<void(Row)> visit) const;
  size_t MemoryBytes() const { return entries_.size() * sizeof(Entry) * 4 / 3; }

 private:
  struct Entry {
    uint64_t cell;
    Row row;
    GeoPoint point;
    friend bool operator<(const Entry& a, const Entry& b) {
      if (a.cell != b.cell) return a.cell < b.cell;
      if (a.row != b.row) return a.row < b.row;
      if (a.point.lat != b.point.lat) return a.point.lat < b.point.lat;
      return a.point.lon < b.point.lon;
    }
  };
  static uint64_t Cell(GeoPoint point);

  absl::btree_set<Entry> entries_;
};

}  // namespace alcove::vector_search
