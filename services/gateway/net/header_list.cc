#include "services/gateway/net/header_list.h"

#include "absl/strings/ascii.h"

namespace alcove::gateway {

void HeaderList::Add(std::string_view name, std::string_view value, bool sensitive) {
  const size_t offset = bytes_.size();
  AddLower(name, value, sensitive);
  for (size_t i = 0; i < name.size(); ++i) bytes_[offset + i] = absl::ascii_tolower(bytes_[offset + i]);
}

void HeaderList::AddLower(std::string_view lower_name, std::string_view value, bool sensitive) {
  Entry entry{static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(lower_name.size()),
              static_cast<uint32_t>(value.size()), sensitive};
  bytes_.append(lower_name);
  bytes_.append(value);
  entries_.push_back(entry);
}

void HeaderList::Set(std::string_view lower_name, std::string_view value, bool sensitive) {
  Remove(lower_name);
  AddLower(lower_name, value, sensitive);
}

void HeaderList::Remove(std::string_view lower_name) {
  // The bytes stay behind: lists are short-lived, and compacting would move every view.
  size_t kept = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if ((*this)[i].name != lower_name) entries_[kept++] = entries_[i];
  }
  entries_.resize(kept);
}

std::string_view HeaderList::Get(std::string_view lower_name) const {
  for (const Entry& e : entries_) {
    if (e.name_length == lower_name.size() && std::string_view(bytes_.data() + e.offset, e.name_length) == lower_name) {
      return std::string_view(bytes_.data() + e.offset + e.name_length, e.value_length);
    }
  }
  return {};
}

HeaderList::Field HeaderList::operator[](size_t index) const {
  const Entry& e = entries_[index];
  return {std::string_view(bytes_.data() + e.offset, e.name_length),
          std::string_view(bytes_.data() + e.offset + e.name_length, e.value_length), e.sensitive};
}

void HeaderList::Clear() {
  bytes_.clear();
  entries_.clear();
}

}  // namespace alcove::gateway
