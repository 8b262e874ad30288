// Where documents come from: JSON lines, CSV or a folder of text files.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <google/protobuf/struct.pb.h>

namespace alcove::ctl {

struct SourceDocument {
  std::string id;  // empty: the server chooses one from the text
  std::string text;
  google::protobuf::Struct metadata;
};

struct SourceOptions {
  std::string format;  // jsonl, csv, text; empty: by the name of the path
  std::string text_field =
      "text";  // of a JSON object or CSV header; several separated by '+' are joined by a line break
  std::string id_field = "id";
};

// Reads documents one by one, in an order that does not change from run to run. Memory use is that of one document (a
// folder also keeps its list of names). Not thread safe.
class DocumentSource {
 public:
  virtual ~DocumentSource() = default;

  // The next document; nullopt at the end. INVALID_ARGUMENT names the line (or file) that cannot be read; calling again
  // goes on behind it.
  virtual absl::StatusOr<std::optional<SourceDocument>> Next() = 0;

  // Share of the input read so far, 0 to 1.
  virtual double Progress() const = 0;

  // Changes when the input does: path, size and modification time.
  virtual std::string Identity() const = 0;
};

// NOT_FOUND when there is nothing at `path`; INVALID_ARGUMENT when the format is unknown or a field is missing from the
// CSV header.
absl::StatusOr<std::unique_ptr<DocumentSource>> OpenSource(const std::string& path, const SourceOptions& options);

// Splits one CSV record (RFC 4180: quotes, doubled quotes, line breaks inside quotes) off the front of `input`, which
// must hold the record's end unless `at_end`. Returns the bytes taken, 0 when more input is needed; INVALID_ARGUMENT
// for a quote in the wrong place.
absl::StatusOr<size_t> SplitCsvRecord(absl::string_view input, bool at_end, std::vector<std::string>* cells);

}  // namespace alcove::ctl
