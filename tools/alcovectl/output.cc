#include "tools/alcovectl/output.h"

#include <algorithm>
#include <cstdio>

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

namespace alcove::ctl {
namespace {

// Code points, which is close enough to columns for the texts shown here.
size_t DisplayWidth(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string Fit(absl::string_view text, size_t width) {
  std::string out;
  size_t columns = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if ((c & 0xC0) != 0x80) {
      if (columns + 1 >= width && DisplayWidth(text) > width) return out + "…";
      ++columns;
    }
    out += c < 0x20 ? ' ' : static_cast<char>(c);
  }
  return out;
}

}  // namespace

std::string Table::ToString() const {
  std::vector<size_t> widths;
  std::vector<std::vector<std::string>> cells;
  for (const auto& row : rows_) {
    std::vector<std::string>& fitted = cells.emplace_back();
    for (size_t i = 0; i < row.size(); ++i) {
      fitted.push_back(Fit(row[i], max_cell_));
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], DisplayWidth(fitted.back()));
    }
  }
  std::string out;
  for (const auto& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - DisplayWidth(row[i]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string out;
  const auto status = google::protobuf::util::MessageToJsonString(message, &out, options);
  if (!status.ok()) return "{}\n";
  if (out.empty() || out.back() != '\n') out += '\n';
  return out;
}

absl::Status Print(absl::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return absl::UnavailableError("standard output is closed");
  }
  return absl::OkStatus();
}

bool StderrIsTerminal() { return isatty(STDERR_FILENO) == 1; }

}  // namespace alcove::ctl
