#include "services/vector-search/collection/geo.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <absl/strings/str_cat.h>

namespace alcove::vector_search {
namespace {

constexpr double kEarthRadiusMeters = 6'371'008.8;
constexpr double kRadians = 3.14159265358979323846 / 180;
// Curve ranges one box is covered with: more of them pass over more of what lies outside.
constexpr size_t kMaxRanges = 64;

uint32_t Grid(double value, double low, double extent) {
  const double scaled = (value - low) / extent * 4294967296.0;
  return static_cast<uint32_t>(std::clamp(scaled, 0.0, 4294967295.0));
}
uint32_t GridLat(double lat) { return Grid(lat, -90, 180); }
uint32_t GridLon(double lon) { return Grid(lon, -180, 360); }

uint64_t Spread(uint32_t value) {
  uint64_t x = value;
  x = (x | x << 16) & 0x0000ffff0000ffff;
  x = (x | x << 8) & 0x00ff00ff00ff00ff;
  x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
  x = (x | x << 2) & 0x3333333333333333;
  x = (x | x << 1) & 0x5555555555555555;
  return x;
}

// A square of the grid: side 2^(32 - level).
struct Square {
  uint32_t x, y;
  int level;
};

// Ranges of the curve, ascending, that hold the grid rectangle.
std::vector<std::pair<uint64_t, uint64_t>> Cover(uint32_t x0, uint32_t x1, uint32_t y0, uint32_t y1) {
  std::vector<Square> open = {{0, 0, 0}};
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  const auto range = [](const Square& s) {
    const uint64_t begin = Spread(s.x) | Spread(s.y) << 1;
    const uint64_t size = s.level == 0 ? 0 : uint64_t{1} << (2 * (32 - s.level));
    return std::pair{begin, begin + size - 1};
  };
  while (!open.empty() && open.size() + ranges.size() < kMaxRanges) {
    std::vector<Square> next;
    for (const Square& s : open) {
      for (int quarter = 0; quarter < 4; ++quarter) {
        const int level = s.level + 1;
        const uint64_t side = uint64_t{1} << (32 - level);
        const Square q{static_cast<uint32_t>(s.x + (quarter & 1) * side),
                       static_cast<uint32_t>(s.y + (quarter >> 1) * side), level};
        const uint64_t right = q.x + side - 1;
        const uint64_t top = q.y + side - 1;
        if (q.x > x1 || right < x0 || q.y > y1 || top < y0) continue;
        if ((q.x >= x0 && right <= x1 && q.y >= y0 && top <= y1) || level == 32) {
          ranges.push_back(range(q));
        } else {
          next.push_back(q);
        }
      }
    }
    open = std::move(next);
  }
  for (const Square& s : open) ranges.push_back(range(s));
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

bool InRing(const std::vector<GeoPoint>& ring, GeoPoint p) {
  bool inside = false;
  for (size_t i = 0, j = ring.size() - 1; i < ring.size(); j = i++) {
    const GeoPoint& a = ring[i];
    const GeoPoint& b = ring[j];
    if ((a.lat > p.lat) != (b.lat > p.lat) && p.lon < (b.lon - a.lon) * (p.lat - a.lat) / (b.lat - a.lat) + a.lon) {
      inside = !inside;
    }
  }
  return inside;
}

bool InBox(const GeoBox& box, GeoPoint p) {
  if (p.lat > box.north || p.lat < box.south) return false;
  return box.west <= box.east ? p.lon >= box.west && p.lon <= box.east : p.lon >= box.west || p.lon <= box.east;
}

// A box without one that crosses the antimeridian.
void AddBounds(GeoBox box, std::vector<GeoBox>& out) {
  if (box.west <= box.east) {
    out.push_back(box);
  } else {
    out.push_back({box.north, box.south, box.west, 180});
    out.push_back({box.north, box.south, -180, box.east});
  }
}

GeoBox BoxAround(const GeoCircle& circle) {
  // A little wider, so that rounding loses nothing at the rim.
  const double angle = circle.radius_m / kEarthRadiusMeters * (1 + 1e-9) + 1e-12;
  const double lat = circle.center.lat * kRadians;
  const double north = circle.center.lat + angle / kRadians;
  const double south = circle.center.lat - angle / kRadians;
  if (north >= 90 || south <= -90) return {std::min(north, 90.0), std::max(south, -90.0), -180, 180};
  const double half = std::asin(std::min(1.0, std::sin(angle) / std::cos(lat))) / kRadians;
  GeoBox box{north, south, circle.center.lon - half, circle.center.lon + half};
  if (box.west < -180) box.west += 360;
  if (box.east > 180) box.east -= 360;
  return box;
}

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

absl::Status ValidateRing(const std::vector<GeoPoint>& ring) {
  if (ring.size() < 3 || ring.size() > kMaxPolygonPoints) {
    return Wrong(absl::StrCat("a ring has 3 to ", kMaxPolygonPoints, " points, not ", ring.size()));
  }
  for (const GeoPoint& p : ring) {
    if (!p.valid()) return Wrong("latitudes are -90 to 90 degrees and longitudes -180 to 180");
  }
  return absl::OkStatus();
}

}  // namespace

double DistanceMeters(GeoPoint a, GeoPoint b) {
  const double lat = std::sin((b.lat - a.lat) * kRadians / 2);
  const double lon = std::sin((b.lon - a.lon) * kRadians / 2);
  const double h = lat * lat + std::cos(a.lat * kRadians) * std::cos(b.lat * kRadians) * lon * lon;
  return 2 * kEarthRadiusMeters * std::asin(std::min(1.0, std::sqrt(h)));
}

absl::Status ValidateGeo(const GeoCircle& circle) {
  if (!circle.center.valid()) return Wrong("latitudes are -90 to 90 degrees and longitudes -180 to 180");
  if (!(circle.radius_m > 0) || circle.radius_m > kMaxGeoRadiusMeters) {
    return Wrong("a radius is more than 0 and at most 20,037,509 metres");
  }
  return absl::OkStatus();
}

absl::Status ValidateGeo(const GeoBox& box) {
  if (!GeoPoint{box.north, box.west}.valid() || !GeoPoint{box.south, box.east}.valid()) {
    return Wrong("latitudes are -90 to 90 degrees and longitudes -180 to 180");
  }
  return box.south <= box.north ? absl::OkStatus() : Wrong("the box's top lies below its bottom");
}

absl::Status ValidateGeo(const GeoPolygon& polygon) {
  if (polygon.holes.size() > kMaxPolygonHoles) return Wrong(absl::StrCat("at most ", kMaxPolygonHoles, " holes"));
  absl::Status status = ValidateRing(polygon.exterior);
  for (const auto& hole : polygon.holes) status.Update(ValidateRing(hole));
  return status;
}

GeoShape::GeoShape(std::variant<GeoCircle, GeoBox, GeoPolygon> shape) : shape_(std::move(shape)) {
  if (const auto* circle = std::get_if<GeoCircle>(&shape_)) {
    AddBounds(BoxAround(*circle), bounds_);
  } else if (const auto* box = std::get_if<GeoBox>(&shape_)) {
    AddBounds(*box, bounds_);
  } else {
    GeoBox around{-90, 90, 180, -180};
    for (const GeoPoint& p : std::get<GeoPolygon>(shape_).exterior) {
      around.north = std::max(around.north, p.lat);
      around.south = std::min(around.south, p.lat);
      around.west = std::min(around.west, p.lon);
      around.east = std::max(around.east, p.lon);
    }
    bounds_.push_back(around);
  }
}

bool GeoShape::Contains(GeoPoint point) const {
  if (const auto* circle = std::get_if<GeoCircle>(&shape_)) {
    return DistanceMeters(circle->center, point) <= circle->radius_m;
  }
  if (const auto* box = std::get_if<GeoBox>(&shape_)) return InBox(*box, point);
  const auto& polygon = std::get<GeoPolygon>(shape_);
  return InRing(polygon.exterior, point) && std::none_of(polygon.holes.begin(), polygon.holes.end(),
                                                         [&](const auto& hole) { return InRing(hole, point); });
}

uint64_t GeoIndex::Cell(GeoPoint point) { return Spread(GridLon(point.lon)) | Spread(GridLat(point.lat)) << 1; }

void GeoIndex::Visit(const GeoShape& shape, absl::FunctionRef<void(Row)> visit) const {
  constexpr double kLowest = -std::numeric_limits<double>::infinity();
  for (const GeoBox& box : shape.bounds()) {
    for (const auto& [first, last] :
         Cover(GridLon(box.west), GridLon(box.east), GridLat(box.south), GridLat(box.north))) {
      for (auto it = entries_.lower_bound({first, 0, {kLowest, kLowest}}); it != entries_.end() && it->cell <= last;
           ++it) {
        if (shape.Contains(it->point)) visit(it->row);
      }
    }
  }
}

}  // namespace alcove::vector_search
