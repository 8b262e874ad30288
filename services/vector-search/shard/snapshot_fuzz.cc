// Loads snapshots made of arbitrary blocks with right checksums, so that what is inside the blocks is reached; and
// arbitrary files, which the container must refuse.
//
// Input: repeated type u8, size u16, bytes: the blocks of a file. The same bytes are also tried as a whole file.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <unistd.h>

#include "services/vector-search/shard/shard.h"

namespace {

using namespace alcove::vector_search;

// One file for the whole run, removed at its end.
struct Scratch {
  std::string path;
  Scratch() {
    char name[] = "/tmp/alcove-snapshot-fuzz-XXXXXX";
    const int fd = mkstemp(name);
    if (fd < 0) std::abort();
    close(fd);
    path = name;
  }
  ~Scratch() { std::remove(path.c_str()); }
};

void TryToLoad(const std::string& path) {
  ShardOptions options;
  options.address = {7, 1, 0};
  options.identity = "t/docs@1";
  options.config.vectors[""] = {.dimension = 2, .metric = Metric::kL2, .m = 8, .codes = Codes::kF32};
  options.config.sparse["s"] = {};
  const auto shard = Shard::Load(options, path);
  if (shard.ok() && !(*shard)->Scroll({.limit = 10, .with_vectors = true}).ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Scratch scratch;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size % 8 == 0) {
    std::ofstream(scratch.path, std::ios::binary | std::ios::trunc) << bytes;
    TryToLoad(scratch.path);
  }
  auto writer = SnapshotWriter::Create(scratch.path);
  if (!writer.ok()) std::abort();
  for (size_t at = 0; at + 3 <= size;) {
    const size_t length = std::min<size_t>(data[at + 1] | data[at + 2] << 8, size - at - 3);
    if (!writer->WriteBlock(static_cast<BlockType>(data[at]), bytes.substr(at + 3, length)).ok()) std::abort();
    at += 3 + length;
  }
  if (!writer->Finish().ok()) std::abort();
  // Commit would sync the disk for every input; the finished bytes are in the temporary file.
  TryToLoad(scratch.path + ".tmp");
  return 0;
}
