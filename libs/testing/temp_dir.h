// Folders and ports that belong to one test.
#pragma once

#include <cstdint>
#include <string>

namespace alcove::testing {

// A new empty folder under $TMPDIR or /tmp, removed with all it holds at the end. Its path is short enough for a Unix
// socket inside. Move-only.
class TempDir {
 public:
  // Aborts the test program when no folder can be made.
  explicit TempDir(const std::string& prefix = "alcove");
  ~TempDir();
  TempDir(TempDir&& other) noexcept;
  TempDir& operator=(TempDir&&) = delete;

  const std::string& path() const { return path_; }
  // "<folder>/<name>"
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A TCP port of 127.0.0.1 that was free a moment ago, for programs that cannot be given port 0. Ports are handed out in
// an order that differs between processes; another process may still take it first, so start such programs in a retry
// loop.
uint16_t FreePort();

}  // namespace alcove::testing
