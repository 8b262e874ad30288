#include "libs/fhe/search/database.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libs/fhe/fault.h"
#include "libs/fhe/random/blake2b.h"

namespace alcove::fhe {
namespace {

// The file: this header, signs, the rows, BLAKE2b-256 of all. Little-endian, as everything here.
struct FileHeader {
  char magic[8];  // "ALCFHEDB"
  uint32_t version;
  uint16_t levels;
  uint16_t fold;         // 0: what makes one ciphertext a query
  uint8_t parms_id[32];  // key level
  uint64_t dimensions;
  uint64_t rows;
  uint64_t sequence;
  double max_row_energy;
};
static_assert(sizeof(FileHeader) == 80);
constexpr char kMagic[8] = {'A', 'L', 'C', 'F', 'H', 'E', 'D', 'B'};
// Version 2 has the signs behind the header, version 1 has none.
constexpr uint32_t kVersion = 2;
constexpr size_t kDigestBytes = 32;

void Digest(absl::string_view bytes, uint8_t* out) {
  Blake2b(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()),
          absl::MakeSpan(out, kDigestBytes));
}

absl::Status SystemError(absl::string_view what, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat(what, " ", path));
}

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return SystemError("writing", path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  if (fsync(fd) != 0) return SystemError("syncing", path);
  return absl::OkStatus();
}

}  // namespace

std::vector<const Block*> DatabaseSnapshot::Pointers() const {
  std::vector<const Block*> out;
  for (const auto& block : blocks) out.push_back(block.get());
  return out;
}

size_t DatabaseSnapshot::MemoryBytes() const {
  size_t bytes = 0;
  for (const auto& block : blocks) bytes += block->MemoryBytes();
  return bytes;
}

absl::Status Database::Check(const Context& context, const DatabaseOptions& options) {
  if (context.data_rows() != 1 || context.modulus(0).bits() > 50) {
    return FaultError(Fault::kPrimeOutOfRange, "an encoded collection needs exactly one data prime, below 2^50");
  }
  if (options.layout.degree() != context.degree() || options.layout.polynomials() > kMaxMacTerms) {
    return absl::InvalidArgumentError("the layout does not suit the parameters");
  }
  if (!options.signs.empty() && options.signs.bytes().size() != context.degree() / 8) {
    return absl::InvalidArgumentError("the signs are not those of this degree");
  }
  if (!(options.max_row_energy > 0)) return absl::InvalidArgumentError("the largest energy of a row must be positive");
  const SearchNoise noise = BoundSearchNoise(context.parameters(), options.layout, options.max_row_energy);
  if (!(noise.failure_log2 < kMaxFailureLog2)) {
    return absl::InvalidArgumentError(absl::StrCat("rows of energy ", options.max_row_energy,
                                                   " could decrypt wrongly with a probability of 2^",
                                                   noise.failure_log2, " a reply; the limit is 2^", kMaxFailureLog2));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Database>> Database::Create(std::shared_ptr<const Context> context,
                                                           const DatabaseOptions& options) {
  if (absl::Status s = Check(*context, options); !s.ok()) return s;
  return std::unique_ptr<Database>(new Database(std::move(context), options));
}

Database::Database(std::shared_ptr<const Context> context, const DatabaseOptions& options)
    : context_(std::move(context)), options_(options) {
  auto empty = std::make_shared<DatabaseSnapshot>();
  empty->layout = options_.layout;
  empty->signs = options_.signs;
  snapshot_ = std::move(empty);
}

void Database::Touch(size_t row) {
  const size_t block = row / options_.layout.rows_per_block();
  if (changed_.size() <= block) changed_.resize(block + 1);
  changed_[block] = true;
}

absl::Status Database::Set(size_t row, absl::Span<const int8_t> values) {
  const size_t dimensions = options_.layout.dimensions();
  if (values.size() != dimensions) {
    return absl::InvalidArgumentError(absl::StrCat("a row of ", values.size(), " numbers instead of ", dimensions));
  }
  if (row >= kMaxDatabaseRows) return absl::OutOfRangeError(absl::StrCat("row ", row, " of an encoded collection"));
  int64_t energy = 0;
  for (int8_t v : values) energy += int64_t{v} * v;
  if (static_cast<double>(energy) > options_.max_row_energy) {
    return absl::OutOfRangeError(absl::StrCat("the squares of row ", row, " add up to ", energy, "; at most ",
                                              options_.max_row_energy, " keep scores exact"));
  }
  if (row >= rows_) {
    for (size_t r = rows_; r < row; ++r) Touch(r);
    values_.resize((row + 1) * dimensions);
    rows_ = row + 1;
  }
  std::copy(values.begin(), values.end(), values_.begin() + static_cast<std::ptrdiff_t>(row * dimensions));
  Touch(row);
  return absl::OkStatus();
}

absl::Status Database::Clear(size_t row) {
  if (row >= rows_) return absl::OutOfRangeError(absl::StrCat("row ", row, " of ", rows_));
  std::fill_n(values_.begin() + static_cast<std::ptrdiff_t>(row * options_.layout.dimensions()),
              options_.layout.dimensions(), int8_t{0});
  Touch(row);
  return absl::OkStatus();
}

absl::Span<const int8_t> Database::Row(size_t row) const {
  return absl::MakeConstSpan(values_).subspan(row * options_.layout.dimensions(), options_.layout.dimensions());
}

void Database::Truncate(size_t rows) {
  if (rows >= rows_) return;
  Touch(rows);
  rows_ = rows;
  values_.resize(rows * options_.layout.dimensions());
  changed_.resize(std::min(changed_.size(), options_.layout.Blocks(rows) + 1));
}

absl::Status Database::SetLayout(const Layout& layout) {
  if (layout.dimensions() != options_.layout.dimensions()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a layout of ", layout.dimensions(), " dimensions for rows of ", options_.layout.dimensions()));
  }
  if (layout == options_.layout) return absl::OkStatus();
  DatabaseOptions options = options_;
  options.layout = layout;
  if (absl::Status s = Check(*context_, options); !s.ok()) return s;
  options_ = std::move(options);
  changed_.assign(options_.layout.Blocks(rows_), true);
  return absl::OkStatus();
}

absl::Status Database::Commit(uint64_t sequence) {
  return Commit(sequence, [](size_t n, absl::FunctionRef<void(size_t)> body) {
    for (size_t i = 0; i < n; ++i) body(i);
  });
}

absl::Status Database::Commit(uint64_t sequence, ForEach for_each) {
  const Layout& layout = options_.layout;
  const size_t per_block = layout.rows_per_block();
  const size_t dimensions = layout.dimensions();
  const auto before = snapshot();
  auto after = std::make_shared<DatabaseSnapshot>();
  after->layout = layout;
  after->signs = options_.signs;
  after->rows = rows_;
  after->sequence = sequence;
  after->blocks.resize(layout.Blocks(rows_));
  std::vector<size_t> stale;
  for (size_t b = 0; b < after->blocks.size(); ++b) {
    const bool kept = before->layout == layout && b < before->blocks.size() && !(b < changed_.size() && changed_[b]);
    if (kept) {
      after->blocks[b] = before->blocks[b];
    } else {
      stale.push_back(b);
    }
  }
  std::vector<absl::Status> results(stale.size());
  for_each(stale.size(), [&](size_t i) {
    const size_t b = stale[i], rows = layout.RowsOf(b, rows_);
    auto block = Block::Encode(*context_, layout,
                               absl::MakeConstSpan(values_).subspan(b * per_block * dimensions, rows * dimensions),
                               rows, options_.signs);
    results[i] = block.status();
    if (block.ok()) after->blocks[b] = std::make_shared<const Block>(*std::move(block));
  });
  for (absl::Status& result : results) {
    if (!result.ok()) return std::move(result);
  }
  changed_.clear();
  absl::MutexLock lock(&mutex_);
  snapshot_ = std::move(after);
  return absl::OkStatus();
}

std::shared_ptr<const DatabaseSnapshot> Database::snapshot() const {
  absl::MutexLock lock(&mutex_);
  return snapshot_;
}

size_t Database::MemoryBytes() const { return RowBytes() + snapshot()->MemoryBytes(); }

absl::StatusOr<std::string> Database::Serialise() const {
  const auto current = snapshot();
  if (current->rows != rows_ || std::find(changed_.begin(), changed_.end(), true) != changed_.end()) {
    return absl::FailedPreconditionError("rows have changed since the last commit");
  }
  FileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = options_.signs.empty() ? 1 : kVersion;
  const bool one_part = options_.layout.parts().size() == 1;
  header.levels = static_cast<uint16_t>(options_.layout.levels());
  header.fold = one_part ? uint16_t{0} : static_cast<uint16_t>(options_.layout.fold());
  std::copy(context_->key_id().begin(), context_->key_id().end(), header.parms_id);
  header.dimensions = options_.layout.dimensions();
  header.rows = rows_;
  header.sequence = current->sequence;
  header.max_row_energy = options_.max_row_energy;
  std::string out;
  out.reserve(sizeof header + options_.signs.bytes().size() + values_.size() + kDigestBytes);
  out.append(reinterpret_cast<const char*>(&header), sizeof header);
  out.append(options_.signs.bytes());
  out.append(reinterpret_cast<const char*>(values_.data()), values_.size());
  uint8_t digest[kDigestBytes];
  Digest(out, digest);
  out.append(reinterpret_cast<const char*>(digest), sizeof digest);
  return out;
}

absl::Status Database::Save(const std::string& path) const {
  const auto bytes = Serialise();
  if (!bytes.ok()) return bytes.status();
  const std::string temporary = absl::StrCat(path, ".tmp");
  {
    const File file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (file.fd() < 0) return SystemError("creating", temporary);
    if (absl::Status s = WriteAll(file.fd(), *bytes, temporary); !s.ok()) return s;
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return SystemError("renaming", temporary);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const File directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd() < 0 || fsync(directory.fd()) != 0) return SystemError("syncing", folder);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Database>> Database::ParseRows(std::shared_ptr<const Context> context,
                                                              absl::string_view bytes, uint64_t& sequence) {
  if (bytes.size() < sizeof(FileHeader) + kDigestBytes) {
    return absl::DataLossError("an encoded collection's file is cut short");
  }
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    return absl::DataLossError("not the file of an encoded collection");
  }
  if (header.version < 1 || header.version > kVersion) {
    return absl::FailedPreconditionError(absl::StrCat("an encoded collection of version ", header.version,
                                                      "; this program reads versions 1 to ", kVersion));
  }
  uint8_t digest[kDigestBytes];
  Digest(bytes.substr(0, bytes.size() - kDigestBytes), digest);
  if (std::memcmp(digest, bytes.data() + bytes.size() - kDigestBytes, kDigestBytes) != 0) {
    return absl::DataLossError("the checksum of an encoded collection does not match");
  }
  if (!std::equal(context->key_id().begin(), context->key_id().end(), header.parms_id)) {
    return absl::FailedPreconditionError("the encoded collection was written under other parameters");
  }
  const size_t sign_bytes = header.version == 1 ? 0 : context->degree() / 8;
  const size_t body = bytes.size() - sizeof header - kDigestBytes;
  if (body < sign_bytes) return absl::DataLossError("an encoded collection's file is cut short");
  const size_t payload = body - sign_bytes;
  if (header.dimensions < 1 || header.dimensions > context->degree() || header.rows > kMaxDatabaseRows ||
      header.rows * header.dimensions != payload) {
    return absl::DataLossError("the size of an encoded collection's file does not fit its header");
  }
  const auto layout = header.fold == 0
                          ? Layout::Create(context->degree(), header.dimensions, header.levels)
                          : Layout::Create(context->degree(), header.dimensions, header.levels, header.fold);
  if (!layout.ok()) return absl::DataLossError(layout.status().message());
  if (header.fold != 0 && layout->parts().size() == 1) {
    return absl::DataLossError("an encoded collection's file names a fold it does not need");
  }
  const auto signs = SignPattern::FromBytes(bytes.substr(sizeof header, sign_bytes), context->degree());
  if (!signs.ok()) return signs.status();
  auto out = Create(std::move(context), {*layout, header.max_row_energy, *signs});
  if (!out.ok()) return out.status();
  Database& database = **out;
  const auto* values = reinterpret_cast<const int8_t*>(bytes.data() + sizeof header + sign_bytes);
  for (size_t r = 0; r < header.rows; ++r) {
    absl::Status s = database.Set(r, absl::MakeConstSpan(values + r * header.dimensions, header.dimensions));
    if (!s.ok()) return absl::DataLossError(s.message());
  }
  sequence = header.sequence;
  return out;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Parse(std::shared_ptr<const Context> context,
                                                          absl::string_view bytes) {
  uint64_t sequence = 0;
  auto out = ParseRows(std::move(context), bytes, sequence);
  if (!out.ok()) return out;
  if (absl::Status s = (*out)->Commit(sequence); !s.ok()) return s;
  return out;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Load(std::shared_ptr<const Context> context,
                                                         const std::string& path) {
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) return SystemError("opening", path);
  struct stat info;
  if (fstat(file.fd(), &info) != 0) return SystemError("reading", path);
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) return absl::DataLossError(absl::StrCat(path, " is empty"));
  void* const memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (memory == MAP_FAILED) return SystemError("mapping", path);
  auto out = Parse(std::move(context), absl::string_view(static_cast<const char*>(memory), size));
  munmap(memory, size);
  if (!out.ok()) return absl::Status(out.status().code(), absl::StrCat(path, ": ", out.status().message()));
  return out;
}

std::vector<std::vector<int8_t>> LookupRows(absl::Span<const std::string> records) {
  size_t longest = 0;
  for (const std::string& record : records) longest = std::max(longest, record.size());
  std::vector<std::vector<int8_t>> rows(longest, std::vector<int8_t>(records.size()));
  for (size_t d = 0; d < records.size(); ++d) {
    for (size_t r = 0; r < records[d].size(); ++r) rows[r][d] = static_cast<int8_t>(records[d][r]);
  }
  return rows;
}

}  // namespace alcove::fhe
