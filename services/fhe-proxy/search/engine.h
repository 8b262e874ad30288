// The computation itself: encrypted queries against encoded rows and documents. Knows ciphertexts and blocks, nothing
// of clients.
//
// Work is cut into pieces of about ten milliseconds; between them the caller's deadline and cancellation are looked at.
// Thread safe; everything handed in must outlive the call.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "libs/common/request_context.h"
#include "libs/common/task_pool.h"
#include "libs/fhe/wire/container.h"
#include "services/fhe-proxy/classify/classifier.h"
#include "services/fhe-proxy/database/encoded.h"
#include "services/fhe-proxy/keys/key_store.h"

namespace alcove::fhe_proxy {

// One encrypted reply: query `query` of the request against block (or piece) `block`.
struct EncryptedReply {
  uint32_t query = 0;
  uint32_t block = 0;
  std::string ciphertext;  // SEAL object in the version of the query
};
// Takes replies in order of block, then query. An error ends the computation and is its result.
using EmitReply = absl::FunctionRef<absl::Status(EncryptedReply)>;

// The encrypted query ciphertexts of one request.
struct EncryptedQueries {
  absl::string_view bytes;  // SEAL ciphertexts, one after another
  size_t max_queries = 1;
  // Of the replies. Low bits that carry nothing are rounded away before replies are compressed, which makes them about
  // 0.6 of their size; any SEAL decrypts them to the same numbers.
  fhe::Compression compression = fhe::Compression::kNone;
  // Asked once every ciphertext is known to be sound, before anything is computed, with the number of queries: the
  // place to take a budget. Its error ends the call. May be unset.
  std::function<absl::Status(size_t queries)> admit;
};

// Scores every query of the request against the named blocks (all when empty). The bytes hold layout.parts()
// ciphertexts for each query. Errors: a FaultError for a malformed ciphertext, wrong level or form, another parameter
// set, or a number of ciphertexts that is no multiple of the parts; RESOURCE_EXHAUSTED (TOO_MANY_QUERIES); the
// emitter's; the context's.
absl::Status SearchCollection(const RequestContext& ctx, const EvaluationKeys& keys,
                              const EncodedCollection& collection, const EncryptedQueries& queries,
                              absl::Span<const uint32_t> blocks, TaskPool& pool, EmitReply emit);

// Answers every query with the pieces of the record it asks for.
absl::Status LookupRecords(const RequestContext& ctx, const EvaluationKeys& keys, const EncodedRecords& records,
                           const EncryptedQueries& queries, TaskPool& pool, EmitReply emit);

// Scores of vectors by a classifier's weights, one reply a query.
absl::Status ScoreClassifier(const RequestContext& ctx, const EvaluationKeys& keys, const EncodedClassifier& classifier,
                             const EncryptedQueries& queries, TaskPool& pool, EmitReply emit);

// How many queries `queries` would hold when each takes `parts` ciphertexts: what a budget counts. Reads headers only.
absl::StatusOr<size_t> CountQueries(const EncryptedQueries& queries, size_t parts);

}  // namespace alcove::fhe_proxy
