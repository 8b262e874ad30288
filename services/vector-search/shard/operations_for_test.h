// Log operations with storage of their own, for tests.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "services/vector-search/collection/payload.h"
#include "services/vector-search/log/log_tailer.h"

namespace alcove::vector_search {

class Operations {
 public:
  explicit Operations(store::Sequence first = 1) : next_(first) {}

  Operations& Upsert(const std::string& id, std::vector<float> vector, std::string payload = "",
                     const std::string& name = "") {
    TailedOperation& t = Add(OperationKind::kUpsert, id);
    vectors_.push_back(std::move(vector));
    t.operation.dense.push_back({Keep(name), FloatBytes(absl::MakeConstSpan(vectors_.back()))});
    t.operation.payload = Keep(std::move(payload));
    return *this;
  }
  // Puts a sparse vector into the operation added last.
  Operations& Sparse(const std::string& name, std::vector<uint32_t> indices, std::vector<float> values) {
    all_.back().operation.sparse.push_back({Keep(name), std::move(indices), std::move(values)});
    return *this;
  }
  // Without vectors: add them with Sparse and Dense.
  Operations& UpsertBare(const std::string& id, std::string payload) {
    Add(OperationKind::kUpsert, id).operation.payload = Keep(std::move(payload));
    return *this;
  }
  Operations& SetVectors(const std::string& id, const std::vector<std::string>& removed = {}) {
    TailedOperation& t = Add(OperationKind::kSetVectors, id);
    for (const std::string& name : removed) t.operation.removed.push_back(Keep(name));
    return *this;
  }
  Operations& Dense(const std::string& name, std::vector<float> vector) {
    vectors_.push_back(std::move(vector));
    all_.back().operation.dense.push_back({Keep(name), FloatBytes(absl::MakeConstSpan(vectors_.back()))});
    return *this;
  }
  Operations& Delete(const std::string& id) {
    Add(OperationKind::kDelete, id);
    return *this;
  }
  Operations& SetPayload(const std::string& id, std::string payload, PayloadMode mode) {
    TailedOperation& t = Add(OperationKind::kSetPayload, id);
    t.operation.payload = Keep(std::move(payload));
    t.operation.payload_mode = mode;
    return *this;
  }
  const std::vector<TailedOperation>& all() const { return all_; }
  store::Sequence next() const { return next_; }

 private:
  TailedOperation& Add(OperationKind kind, const std::string& id) {
    all_.emplace_back();
    all_.back().sequence = next_++;
    all_.back().operation.kind = kind;
    all_.back().operation.id = Keep(id);
    return all_.back();
  }
  absl::string_view Keep(std::string text) {
    texts_.push_back(std::move(text));
    return texts_.back();
  }
  store::Sequence next_;
  std::vector<TailedOperation> all_;
  std::deque<std::string> texts_;
  std::deque<std::vector<float>> vectors_;
};

// {"n": number, "tag": text}
inline std::string TestPayload(int64_t number, const std::string& tag) {
  PayloadBuilder b;
  b.BeginObject();
  b.Key("n");
  b.Integer(number);
  b.Key("tag");
  b.String(tag);
  b.EndObject();
  return std::move(b).Finish().value();
}

}  // namespace alcove::vector_search
