#include "libs/private_search/records.h"

#include <algorithm>
#include <bit>

#include <absl/strings/str_cat.h>

namespace alcove::private_search {
namespace {

constexpr uint8_t kCut = 1;

}  // namespace

absl::StatusOr<RecordLayout> RecordLayout::Make(uint32_t degree, uint32_t part_selectors, uint32_t record_bytes,
                                                uint64_t records) {
  const bool fits = degree >= 1024 && degree <= 32768 && std::has_single_bit(degree) && part_selectors >= 1 &&
                    part_selectors <= degree && record_bytes >= 16 && record_bytes <= kMaxRecordBytes && records >= 1 &&
                    records <= (uint64_t{1} << 32);
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat("no record layout for degree ", degree, ", ", part_selectors,
                                                   " selectors a part, ", records, " records of ", record_bytes,
                                                   " bytes"));
  }
  RecordLayout out;
  out.degree_ = degree;
  out.part_selectors_ = part_selectors;
  out.record_bytes_ = record_bytes;
  out.records_ = records;
  out.per_selector_ = std::max<uint32_t>(1, degree / record_bytes);
  out.pieces_ = (record_bytes + degree - 1) / degree;
  out.selectors_ = (records + out.per_selector_ - 1) / out.per_selector_;
  return out;
}

uint32_t RecordLayout::PartSelectors(uint32_t part) const {
  return static_cast<uint32_t>(std::min<uint64_t>(part_selectors_, selectors_ - uint64_t{part} * part_selectors_));
}

uint32_t RecordLayout::PartDoublings(uint32_t part) const {
  const uint32_t count = PartSelectors(part);
  return count <= 1 ? 0 : static_cast<uint32_t>(std::bit_width(count - 1));
}

std::vector<std::vector<uint64_t>> RecordLayout::PackQuery(const fhe::Modulus& t, uint64_t record) const {
  const uint64_t selector = Selector(record);
  std::vector<std::vector<uint64_t>> out(parts());
  for (uint32_t part = 0; part < parts(); ++part) {
    // Every part has the same shape, whichever holds the one.
    out[part].assign(PartSelectors(part), 0);
    if (selector / part_selectors_ == part) {
      out[part][selector % part_selectors_] = t.Pow((t.value() + 1) / 2, PartDoublings(part));
    }
  }
  return out;
}

absl::StatusOr<RecordLayout::Document> RecordLayout::Unpack(uint64_t t, uint64_t record,
                                                            absl::Span<const std::vector<uint64_t>> pieces,
                                                            const fhe::SignPattern& signs) const {
  if (pieces.size() != pieces_ || record >= records_) {
    return absl::InvalidArgumentError(
        absl::StrCat("record ", record, " has ", pieces_, " pieces, not ", pieces.size()));
  }
  std::string bytes;
  const uint32_t offset = static_cast<uint32_t>(record % per_selector_) * record_bytes_;
  for (uint32_t b = 0; b < record_bytes_; ++b) {
    const std::vector<uint64_t>& piece = pieces[b / degree_];
    const size_t at = offset + b % degree_;
    if (at >= piece.size()) return absl::DataLossError("a piece of the reply is too short");
    const uint64_t v = piece[at];
    int64_t centred = v > t / 2 ? static_cast<int64_t>(v) - static_cast<int64_t>(t) : static_cast<int64_t>(v);
    if (signs.Negative(at)) centred = -centred;
    if (centred < -128 || centred > 127) return absl::DataLossError("the reply holds no document");
    bytes.push_back(static_cast<char>(centred + 128));
  }
  const size_t length = static_cast<uint8_t>(bytes[0]) | (size_t{static_cast<uint8_t>(bytes[1])} << 8);
  if (length + kHeaderBytes > bytes.size()) return absl::DataLossError("the reply holds no document");
  return Document{bytes.substr(kHeaderBytes, length), (static_cast<uint8_t>(bytes[2]) & kCut) != 0};
}

std::string MakeRecord(absl::string_view document, uint32_t record_bytes) {
  size_t length = std::min<size_t>({document.size(), record_bytes - RecordLayout::kHeaderBytes, 0xffff});
  const bool cut = length < document.size();
  // Not in the middle of a character.
  while (cut && length > 0 && (static_cast<uint8_t>(document[length]) & 0xC0) == 0x80) --length;
  std::string out;
  out.reserve(record_bytes);
  out.push_back(static_cast<char>(length & 0xff));
  out.push_back(static_cast<char>(length >> 8));
  out.push_back(cut ? static_cast<char>(kCut) : '\0');
  out.append(document.data(), length);
  out.resize(record_bytes, '\0');
  return out;
}

uint32_t RecordBytesFor(size_t bytes, uint32_t limit) {
  limit = std::max<uint32_t>(16, limit & ~uint32_t{15});
  const size_t wanted = (bytes + RecordLayout::kHeaderBytes + 15) / 16 * 16;
  return static_cast<uint32_t>(std::min<size_t>(wanted, limit));
}

}  // namespace alcove::private_search
