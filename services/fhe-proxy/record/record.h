#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

// The form of the proxy's files: eight bytes that name the kind and its version, fields, and the BLAKE2b-256 of all
// that in hexadecimal. Integers are little-endian, as this machine lays them out; texts stand behind their size in 4
// bytes.
namespace alcove::fhe_proxy {

// Ends a record that was begun with its magic: appends the digest.
void SealRecord(std::string& record);
// The fields of a record: what stands between `magic` and the digest. DATA_LOSS, naming `what` ("classifier"), when it
// is no record of that kind or its digest does not match.
absl::StatusOr<absl::string_view> OpenRecord(absl::string_view bytes, absl::string_view magic, absl::string_view what);
// DATA_LOSS: fields are missing, or left over.
absl::Status UnfitFields(absl::string_view what);

// Take… removes what it reads from the front of `in`; false, and nothing promised of `in`, when `in` ends too soon.

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

// A view of what `in` views.
inline bool TakeText(absl::string_view& in, absl::string_view& text) {
  uint32_t size = 0;
  if (!TakeInteger(in, size) || in.size() < size) return false;
  text = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}

inline bool TakeText(absl::string_view& in, std::string& text) {
  absl::string_view view;
  if (!TakeText(in, view)) return false;
  text.assign(view.data(), view.size());
  return true;
}

}  // namespace alcove::fhe_proxy
