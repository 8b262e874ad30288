#include "services/vector-search/collection/payload.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <absl/strings/str_cat.h>

#include "libs/common/text.h"

namespace alcove::vector_search {
namespace {

constexpr char kVersion = 1;

uint64_t ReadVarint(const char*& at) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(*at++);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

// False when the varint is cut, longer than ten bytes or not in its shortest form.
bool ReadVarintChecked(const char*& at, const char* end, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at == end) return false;
    const auto byte = static_cast<uint8_t>(*at++);
    if (shift == 63 && byte > 1) return false;
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return byte != 0 || shift == 0;
  }
  return false;
}

void AppendVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

uint64_t ZigZag(int64_t value) { return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63); }
int64_t UnZigZag(uint64_t value) { return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1); }

uint32_t LoadU32(const char* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Walks bytes of unknown origin. Recursion is bounded by kMaxPayloadDepth.
class Validator {
 public:
  explicit Validator(absl::string_view all) : begin_(all.data()) {}

  absl::Status Value(const char*& at, const char* end, int depth) {
    if (at == end) return Error(at, "value is cut short");
    const char* tag = at;
    const auto kind = static_cast<ValueKind>(*at++);
    switch (kind) {
      case ValueKind::kNull:
      case ValueKind::kFalse:
      case ValueKind::kTrue: return absl::OkStatus();
      case ValueKind::kInteger: {
        uint64_t raw;
        if (!ReadVarintChecked(at, end, &raw)) return Error(tag, "malformed integer");
        const int64_t value = UnZigZag(raw);
        if (value > kMaxExactInteger || value < -kMaxExactInteger) return Error(tag, "integer beyond 2^53");
        return absl::OkStatus();
      }
      case ValueKind::kDouble: {
        if (end - at < 8) return Error(tag, "number is cut short");
        double value;
        std::memcpy(&value, at, 8);
        at += 8;
        if (!std::isfinite(value)) return Error(tag, "number is not finite");
        return absl::OkStatus();
      }
      case ValueKind::kString: {
        absl::string_view text;
        return Text(at, end, &text);
      }
      case ValueKind::kList:
      case ValueKind::kObject: {
        if (depth >= kMaxPayloadDepth) return Error(tag, absl::StrCat("nested deeper than ", kMaxPayloadDepth));
        if (end - at < 4) return Error(tag, "length is cut short");
        const uint32_t size = LoadU32(at);
        at += 4;
        if (size > static_cast<uint64_t>(end - at)) return Error(tag, "contents are cut short");
        const char* inner_end = at + size;
        absl::string_view last;
        for (bool first = true; at != inner_end; first = false) {
          if (kind == ValueKind::kObject) {
            absl::string_view key;
            const char* key_at = at;
            if (absl::Status status = Text(at, inner_end, &key); !status.ok()) return status;
            if (!first && key <= last) return Error(key_at, "keys are not in ascending order");
            last = key;
          }
          if (absl::Status status = Value(at, inner_end, depth + 1); !status.ok()) return status;
        }
        return absl::OkStatus();
      }
    }
    return Error(tag, absl::StrCat("unknown kind of value ", static_cast<int>(kind)));
  }

 private:
  absl::Status Text(const char*& at, const char* end, absl::string_view* text) {
    const char* start = at;
    uint64_t size;
    if (!ReadVarintChecked(at, end, &size) || size > static_cast<uint64_t>(end - at)) {
      return Error(start, "text is cut short");
    }
    *text = absl::string_view(at, size);
    at += size;
    if (!IsValidUtf8(*text)) return Error(start, "text is not UTF-8");
    return absl::OkStatus();
  }

  absl::Status Error(const char* at, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("payload byte ", at - begin_, ": ", what));
  }

  const char* const begin_;
};

}  // namespace

int64_t ValueView::integer() const {
  const char* at = tag_ + 1;
  return UnZigZag(ReadVarint(at));
}

double ValueView::number() const {
  if (kind() == ValueKind::kInteger) return static_cast<double>(integer());
  double value;
  std::memcpy(&value, tag_ + 1, 8);
  return value;
}

absl::string_view ValueView::string() const {
  const char* at = tag_ + 1;
  const uint64_t size = ReadVarint(at);
  return {at, size};
}

ListView ValueView::list() const { return {tag_ + 5, tag_ + 5 + LoadU32(tag_ + 1)}; }
ObjectView ValueView::object() const { return {tag_ + 5, tag_ + 5 + LoadU32(tag_ + 1)}; }

const char* ValueView::end() const {
  switch (kind()) {
    case ValueKind::kNull:
    case ValueKind::kFalse:
    case ValueKind::kTrue: return tag_ + 1;
    case ValueKind::kInteger: {
      const char* at = tag_ + 1;
      ReadVarint(at);
      return at;
    }
    case ValueKind::kDouble: return tag_ + 9;
    case ValueKind::kString: {
      const absl::string_view text = string();
      return text.data() + text.size();
    }
    case ValueKind::kList:
    case ValueKind::kObject: return tag_ + 5 + LoadU32(tag_ + 1);
  }
  return tag_ + 1;
}

absl::string_view ObjectView::key() const {
  const char* at = at_;
  const uint64_t size = ReadVarint(at);
  return {at, size};
}

ValueView ObjectView::value() const {
  const absl::string_view name = key();
  return ValueView(name.data() + name.size());
}

std::optional<ValueView> ObjectView::Find(absl::string_view name) const {
  for (ObjectView it = *this; !it.done(); it.Next()) {
    const absl::string_view key = it.key();
    if (key == name) return it.value();
    if (key > name) break;
  }
  return std::nullopt;
}

ObjectView PayloadObject(absl::string_view payload) {
  if (payload.empty()) return {nullptr, nullptr};
  return ValueView(payload.data() + 1).object();
}

std::optional<ValueView> FindPath(absl::string_view payload, absl::string_view path) {
  ObjectView object = PayloadObject(payload);
  while (true) {
    const size_t dot = path.find('.');
    const std::optional<ValueView> value = object.Find(path.substr(0, dot));
    if (!value || dot == absl::string_view::npos) return value;
    if (value->kind() != ValueKind::kObject) return std::nullopt;
    object = value->object();
    path.remove_prefix(dot + 1);
  }
}

absl::Status ValidatePayload(absl::string_view payload) {
  if (payload.empty()) return absl::OkStatus();
  if (payload.size() > kMaxPayloadObjectBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("payload is ", payload.size(), " bytes, the limit is ", kMaxPayloadObjectBytes));
  }
  if (payload[0] != kVersion) {
    if (payload[0] > kVersion) {
      return absl::FailedPreconditionError(
          absl::StrCat("payload has format version ", static_cast<int>(payload[0]), ", this build reads version 1"));
    }
    return absl::InvalidArgumentError("payload does not begin with a format version");
  }
  if (payload.size() < 2 || static_cast<ValueKind>(payload[1]) != ValueKind::kObject) {
    return absl::InvalidArgumentError("payload is not an object");
  }
  const char* at = payload.data() + 1;
  const char* end = payload.data() + payload.size();
  if (absl::Status status = Validator(payload).Value(at, end, 0); !status.ok()) return status;
  if (at != end) return absl::InvalidArgumentError("payload has bytes after its object");
  return absl::OkStatus();
}

PayloadBuilder::PayloadBuilder() { out_.push_back(kVersion); }

void PayloadBuilder::Fail(absl::string_view why) {
  if (error_.ok()) error_ = absl::InvalidArgumentError(why);
}

bool PayloadBuilder::BeforeValue() {
  if (!error_.ok()) return false;
  if (out_.size() > kMaxPayloadObjectBytes) {
    Fail(absl::StrCat("payload is larger than ", kMaxPayloadObjectBytes, " bytes"));
    return false;
  }
  if (open_.empty()) {
    Fail("payload must be one object");
    return false;
  }
  Open& open = open_.back();
  if (open.object && !open.has_key) {
    Fail("value without a key");
    return false;
  }
  open.has_key = false;
  return true;
}

void PayloadBuilder::Null() {
  if (BeforeValue()) out_.push_back(static_cast<char>(ValueKind::kNull));
}

void PayloadBuilder::Bool(bool value) {
  if (BeforeValue()) out_.push_back(static_cast<char>(value ? ValueKind::kTrue : ValueKind::kFalse));
}

void PayloadBuilder::Integer(int64_t value) {
  if (value > kMaxExactInteger || value < -kMaxExactInteger) return Number(static_cast<double>(value));
  if (!BeforeValue()) return;
  out_.push_back(static_cast<char>(ValueKind::kInteger));
  AppendVarint(out_, ZigZag(value));
}

void PayloadBuilder::Number(double value) {
  if (!std::isfinite(value)) return Fail("payload numbers must be finite");
  if (std::fabs(value) <= static_cast<double>(kMaxExactInteger) && value == std::trunc(value) &&
      !(value == 0 && std::signbit(value))) {
    return Integer(static_cast<int64_t>(value));
  }
  if (!BeforeValue()) return;
  out_.push_back(static_cast<char>(ValueKind::kDouble));
  char raw[8];
  std::memcpy(raw, &value, 8);
  out_.append(raw, 8);
}

void PayloadBuilder::String(absl::string_view value) {
  if (!BeforeValue()) return;
  if (!IsValidUtf8(value)) return Fail("payload texts must be UTF-8");
  out_.push_back(static_cast<char>(ValueKind::kString));
  AppendVarint(out_, value.size());
  out_.append(value.data(), value.size());
}

void PayloadBuilder::Copy(ValueView value) {
  if (!BeforeValue()) return;
  const absl::string_view bytes = value.bytes();
  out_.append(bytes.data(), bytes.size());
}

void PayloadBuilder::Begin(ValueKind kind) {
  const bool outermost = open_.empty() && kind == ValueKind::kObject && !finished_;
  if (!outermost && !BeforeValue()) return;
  if (!error_.ok()) return;
  if (open_.size() >= static_cast<size_t>(kMaxPayloadDepth)) {
    return Fail(absl::StrCat("payload is nested deeper than ", kMaxPayloadDepth));
  }
  open_.push_back({out_.size(), kind == ValueKind::kObject, {}, false});
  out_.push_back(static_cast<char>(kind));
  out_.append(4, '\0');
}

void PayloadBuilder::End(ValueKind kind) {
  if (!error_.ok()) return;
  if (open_.empty() || open_.back().object != (kind == ValueKind::kObject) || open_.back().has_key) {
    return Fail("payload lists and objects are not closed in order");
  }
  const size_t begin = open_.back().begin;
  const auto size = static_cast<uint32_t>(out_.size() - begin - 5);
  std::memcpy(out_.data() + begin + 1, &size, 4);
  open_.pop_back();
  if (open_.empty()) finished_ = true;
}

void PayloadBuilder::BeginList() { Begin(ValueKind::kList); }
void PayloadBuilder::EndList() { End(ValueKind::kList); }
void PayloadBuilder::BeginObject() { Begin(ValueKind::kObject); }
void PayloadBuilder::EndObject() { End(ValueKind::kObject); }

void PayloadBuilder::Key(absl::string_view key) {
  if (!error_.ok()) return;
  if (open_.empty() || !open_.back().object || open_.back().has_key) return Fail("key outside an object");
  Open& open = open_.back();
  const bool first = out_.size() == open.begin + 5;
  if (!first && key <= open.last_key) return Fail("payload keys must be ascending");
  if (!IsValidUtf8(key)) return Fail("payload keys must be UTF-8");
  open.last_key.assign(key.data(), key.size());
  open.has_key = true;
  AppendVarint(out_, key.size());
  out_.append(key.data(), key.size());
}

absl::StatusOr<std::string> PayloadBuilder::Finish() && {
  if (!error_.ok()) return error_;
  if (!finished_) return absl::InvalidArgumentError("payload is not complete");
  if (out_.size() > kMaxPayloadObjectBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("payload is ", out_.size(), " bytes, the limit is ", kMaxPayloadObjectBytes));
  }
  return std::move(out_);
}

absl::StatusOr<std::string> MergePayload(absl::string_view base, absl::string_view change) {
  ObjectView old = PayloadObject(base);
  ObjectView fresh = PayloadObject(change);
  PayloadBuilder builder;
  builder.BeginObject();
  while (!old.done() || !fresh.done()) {
    const bool take_fresh = old.done() || (!fresh.done() && fresh.key() <= old.key());
    if (take_fresh) {
      if (!old.done() && old.key() == fresh.key()) old.Next();
      builder.Key(fresh.key());
      builder.Copy(fresh.value());
      fresh.Next();
    } else {
      builder.Key(old.key());
      builder.Copy(old.value());
      old.Next();
    }
  }
  builder.EndObject();
  return std::move(builder).Finish();
}

std::string SelectPayload(absl::string_view payload, const PayloadSelector& selector) {
  if (selector.none || payload.empty()) return {};
  if (selector.everything()) return std::string(payload);
  const auto listed = [](const std::vector<std::string>& names, absl::string_view key) {
    return std::find(names.begin(), names.end(), key) != names.end();
  };
  PayloadBuilder builder;
  builder.BeginObject();
  bool any = false;
  for (ObjectView it = PayloadObject(payload); !it.done(); it.Next()) {
    const absl::string_view key = it.key();
    if (!selector.include.empty() && !listed(selector.include, key)) continue;
    if (listed(selector.exclude, key)) continue;
    builder.Key(key);
    builder.Copy(it.value());
    any = true;
  }
  builder.EndObject();
  if (!any) return {};
  // A part of a checked payload is always within its bounds.
  return std::move(builder).Finish().value_or(std::string());
}

}  // namespace alcove::vector_search
