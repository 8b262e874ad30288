// Where vectors come from: .fvecs, .npy, or JSON lines with a field "vector".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <google/protobuf/struct.pb.h>

namespace alcove::ctl {

struct SourceVector {
  std::string id;  // without one of its own: its number in the file
  std::vector<float> values;
  google::protobuf::Struct payload;
};

// Reads vectors one by one, in an order that does not change from run to run. Not thread-safe.
class VectorSource {
 public:
  virtual ~VectorSource() = default;
  // False at the end. INVALID_ARGUMENT names the line or vector that cannot be read.
  virtual absl::StatusOr<bool> Next(SourceVector* out) = 0;
  // Share of the input read so far, 0 to 1.
  virtual double Progress() const = 0;
  // Changes when the input does.
  virtual std::string Identity() const = 0;
};

// Whether a path's name or an explicit format ("fvecs", "npy", "vectors") says that it holds vectors.
bool IsVectorFormat(const std::string& path, const std::string& format);

// `format` empty: by the name. A .npy file holds float32 in C order, [rows, dimension]; "vectors" is JSON lines:
// {"id": …, "vector": […], and further fields, which become payload}.
absl::StatusOr<std::unique_ptr<VectorSource>> OpenVectorSource(const std::string& path, const std::string& format,
                                                               const std::string& id_field);

}  // namespace alcove::ctl
