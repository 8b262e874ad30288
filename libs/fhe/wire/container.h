// The container every SEAL object travels in: a 16-byte header (magic 5E A1, version, compression, size) and the
// object's members, perhaps compressed. Reading is bounded: no input makes it allocate more than the caller allows.
#pragma once

#include <cstdint>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

namespace alcove::fhe {

// Library version stamped into every header. A client accepts only certain stamps, so replies carry the client's own.
struct SealVersion {
  uint8_t major = 4;
  uint8_t minor = 1;

  // 3.6, 3.7 and 4.0 … 4.4.
  bool Supported() const { return (major == 3 && (minor == 6 || minor == 7)) || (major == 4 && minor <= 4); }
  // Ciphertexts gained a correction factor with 4.0.
  bool HasCorrectionFactor() const { return major >= 4; }
  friend bool operator==(const SealVersion&, const SealVersion&) = default;
};

enum class Compression : uint8_t { kNone = 0, kZlib = 1, kZstd = 2 };

// How an object is to be written.
struct WireFormat {
  SealVersion version;
  Compression compression = Compression::kNone;
};

// An object with the version it was stamped with.
template <class T>
struct Stamped {
  SealVersion version;
  T object;
};

inline constexpr size_t kHeaderBytes = 16;

// Reads members one after another. The first problem sticks: later reads give zeros and status() tells what was wrong.
class MemberReader {
 public:
  MemberReader(absl::string_view bytes, SealVersion version) : rest_(bytes), version_(version) {}

  uint8_t U8();
  uint64_t U64();
  double F64();
  void Bytes(absl::Span<uint8_t> out);
  // `out.size()` little-endian words.
  void Words(absl::Span<uint64_t> out);
  // Members of a nested object: its header must have this container's version, no compression and fit into what is
  // left. The result must be read to its end (checked with ExpectEnd).
  MemberReader Nested();

  // Records `status` unless something was wrong before.
  void Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  // Fails with kSizeMismatch unless everything was read; returns the final status.
  absl::Status ExpectEnd();
  const absl::Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }
  size_t remaining() const { return rest_.size(); }
  SealVersion version() const { return version_; }

 private:
  bool Need(size_t bytes);

  absl::string_view rest_;
  SealVersion version_;
  absl::Status status_;
};

// An outermost object, opened: header checked, members decompressed.
class OpenedObject {
 public:
  SealVersion version() const { return version_; }
  MemberReader Members() const { return {storage_.empty() ? body_ : absl::string_view(storage_), version_}; }

 private:
  friend absl::StatusOr<OpenedObject> OpenObject(absl::string_view bytes, size_t max_member_bytes);
  SealVersion version_;
  absl::string_view body_;  // into the caller's bytes when not compressed
  std::string storage_;
};

// Opens exactly one object that fills `bytes`, which must outlive the result. Refuses members larger than
// `max_member_bytes` after decompression without producing them.
absl::StatusOr<OpenedObject> OpenObject(absl::string_view bytes, size_t max_member_bytes);

// Appends little-endian members to a string.
class MemberWriter {
 public:
  explicit MemberWriter(SealVersion version) : version_(version), out_(kHeaderBytes, 0) {}
  void U8(uint8_t v) { out_.push_back(static_cast<char>(v)); }
  void U64(uint64_t v) { out_.append(reinterpret_cast<const char*>(&v), sizeof v); }
  void F64(double v) { out_.append(reinterpret_cast<const char*>(&v), sizeof v); }
  void Bytes(absl::Span<const uint8_t> v) { out_.append(reinterpret_cast<const char*>(v.data()), v.size()); }
  void Words(absl::Span<const uint64_t> v) { out_.append(reinterpret_cast<const char*>(v.data()), v.size() * 8); }
  // Appends `members` as a nested, uncompressed object.
  void Nested(const MemberWriter& members);
  // The nested header alone, for members of known size that follow.
  void NestedHeader(uint64_t member_bytes);
  SealVersion version() const { return version_; }
  absl::string_view members() const { return absl::string_view(out_).substr(kHeaderBytes); }
  void Reserve(size_t bytes) { out_.reserve(kHeaderBytes + bytes); }

 private:
  friend std::string SealObject(MemberWriter&&, Compression);
  SealVersion version_;
  std::string out_;  // room for the outermost header, then the members
};

// The outermost object: header and members, compressed as asked (default levels, as SEAL does).
std::string SealObject(MemberWriter&& members, Compression compression);
std::string SealObject(const MemberWriter& members, Compression compression);

}  // namespace alcove::fhe
