// A backup file may be anything: reading it ends in a summary or an error, never outside its bytes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "libs/common/hash.h"
#include "libs/store/backup_store.h"

namespace {

// Blocks with right checksums around the input's pieces, so that what is inside them is reached as well.
std::string Container(const uint8_t* data, size_t size) {
  std::string out("ALCVBKUP\1\0\0\0", 12);
  int64_t number = 0;
  for (size_t at = 0; at + 2 <= size;) {
    const uint8_t type = data[at] % 8;
    const size_t length = std::min<size_t>(data[at + 1], size - at - 2);
    const std::string bytes(reinterpret_cast<const char*>(data + at + 2), length);
    at += 2 + length;
    out.push_back(static_cast<char>(type));
    for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(length >> (8 * i)));
    const uint64_t sum = alcove::Hash64(bytes, static_cast<uint64_t>(number++) << 8 | type);
    for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(sum >> (8 * i)));
    out += bytes;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string path =
      (std::filesystem::temp_directory_path() / ("alcove-backup-fuzz-" + std::to_string(::getpid()))).string();
  for (const std::string& bytes : {std::string(reinterpret_cast<const char*>(data), size), Container(data, size)}) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    (void)alcove::store::BackupStore::Verify(path);
  }
  return 0;
}
