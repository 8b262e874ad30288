#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include <absl/strings/string_view.h>

// Fields of the proxy's files: integers as this machine lays them out (little-endian), texts behind their size in 4
// bytes. Take… removes what it reads from the front of `in`; false, and nothing promised of `in`, when `in` ends too
// soon.
namespace alcove::fhe_proxy {

template <class T>
void PutInteger(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

inline void PutText(std::string& out, absl::string_view text) {
  PutInteger(out, static_cast<uint32_t>(text.size()));
  out.append(text.data(), text.size());
}

template <class T>
bool TakeInteger(absl::string_view& in, T& value) {
  if (in.size() < sizeof value) return false;
  std::memcpy(&value, in.data(), sizeof value);
  in.remove_prefix(sizeof value);
  return true;
}

inline bool TakeText(absl::string_view& in, std::string& text) {
  uint32_t size = 0;
  if (!TakeInteger(in, size) || in.size() < size) return false;
  text.assign(in.data(), size);
  in.remove_prefix(size);
  return true;
}

}  // namespace alcove::fhe_proxy
