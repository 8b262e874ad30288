#include "libs/fhe/wire/container.h"

#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"
#include "libs/fhe/wire/compress.h"

namespace alcove::fhe {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire format is little-endian and read in place");

struct Header {
  SealVersion version;
  uint8_t compression = 0;
  uint64_t size = 0;
};

absl::StatusOr<Header> ParseHeader(absl::string_view bytes) {
  if (bytes.size() < kHeaderBytes) {
    return FaultError(Fault::kTruncated, absl::StrCat("a header takes 16 bytes, only ", bytes.size(), " are left"));
  }
  const auto* b = reinterpret_cast<const uint8_t*>(bytes.data());
  if (b[0] != 0x5E || b[1] != 0xA1) return FaultError(Fault::kBadMagic, "not a SEAL object");
  Header header;
  header.version = {b[3], b[4]};
  header.compression = b[5];
  // Before anything version-dependent is believed; 3.4 and older have another layout (a zero byte here).
  if (b[2] != kHeaderBytes) return FaultError(Fault::kBadHeader, absl::StrCat("header size ", b[2], " instead of 16"));
  if (!header.version.Supported()) {
    return FaultError(Fault::kUnsupportedVersion,
                      absl::StrCat("written by SEAL ", b[3], ".", b[4], "; this server reads 3.6 to 4.4"));
  }
  if (b[6] != 0 || b[7] != 0) return FaultError(Fault::kBadHeader, "reserved header field is not zero");
  std::memcpy(&header.size, b + 8, 8);
  if (header.size < kHeaderBytes) return FaultError(Fault::kBadHeader, "size below the header's own 16 bytes");
  return header;
}

void PutHeader(char* to, SealVersion version, Compression compression, uint64_t size) {
  const char head[8] = {0x5E,
                        static_cast<char>(0xA1),
                        kHeaderBytes,
                        static_cast<char>(version.major),
                        static_cast<char>(version.minor),
                        static_cast<char>(compression),
                        0,
                        0};
  std::memcpy(to, head, sizeof head);
  std::memcpy(to + sizeof head, &size, sizeof size);
}

void AppendHeader(std::string& out, SealVersion version, Compression compression, uint64_t size) {
  out.resize(out.size() + kHeaderBytes);
  PutHeader(out.data() + out.size() - kHeaderBytes, version, compression, size);
}

}  // namespace

bool MemberReader::Need(size_t bytes) {
  if (!status_.ok()) return false;
  if (rest_.size() >= bytes) return true;
  Fail(FaultError(Fault::kTruncated, absl::StrCat("needs ", bytes, " more bytes, ", rest_.size(), " are left")));
  return false;
}

uint8_t MemberReader::U8() {
  if (!Need(1)) return 0;
  const uint8_t v = static_cast<uint8_t>(rest_[0]);
  rest_.remove_prefix(1);
  return v;
}

uint64_t MemberReader::U64() {
  uint64_t v = 0;
  if (!Need(sizeof v)) return 0;
  std::memcpy(&v, rest_.data(), sizeof v);
  rest_.remove_prefix(sizeof v);
  return v;
}

double MemberReader::F64() {
  double v = 0;
  if (!Need(sizeof v)) return 0;
  std::memcpy(&v, rest_.data(), sizeof v);
  rest_.remove_prefix(sizeof v);
  return v;
}

void MemberReader::Bytes(absl::Span<uint8_t> out) {
  if (!Need(out.size())) return;
  std::memcpy(out.data(), rest_.data(), out.size());
  rest_.remove_prefix(out.size());
}

void MemberReader::Words(absl::Span<uint64_t> out) {
  Bytes(absl::MakeSpan(reinterpret_cast<uint8_t*>(out.data()), out.size() * sizeof(uint64_t)));
}

MemberReader MemberReader::Nested() {
  MemberReader nested({}, version_);
  const auto fail = [&](absl::Status status) {
    Fail(status);
    nested.Fail(status_);
    return nested;
  };
  if (!ok()) return fail(status_);
  const auto header = ParseHeader(rest_);
  if (!header.ok()) return fail(header.status());
  if (!(header->version == version_)) {
    return fail(FaultError(Fault::kMixedVersions, "a nested object carries another version than its container"));
  }
  if (header->compression != 0) {
    return fail(FaultError(Fault::kUnsupportedCompression, "a nested object is compressed on its own"));
  }
  if (header->size > rest_.size()) {
    return fail(FaultError(Fault::kTruncated,
                           absl::StrCat("a nested object of ", header->size, " bytes, ", rest_.size(), " are left")));
  }
  nested.rest_ = rest_.substr(kHeaderBytes, header->size - kHeaderBytes);
  rest_.remove_prefix(header->size);
  return nested;
}

absl::Status MemberReader::ExpectEnd() {
  if (ok() && !rest_.empty()) {
    Fail(FaultError(Fault::kSizeMismatch, absl::StrCat(rest_.size(), " bytes more than the object's members take")));
  }
  return status_;
}

absl::StatusOr<OpenedObject> OpenObject(absl::string_view bytes, size_t max_member_bytes) {
  const auto header = ParseHeader(bytes);
  if (!header.ok()) return header.status();
  if (header->size > bytes.size()) {
    return FaultError(Fault::kTruncated,
                      absl::StrCat("the header says ", header->size, " bytes, ", bytes.size(), " are there"));
  }
  if (header->size < bytes.size()) {
    return FaultError(Fault::kTrailingBytes,
                      absl::StrCat("the header says ", header->size, " bytes, ", bytes.size(), " are there"));
  }
  const absl::string_view body = bytes.substr(kHeaderBytes);
  OpenedObject out;
  out.version_ = header->version;
  switch (header->compression) {
    case 0:
      if (body.size() > max_member_bytes) {
        return FaultError(Fault::kTooLarge,
                          absl::StrCat(body.size(), " bytes where at most ", max_member_bytes, " are possible"));
      }
      out.body_ = body;
      return out;
    case 1:
    case 2: {
      auto plain =
          header->compression == 1 ? ZlibDecompress(body, max_member_bytes) : ZstdDecompress(body, max_member_bytes);
      if (!plain.ok()) return plain.status();
      out.storage_ = *std::move(plain);
      return out;
    }
    default:
      return FaultError(Fault::kUnsupportedCompression,
                        absl::StrCat("compression mode ", header->compression, "; 0 none, 1 zlib, 2 zstd"));
  }
}

void MemberWriter::NestedHeader(uint64_t member_bytes) {
  AppendHeader(out_, version_, Compression::kNone, kHeaderBytes + member_bytes);
}

void MemberWriter::Nested(const MemberWriter& members) {
  NestedHeader(members.members().size());
  out_.append(members.members().data(), members.members().size());
}

std::string SealObject(MemberWriter&& members, Compression compression) {
  if (compression != Compression::kNone) return SealObject(std::as_const(members), compression);
  PutHeader(members.out_.data(), members.version_, compression, members.out_.size());
  return std::move(members.out_);
}

std::string SealObject(const MemberWriter& members, Compression compression) {
  std::string packed;
  absl::string_view body = members.members();
  if (compression == Compression::kZlib) body = packed = ZlibCompress(body);
  if (compression == Compression::kZstd) body = packed = ZstdCompress(body);
  std::string out;
  out.reserve(kHeaderBytes + body.size());
  AppendHeader(out, members.version(), compression, kHeaderBytes + body.size());
  out.append(body.data(), body.size());
  return out;
}

}  // namespace alcove::fhe
