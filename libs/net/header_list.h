#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace alcove::net {

// An ordered multimap of header fields kept in one contiguous buffer. Names are stored lower-case, so lookups compare
// lower-case bytes; values are stored as received. Views returned stay valid until the next Add or Clear.
//
// Cost: Add copies name and value once; Clear keeps the memory, so a recycled list allocates nothing in steady state.
// Thread safety: none; a list belongs to one loop.
class HeaderList {
 public:
  struct Field {
    std::string_view name;
    std::string_view value;
    bool sensitive = false;  // must never enter a compression table (credentials, per-request identifiers)
  };

  class Iterator {
   public:
    Iterator(const HeaderList* list, size_t index) : list_(list), index_(index) {}
    Field operator*() const { return (*list_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const HeaderList* list_;
    size_t index_;
  };

  // Appends a field; the name is lower-cased. Duplicates are kept in order.
  void Add(std::string_view name, std::string_view value, bool sensitive = false);
  // Appends a field whose name is known to be lower-case (HTTP/2 guarantees it).
  void AddLower(std::string_view lower_name, std::string_view value, bool sensitive = false);
  // Removes every field of that (lower-case) name, then appends.
  void Set(std::string_view lower_name, std::string_view value, bool sensitive = false);
  // Removes every field of that (lower-case) name.
  void Remove(std::string_view lower_name);

  // First value of `lower_name`, or an empty view with a null data() when absent.
  std::string_view Get(std::string_view lower_name) const;
  bool Has(std::string_view lower_name) const { return Get(lower_name).data() != nullptr; }

  Field operator[](size_t index) const;
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  // Sum of name and value lengths, in bytes.
  size_t bytes() const { return bytes_.size(); }
  void Clear();

  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, entries_.size()}; }

 private:
  struct Entry {
    uint32_t offset;
    uint32_t name_length;
    uint32_t value_length;
    bool sensitive;
  };
  // Bytes that grow without being cleared first and copy into room they already have: headers are copied several times
  // per request.
  class Bytes {
   public:
    Bytes() = default;
    Bytes(const Bytes& other) { *this = other; }
    Bytes(Bytes&& other) noexcept { *this = std::move(other); }
    Bytes& operator=(const Bytes& other);
    Bytes& operator=(Bytes&& other) noexcept;
    // Room for `n` more bytes; the caller writes all of them.
    char* Extend(size_t n);
    char* data() { return data_.get(); }
    const char* data() const { return data_.get(); }
    size_t size() const { return size_; }
    void clear() { size_ = 0; }

   private:
    std::unique_ptr<char[]> data_;
    size_t size_ = 0;
    size_t capacity_ = 0;
  };
  Bytes bytes_;
  std::vector<Entry> entries_;
};

}  // namespace alcove::net
