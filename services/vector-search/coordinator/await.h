// Waiting for an answer that is asked for asynchronously.
#pragma once

#include <utility>

#include <absl/status/statusor.h>
#include <absl/synchronization/notification.h>

namespace alcove::vector_search {

// ask(done) → the answer. Only on threads that may wait.
template <typename T, typename Ask>
absl::StatusOr<T> Await(Ask ask) {
  absl::Notification ready;
  absl::StatusOr<T> answer = absl::UnknownError("no answer");
  ask([&](absl::StatusOr<T> result) {
    answer = std::move(result);
    ready.Notify();
  });
  ready.WaitForNotification();
  return answer;
}

}  // namespace alcove::vector_search
