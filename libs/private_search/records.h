// Documents as the fixed-size records of a private lookup: the same kernel as search, with a one-hot query that chooses
// a selector and plaintext polynomials whose coefficients are bytes.
//
// A record is record_bytes bytes: u16 length, u8 flags (bit 0: the document was cut), the document, zeros. Records
// smaller than the degree share a selector: record i is selector i / per_selector at coefficient (i % per_selector) *
// record_bytes. Larger ones take several replies ("pieces"), piece k holding bytes k * degree and on. A coefficient
// holds byte - 128, so that it fits eight signed bits. Selectors are cut into parts of 512, each with a ciphertext of
// the query of its own; the server adds up what the parts give.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "libs/fhe/params/modulus.h"
#include "libs/fhe/search/signs.h"

namespace alcove::private_search {

class RecordLayout {
 public:
  static constexpr uint32_t kHeaderBytes = 3;
  static constexpr uint32_t kMaxRecordBytes = 1 << 16;

  // INVALID_ARGUMENT unless degree is a power of two from 1,024, record_bytes in 16 … 65,536 and records >= 1.
  static absl::StatusOr<RecordLayout> Make(uint32_t degree, uint32_t part_selectors, uint32_t record_bytes,
                                           uint64_t records);

  uint32_t degree() const { return degree_; }
  uint32_t record_bytes() const { return record_bytes_; }
  uint64_t records() const { return records_; }
  uint32_t per_selector() const { return per_selector_; }
  uint32_t pieces() const { return pieces_; }
  uint64_t selectors() const { return selectors_; }
  uint32_t parts() const { return static_cast<uint32_t>((selectors_ + part_selectors_ - 1) / part_selectors_); }
  // Selectors of one part, and the doublings of its expansion.
  uint32_t PartSelectors(uint32_t part) const;
  uint32_t PartDoublings(uint32_t part) const;
  uint64_t Selector(uint64_t record) const { return record / per_selector_; }

  // The coefficients of every part of the query that asks for `record` (< records()); t odd. All but one are zero.
  std::vector<std::vector<uint64_t>> PackQuery(const fhe::Modulus& t, uint64_t record) const;

  // The document from the decrypted pieces (degree coefficients each), whose blocks carry `signs`. DATA_LOSS when the
  // bytes are no record, which means that the reply was wrong.
  struct Document {
    std::string text;
    bool cut = false;
  };
  absl::StatusOr<Document> Unpack(uint64_t t, uint64_t record, absl::Span<const std::vector<uint64_t>> pieces,
                                  const fhe::SignPattern& signs = {}) const;

  // What a block of part `part`, piece `piece` is encoded from: `degree` positions of PartSelectors(part) numbers each.
  // `record(i)` gives a record of record_bytes bytes.
  template <typename Record>
  std::vector<int8_t> Spread(uint32_t part, uint32_t piece, const Record& record) const {
    const uint32_t width = PartSelectors(part);
    std::vector<int8_t> out(size_t{degree_} * width);
    for (uint32_t s = 0; s < width; ++s) {
      for (uint32_t k = 0; k < per_selector_; ++k) {
        const uint64_t i = (uint64_t{part} * part_selectors_ + s) * per_selector_ + k;
        if (i >= records_) break;
        const std::string& bytes = record(i);
        const uint32_t begin = piece * degree_;
        const uint32_t count = std::min(record_bytes_ - begin, degree_);
        for (uint32_t b = 0; b < count; ++b) {
          out[size_t{k * record_bytes_ + b} * width + s] =
              static_cast<int8_t>(static_cast<uint8_t>(bytes[begin + b]) - 128);
        }
      }
    }
    return out;
  }

 private:
  RecordLayout() = default;
  uint32_t degree_ = 0;
  uint32_t part_selectors_ = 0;
  uint32_t record_bytes_ = 0;
  uint64_t records_ = 0;
  uint32_t per_selector_ = 1;
  uint32_t pieces_ = 1;
  uint64_t selectors_ = 0;
};

// A record of `record_bytes` bytes; a longer document is cut at a UTF-8 boundary and marked.
std::string MakeRecord(absl::string_view document, uint32_t record_bytes);
// The smallest multiple of 16 that holds documents of `bytes` bytes, at most `limit` (rounded down to 16).
uint32_t RecordBytesFor(size_t bytes, uint32_t limit);

}  // namespace alcove::private_search
