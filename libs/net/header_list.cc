#include "libs/net/header_list.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"

namespace alcove::net {

HeaderList::Bytes& HeaderList::Bytes::operator=(const Bytes& other) {
  if (this == &other) return *this;
  size_ = 0;
  if (other.size_ > 0) std::memcpy(Extend(other.size_), other.data_.get(), other.size_);
  return *this;
}

HeaderList::Bytes& HeaderList::Bytes::operator=(Bytes&& other) noexcept {
  data_.swap(other.data_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
  if (this != &other) other.size_ = 0;
  return *this;
}

char* HeaderList::Bytes::Extend(size_t n) {
  if (capacity_ - size_ < n) {
    constexpr size_t kFirst = 512;
    const size_t wanted = std::max({kFirst, 2 * capacity_, size_ + n});
    std::unique_ptr<char[]> bigger(new char[wanted]);
    if (size_ > 0) std::memcpy(bigger.get(), data_.get(), size_);
    data_ = std::move(bigger);
    capacity_ = wanted;
  }
  char* at = data_.get() + size_;
  size_ += n;
  return at;
}

void HeaderList::Add(std::string_view name, std::string_view value, bool sensitive) {
  const size_t offset = bytes_.size();
  AddLower(name, value, sensitive);
  char* stored = bytes_.data() + offset;
  for (size_t i = 0; i < name.size(); ++i) stored[i] = absl::ascii_tolower(stored[i]);
}

void HeaderList::AddLower(std::string_view lower_name, std::string_view value, bool sensitive) {
  entries_.push_back({static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(lower_name.size()),
                      static_cast<uint32_t>(value.size()), sensitive});
  char* at = bytes_.Extend(lower_name.size() + value.size());
  if (!lower_name.empty()) std::memcpy(at, lower_name.data(), lower_name.size());
  if (!value.empty()) std::memcpy(at + lower_name.size(), value.data(), value.size());
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

}  // namespace alcove::net
