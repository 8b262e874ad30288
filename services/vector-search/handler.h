// The shape of every method of both faces: queue, convert, work, convert back.
#pragma once

#include <memory>
#include <utility>

#include "libs/rpc/method.h"
#include "services/vector-search/coordinator/shard_client.h"
#include "services/vector-search/work_queue.h"

namespace alcove::vector_search {

enum class Expect { kAnyLength, kShort };

// Runs start(ctx, done) on the queue, or, expected to be short, on the call's loop when that saves time (WorkQueue);
// `done` takes a StatusOr<T>, whose value fill(value) puts into the response.
template <typename T, typename Start, typename Fill>
void Answer(rpc::UnaryMethod& method, rpc::UnaryCall* call, WorkQueue& queue, Start start, Fill fill,
            Expect expect = Expect::kAnyLength) {
  net::Loop& loop = call->call().loop();
  method.HandleAsync(call, [&queue, &loop, expect, start = std::move(start), fill = std::move(fill)](
                               const RequestContext& ctx, rpc::Finish finish) mutable {
    // Shared with the refused path: a task that was not taken must not have taken `finish` with it.
    auto end = std::make_shared<rpc::Finish>(std::move(finish));
    auto task = [ctx, end, start = std::move(start), fill = std::move(fill)]() mutable {
      if (absl::Status late = ctx.Check(); !late.ok()) return (*end)(std::move(late));
      start(ctx, Done<T>([end, fill = std::move(fill)](absl::StatusOr<T> result) mutable {
              if (!result.ok()) return (*end)(result.status());
              fill(*std::move(result));
              (*end)(absl::OkStatus());
            }));
    };
    const absl::Status queued =
        expect == Expect::kShort ? queue.SubmitShort(loop, std::move(task)) : queue.Submit(std::move(task));
    if (!queued.ok()) (*end)(queued);
  });
}

}  // namespace alcove::vector_search
