// Snapshot files whose vectors stay in the file.
#include <cerrno>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libs/ann/index.h"
#include "libs/ann/snapshot.h"

namespace alcove::ann {
namespace {

class FileSource final : public ByteSource {
 public:
  explicit FileSource(int file) : file_(file) {}
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    for (;;) {
      const ssize_t got = read(file_, out, size);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) return absl::ErrnoToStatus(errno, "cannot read a snapshot");
    }
  }

 private:
  const int file_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<VectorIndex>> OpenIndex(const std::string& path, const LoadOptions& options) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open snapshot ", path));
  const auto close_file = absl::MakeCleanup([file] { close(file); });
  FileSource source(file);
  SnapshotReader reader(source, options.max_bytes, file);
  return LoadFrom(reader, options);
}

}  // namespace alcove::ann
