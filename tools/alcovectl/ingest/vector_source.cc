#include "tools/alcovectl/ingest/vector_source.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>

#include "libs/common/status.h"

namespace alcove::ctl {
namespace {

constexpr int32_t kMaxDimension = 65536;
constexpr size_t kMaxLineBytes = 16 << 20;
constexpr size_t kMaxNpyHeader = 64 << 10;

class FileSource : public VectorSource {
 public:
  explicit FileSource(std::string path) : path_(std::move(path)) {}
  absl::Status Open() {
    in_.open(path_, std::ios::binary);
    if (!in_) return absl::NotFoundError(absl::StrCat(path_, " cannot be opened"));
    std::error_code ignored;
    size_ = std::filesystem::file_size(path_, ignored);
    return absl::OkStatus();
  }
  double Progress() const override {
    return size_ == 0 ? 1 : std::min(1.0, static_cast<double>(read_) / static_cast<double>(size_));
  }
  std::string Identity() const override {
    struct stat info {};
    stat(path_.c_str(), &info);
    return absl::StrCat(std::filesystem::absolute(path_).string(), "|", info.st_size, "|", info.st_mtim.tv_sec, ".",
                        info.st_mtim.tv_nsec);
  }

 protected:
  // False when the file ends first.
  bool Read(void* out, size_t size) {
    in_.read(static_cast<char*>(out), static_cast<std::streamsize>(size));
    read_ += static_cast<uint64_t>(in_.gcount());
    return static_cast<size_t>(in_.gcount()) == size;
  }
  absl::Status Bad(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": vector ", number_, ": ", what));
  }

  const std::string path_;
  std::ifstream in_;
  uint64_t size_ = 0;
  uint64_t read_ = 0;
  int64_t number_ = 0;
};

// Each vector is its dimension as int32 and that many float32, little-endian.
class Fvecs final : public FileSource {
 public:
  using FileSource::FileSource;
  absl::StatusOr<bool> Next(SourceVector* out) override {
    if (read_ == size_) return false;
    int32_t dimension = 0;
    if (!Read(&dimension, sizeof dimension)) return Bad("the file ends too soon");
    if (dimension < 1 || dimension > kMaxDimension) return Bad(absl::StrCat("dimension ", dimension));
    out->values.resize(static_cast<size_t>(dimension));
    if (!Read(out->values.data(), out->values.size() * sizeof(float))) return Bad("the file ends too soon");
    out->id = absl::StrCat(number_++);
    return true;
  }
};

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
class Npy final : public FileSource {
 public:
  using FileSource::FileSource;
  absl::Status ReadHeader() {
    char magic[8];
    if (!Read(magic, sizeof magic) || std::memcmp(magic, "\x93NUMPY", 6) != 0) {
      return absl::InvalidArgumentError(absl::StrCat(path_, " is no .npy file"));
    }
    uint32_t size = 0;
    if (!Read(&size, magic[6] == 1 ? 2 : 4) || size > kMaxNpyHeader) {
      return absl::InvalidArgumentError(absl::StrCat(path_, ": damaged header"));
    }
    std::string header(size, '\0');
    if (!Read(header.data(), size)) return absl::InvalidArgumentError(absl::StrCat(path_, ": damaged header"));
    if (!absl::StrContains(header, "'<f4'") || !absl::StrContains(header, "'fortran_order': False")) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": must hold float32 in C order (numpy.ascontiguousarray(a, dtype=\"float32\")), not ",
                       header.substr(0, 200)));
    }
    const size_t shape = header.find("'shape': (");
    const size_t comma = header.find(',', shape);
    const size_t end = header.find(')', shape);
    int64_t columns = 0;
    if (shape == std::string::npos || comma == std::string::npos || end == std::string::npos || comma > end ||
        !absl::SimpleAtoi(header.substr(shape + 10, comma - shape - 10), &rows_) ||
        !absl::SimpleAtoi(header.substr(comma + 1, end - comma - 1), &columns) || rows_ < 0 || columns < 1 ||
        columns > kMaxDimension) {
      return absl::InvalidArgumentError(absl::StrCat(path_, ": the shape must be (rows, dimension)"));
    }
    dimension_ = static_cast<size_t>(columns);
    return absl::OkStatus();
  }
  absl::StatusOr<bool> Next(SourceVector* out) override {
    if (number_ == rows_) return false;
    out->values.resize(dimension_);
    if (!Read(out->values.data(), dimension_ * sizeof(float))) return Bad("the file ends too soon");
    out->id = absl::StrCat(number_++);
    return true;
  }

 private:
  int64_t rows_ = 0;
  size_t dimension_ = 0;
};

class JsonVectors final : public FileSource {
 public:
  JsonVectors(std::string path, std::string id_field) : FileSource(std::move(path)), id_field_(std::move(id_field)) {}
  absl::StatusOr<bool> Next(SourceVector* out) override {
    std::string line;
    do {
      if (!std::getline(in_, line)) return false;
      ++line_;
      read_ += line.size() + 1;
      if (line.size() > kMaxLineBytes) return BadLine("is too long");
    } while (line.find_first_not_of(" \t\r") == std::string::npos);
    const int64_t number = number_++;
    out->payload.Clear();
    const auto parsed = google::protobuf::util::JsonStringToMessage(line, &out->payload);
    if (!parsed.ok()) return BadLine(absl::StrCat("is no JSON object: ", std::string(parsed.message())));
    auto& fields = *out->payload.mutable_fields();
    const auto vector = fields.find("vector");
    if (vector == fields.end() || !vector->second.has_list_value()) return BadLine("has no list \"vector\"");
    out->values.clear();
    for (const auto& value : vector->second.list_value().values()) {
      if (value.kind_case() != google::protobuf::Value::kNumberValue) return BadLine("the vector holds no number");
      out->values.push_back(static_cast<float>(value.number_value()));
    }
    fields.erase(vector);
    out->id = absl::StrCat(number);
    if (const auto id = fields.find(id_field_); id != fields.end()) {
      out->id = id->second.kind_case() == google::protobuf::Value::kNumberValue
                    ? absl::StrCat(id->second.number_value())
                    : id->second.string_value();
      fields.erase(id);
      if (out->id.empty()) return BadLine(absl::StrCat("the field \"", id_field_, "\" is no id"));
    }
    return true;
  }

 private:
  absl::Status BadLine(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(path_, ":", line_, ": ", what));
  }
  const std::string id_field_;
  int64_t line_ = 0;
};

}  // namespace

bool IsVectorFormat(const std::string& path, const std::string& format) {
  if (!format.empty()) return format == "fvecs" || format == "npy" || format == "vectors";
  return absl::EndsWith(path, ".fvecs") || absl::EndsWith(path, ".npy");
}

absl::StatusOr<std::unique_ptr<VectorSource>> OpenVectorSource(const std::string& path, const std::string& format,
                                                               const std::string& id_field) {
  if (format == "vectors") {
    auto source = std::make_unique<JsonVectors>(path, id_field);
    ALCOVE_RETURN_IF_ERROR(source->Open());
    return source;
  }
  if (format == "npy" || (format.empty() && absl::EndsWith(path, ".npy"))) {
    auto source = std::make_unique<Npy>(path);
    ALCOVE_RETURN_IF_ERROR(source->Open());
    ALCOVE_RETURN_IF_ERROR(source->ReadHeader());
    return source;
  }
  auto source = std::make_unique<Fvecs>(path);
  ALCOVE_RETURN_IF_ERROR(source->Open());
  return source;
}

}  // namespace alcove::ctl
