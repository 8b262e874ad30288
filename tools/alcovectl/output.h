// What commands print: aligned tables for people, JSON for programs.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <google/protobuf/message.h>

namespace alcove::ctl {

// Rows of text in aligned columns. Cells wider than `max_cell` display columns are cut with "…".
class Table {
 public:
  explicit Table(std::vector<std::string> header, size_t max_cell = 72) : max_cell_(max_cell) {
    rows_.push_back(std::move(header));
  }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string ToString() const;

 private:
  size_t max_cell_;
  std::vector<std::vector<std::string>> rows_;
};

// The message as proto3 JSON with the names of the .proto files, indented, ending in a newline.
std::string ToJson(const google::protobuf::Message& message);

// Writes to standard output. UNAVAILABLE when it is closed (a pipe whose reader left).
absl::Status Print(absl::string_view text);

// Whether colours and progress bars make sense on standard error.
bool StderrIsTerminal();

}  // namespace alcove::ctl
