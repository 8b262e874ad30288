#include "tools/alcovectl/ingest/source.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/common/text.h"

namespace alcove::ctl {
namespace {

namespace fs = std::filesystem;
using google::protobuf::Struct;
using google::protobuf::Value;

constexpr size_t kMaxRecordBytes = 16 << 20;
constexpr size_t kChunkBytes = 1 << 20;

std::string IdentityOf(const std::string& path) {
  struct stat info {};
  stat(path.c_str(), &info);
  return absl::StrCat(fs::absolute(path).string(), "|", info.st_size, "|", info.st_mtim.tv_sec, ".",
                      info.st_mtim.tv_nsec);
}

// Text of a scalar; objects and lists have none.
std::string ScalarText(const Value& value) {
  switch (value.kind_case()) {
    case Value::kStringValue: return value.string_value();
    case Value::kNumberValue: return absl::StrCat(value.number_value());
    case Value::kBoolValue: return value.bool_value() ? "true" : "false";
    default: return "";
  }
}

// A file read in chunks, from which records are split.
class ChunkedFile {
 public:
  static absl::StatusOr<ChunkedFile> Open(const std::string& path) {
    ChunkedFile file;
    file.in_.open(path, std::ios::binary);
    if (!file.in_) return absl::NotFoundError(absl::StrCat(path, " cannot be opened"));
    std::error_code ignored;
    file.size_ = fs::file_size(path, ignored);
    return file;
  }

  absl::string_view buffered() const { return absl::string_view(buffer_).substr(at_); }
  bool at_end() const { return ended_; }
  void Consume(size_t n) {
    at_ += n;
    consumed_ += n;
  }
  // False at the end of the file.
  bool Fill() {
    if (ended_) return false;
    buffer_.erase(0, at_);
    at_ = 0;
    const size_t old = buffer_.size();
    buffer_.resize(old + kChunkBytes);
    in_.read(buffer_.data() + old, kChunkBytes);
    buffer_.resize(old + static_cast<size_t>(in_.gcount()));
    ended_ = in_.eof();
    return true;
  }
  double Progress() const {
    return size_ == 0 ? 1 : std::min(1.0, static_cast<double>(consumed_) / static_cast<double>(size_));
  }

 private:
  std::ifstream in_;
  std::string buffer_;
  size_t at_ = 0;
  uint64_t consumed_ = 0;
  uint64_t size_ = 0;
  bool ended_ = false;
};

// Takes id and text out of a record's fields; the rest becomes metadata.
absl::StatusOr<SourceDocument> FromFields(Struct fields, const SourceOptions& options) {
  SourceDocument document;
  auto& map = *fields.mutable_fields();
  std::vector<std::string> texts;
  for (absl::string_view name : absl::StrSplit(options.text_field, '+')) {
    const auto it = map.find(std::string(name));
    if (it == map.end())
      return absl::InvalidArgumentError(absl::StrCat("there is no field \"", name, "\" to take the text from"));
    if (std::string text = ScalarText(it->second); !text.empty()) texts.push_back(std::move(text));
  }
  document.text = absl::StrJoin(texts, "\n");
  for (absl::string_view name : absl::StrSplit(options.text_field, '+')) map.erase(std::string(name));
  if (document.text.empty()) return absl::InvalidArgumentError("the text is empty");
  if (const auto it = map.find(options.id_field); it != map.end()) {
    document.id = ScalarText(it->second);
    map.erase(it);
  }
  // {"id":…, "text":…, "metadata":{…}} is taken as it is meant.
  if (map.size() == 1 && map.contains("metadata") && map.at("metadata").has_struct_value()) {
    document.metadata = map.at("metadata").struct_value();
  } else {
    document.metadata = std::move(fields);
  }
  return document;
}

class JsonLines : public DocumentSource {
 public:
  JsonLines(std::string path, ChunkedFile file, SourceOptions options)
      : path_(std::move(path)), file_(std::move(file)), options_(std::move(options)) {}

  absl::StatusOr<std::optional<SourceDocument>> Next() override {
    for (;;) {
      const size_t end = file_.buffered().find('\n');
      if (end == absl::string_view::npos) {
        if (file_.buffered().size() > kMaxRecordBytes) {
          return absl::ResourceExhaustedError(
              absl::StrCat(path_, ":", line_ + 1, ": a line is longer than ", FormatBytes(kMaxRecordBytes)));
        }
        if (!file_.at_end()) {
          file_.Fill();
          continue;
        }
        if (file_.buffered().empty()) return std::nullopt;
      }
      const std::string text(file_.buffered().substr(0, end));
      file_.Consume(end == absl::string_view::npos ? text.size() : end + 1);
      ++line_;
      if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
      Struct fields;
      const auto parsed = google::protobuf::util::JsonStringToMessage(text, &fields);
      if (!parsed.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat(path_, ":", line_, ": no JSON object: ", std::string(parsed.message())));
      }
      auto document = FromFields(std::move(fields), options_);
      if (!document.ok()) return Annotate(document.status(), absl::StrCat(path_, ":", line_));
      return *std::move(document);
    }
  }
  double Progress() const override { return file_.Progress(); }
  std::string Identity() const override { return IdentityOf(path_); }

 private:
  std::string path_;
  ChunkedFile file_;
  SourceOptions options_;
  int64_t line_ = 0;
};

class Csv : public DocumentSource {
 public:
  Csv(std::string path, ChunkedFile file, SourceOptions options)
      : path_(std::move(path)), file_(std::move(file)), options_(std::move(options)) {}

  absl::Status ReadHeader() {
    ALCOVE_ASSIGN_OR_RETURN(const bool found, ReadRecord(&header_));
    if (!found)
      return absl::InvalidArgumentError(absl::StrCat(path_, " is empty; its first line must name the columns"));
    for (absl::string_view name : absl::StrSplit(options_.text_field, '+')) {
      if (std::find(header_.begin(), header_.end(), name) == header_.end()) {
        return absl::InvalidArgumentError(absl::StrCat(path_, " has no column \"", name, "\"; it has ",
                                                       absl::StrJoin(header_, ", "), " (choose with --text-field)"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<SourceDocument>> Next() override {
    std::vector<std::string> cells;
    ALCOVE_ASSIGN_OR_RETURN(const bool found, ReadRecord(&cells));
    if (!found) return std::nullopt;
    if (cells.size() != header_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": record ", record_, " has ", cells.size(), " cells, the header has ", header_.size()));
    }
    Struct fields;
    for (size_t i = 0; i < cells.size(); ++i) {
      Value& value = (*fields.mutable_fields())[header_[i]];
      double number = 0;
      const bool is_text = header_[i] == options_.id_field || absl::StrContains(options_.text_field, header_[i]);
      if (!is_text && !cells[i].empty() && absl::SimpleAtod(cells[i], &number)) {
        value.set_number_value(number);
      } else {
        value.set_string_value(std::move(cells[i]));
      }
    }
    auto document = FromFields(std::move(fields), options_);
    if (!document.ok()) return Annotate(document.status(), absl::StrCat(path_, ": record ", record_));
    return *std::move(document);
  }
  double Progress() const override { return file_.Progress(); }
  std::string Identity() const override { return IdentityOf(path_); }

 private:
  absl::StatusOr<bool> ReadRecord(std::vector<std::string>* cells) {
    for (;;) {
      auto taken = SplitCsvRecord(file_.buffered(), file_.at_end(), cells);
      if (!taken.ok()) {
        // Go on behind the line that cannot be read.
        file_.Consume(std::min(file_.buffered().find('\n'), file_.buffered().size() - 1) + 1);
        return Annotate(taken.status(), absl::StrCat(path_, ": record ", ++record_));
      }
      if (*taken > 0) {
        file_.Consume(*taken);
        if (cells->size() == 1 && (*cells)[0].empty()) continue;  // a blank line
        ++record_;
        return true;
      }
      if (file_.at_end()) return false;
      if (file_.buffered().size() > kMaxRecordBytes) {
        return absl::ResourceExhaustedError(
            absl::StrCat(path_, ": record ", record_ + 1, " is longer than ", FormatBytes(kMaxRecordBytes)));
      }
      file_.Fill();
    }
  }

  std::string path_;
  ChunkedFile file_;
  SourceOptions options_;
  std::vector<std::string> header_;
  int64_t record_ = -1;  // the header is record 0
};

// Every *.txt, *.md and *.rst below a folder; the id is the path relative to it.
class TextFolder : public DocumentSource {
 public:
  explicit TextFolder(std::string root) : root_(std::move(root)) {}

  absl::Status List() {
    std::error_code error;
    fs::recursive_directory_iterator it(root_, fs::directory_options::skip_permission_denied, error);
    if (error) return absl::NotFoundError(absl::StrCat(root_, ": ", error.message()));
    for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
      if (error) return absl::UnknownError(absl::StrCat(root_, ": ", error.message()));
      const std::string extension = it->path().extension().string();
      if (it->is_regular_file(error) && (extension == ".txt" || extension == ".md" || extension == ".rst")) {
        names_.push_back(fs::relative(it->path(), root_).string());
      }
    }
    if (names_.empty()) return absl::NotFoundError(absl::StrCat("there is no *.txt, *.md or *.rst below ", root_));
    std::sort(names_.begin(), names_.end());
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<SourceDocument>> Next() override {
    while (next_ < names_.size()) {
      const std::string& name = names_[next_++];
      auto text = ReadFile(absl::StrCat(root_, "/", name), kMaxRecordBytes);
      if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
      if (text->empty()) continue;
      if (!IsValidUtf8(*text)) return absl::InvalidArgumentError(absl::StrCat(root_, "/", name, " is not UTF-8"));
      SourceDocument document;
      document.id = name;
      document.text = *std::move(text);
      (*document.metadata.mutable_fields())["path"].set_string_value(name);
      return document;
    }
    return std::nullopt;
  }
  double Progress() const override {
    return names_.empty() ? 1 : static_cast<double>(next_) / static_cast<double>(names_.size());
  }
  std::string Identity() const override {
    return absl::StrCat(fs::absolute(root_).string(), "|", absl::StrJoin(names_, "|"));
  }

 private:
  std::string root_;
  std::vector<std::string> names_;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<size_t> SplitCsvRecord(absl::string_view input, bool at_end, std::vector<std::string>* cells) {
  cells->clear();
  if (input.empty()) return 0;
  std::string cell;
  size_t i = 0;
  for (;;) {
    if (i < input.size() && input[i] == '"') {
      for (++i;; ++i) {
        if (i >= input.size()) {
          if (at_end) return absl::InvalidArgumentError("a quoted cell is not closed");
          return 0;
        }
        if (input[i] != '"') {
          cell += input[i];
        } else if (i + 1 < input.size() && input[i + 1] == '"') {
          cell += input[++i];
        } else {
          if (i + 1 >= input.size() && !at_end) return 0;  // the next byte could be a second quote
          ++i;
          break;
        }
      }
      if (i < input.size() && input[i] != ',' && input[i] != '\n' && input[i] != '\r') {
        return absl::InvalidArgumentError("there is text behind a closing quote");
      }
    } else {
      while (i < input.size() && input[i] != ',' && input[i] != '\n' && input[i] != '\r') {
        if (input[i] == '"') return absl::InvalidArgumentError("there is a quote inside an unquoted cell");
        cell += input[i++];
      }
    }
    if (i >= input.size()) {
      if (!at_end) return 0;
      cells->push_back(std::move(cell));
      return i;
    }
    cells->push_back(std::move(cell));
    cell.clear();
    if (input[i] == ',') {
      ++i;
      continue;
    }
    if (input[i] == '\r') {
      if (i + 1 >= input.size() && !at_end) return 0;
      ++i;
      if (i < input.size() && input[i] == '\n') ++i;
      return i;
    }
    return i + 1;
  }
}

absl::StatusOr<std::unique_ptr<DocumentSource>> OpenSource(const std::string& path, const SourceOptions& options) {
  std::error_code error;
  const bool is_folder = fs::is_directory(path, error);
  if (!is_folder && !fs::exists(path, error)) return absl::NotFoundError(absl::StrCat(path, " does not exist"));
  std::string format = options.format;
  if (format.empty()) {
    format = is_folder                                                           ? "text"
             : absl::EndsWith(path, ".csv")                                      ? "csv"
             : absl::EndsWith(path, ".jsonl") || absl::EndsWith(path, ".ndjson") ? "jsonl"
                                                                                 : "";
  }
  if (format == "text") {
    if (!is_folder) return absl::InvalidArgumentError(absl::StrCat("format text reads a folder; ", path, " is a file"));
    auto folder = std::make_unique<TextFolder>(path);
    ALCOVE_RETURN_IF_ERROR(folder->List());
    return folder;
  }
  if (is_folder)
    return absl::InvalidArgumentError(absl::StrCat("format ", format, " reads a file; ", path, " is a folder"));
  if (format == "jsonl") {
    ALCOVE_ASSIGN_OR_RETURN(ChunkedFile file, ChunkedFile::Open(path));
    return std::make_unique<JsonLines>(path, std::move(file), options);
  }
  if (format == "csv") {
    ALCOVE_ASSIGN_OR_RETURN(ChunkedFile file, ChunkedFile::Open(path));
    auto csv = std::make_unique<Csv>(path, std::move(file), options);
    ALCOVE_RETURN_IF_ERROR(csv->ReadHeader());
    return csv;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the format of ", path, " cannot be told from its name; pass --format jsonl, csv or text"));
}

}  // namespace alcove::ctl
