#include "services/cache/redis/redis_connection.h"

#include <cerrno>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <hiredis/hiredis.h>
#include <poll.h>

#include "libs/common/status.h"

namespace alcove::cache {
namespace {

absl::Status ConnectionError(const redisContext& context) {
  const std::string text = context.errstr;
  if (context.err == REDIS_ERR_IO && (errno == EAGAIN || errno == ETIMEDOUT)) {
    return absl::DeadlineExceededError("Redis did not answer in time");
  }
  return absl::UnavailableError(absl::StrCat("Redis: ", text));
}

absl::StatusOr<RedisReply> Convert(const redisReply& reply) {
  RedisReply out;
  switch (reply.type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS: out.text.emplace(reply.str, reply.len); return out;
    case REDIS_REPLY_INTEGER: out.integer = reply.integer; return out;
    case REDIS_REPLY_NIL: return out;
    case REDIS_REPLY_ARRAY:
      for (size_t i = 0; i < reply.elements; ++i) {
        const redisReply& part = *reply.element[i];
        if (part.type == REDIS_REPLY_STRING || part.type == REDIS_REPLY_STATUS) {
          out.values.emplace_back(std::string(part.str, part.len));
        } else if (part.type == REDIS_REPLY_INTEGER) {
          out.values.emplace_back(absl::StrCat(part.integer));
        } else {
          out.values.emplace_back(std::nullopt);
        }
      }
      return out;
    default: break;
  }
  const std::string text(reply.str, reply.len);
  if (absl::StartsWith(text, "OOM")) return absl::ResourceExhaustedError(absl::StrCat("Redis: ", text));
  if (absl::StartsWith(text, "LOADING") || absl::StartsWith(text, "MASTERDOWN") ||
      absl::StartsWith(text, "CLUSTERDOWN")) {
    return absl::UnavailableError(absl::StrCat("Redis: ", text));
  }
  return absl::FailedPreconditionError(absl::StrCat("Redis: ", text));
}

}  // namespace

void RedisConnection::Deleter::operator()(redisContext* context) const { redisFree(context); }

absl::StatusOr<RedisConnection> RedisConnection::Open(const RedisAddress& address, absl::Duration connect_timeout,
                                                      absl::Duration command_timeout) {
  const timeval connect = absl::ToTimeval(connect_timeout);
  redisContext* context = address.socket.empty() ? redisConnectWithTimeout(address.host.c_str(), address.port, connect)
                                                 : redisConnectUnixWithTimeout(address.socket.c_str(), connect);
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for a Redis connection");
  RedisConnection connection(context);
  if (context->err != 0) return ConnectionError(*context);
  if (redisSetTimeout(context, absl::ToTimeval(command_timeout)) != REDIS_OK) return ConnectionError(*context);
  std::vector<std::vector<std::string>> greeting;
  if (!address.password.empty()) {
    greeting.push_back(address.user.empty() ? std::vector<std::string>{"AUTH", address.password}
                                            : std::vector<std::string>{"AUTH", address.user, address.password});
  }
  if (address.database != 0) greeting.push_back({"SELECT", absl::StrCat(address.database)});
  greeting.push_back({"PING"});
  std::vector<const std::vector<std::string>*> commands;
  for (const auto& command : greeting) commands.push_back(&command);
  ALCOVE_ASSIGN_OR_RETURN(const auto replies, connection.Pipeline(commands));
  for (const auto& reply : replies) ALCOVE_RETURN_IF_ERROR(reply.status());
  return connection;
}

absl::StatusOr<std::vector<absl::StatusOr<RedisReply>>> RedisConnection::Pipeline(
    const std::vector<const std::vector<std::string>*>& commands) {
  std::vector<const char*> words;
  std::vector<size_t> sizes;
  for (const std::vector<std::string>* command : commands) {
    words.clear();
    sizes.clear();
    for (const std::string& word : *command) {
      words.push_back(word.data());
      sizes.push_back(word.size());
    }
    if (redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), words.data(), sizes.data()) !=
        REDIS_OK) {
      return ConnectionError(*context_);
    }
  }
  std::vector<absl::StatusOr<RedisReply>> replies;
  replies.reserve(commands.size());
  for (size_t i = 0; i < commands.size(); ++i) {
    void* reply = nullptr;
    if (redisGetReply(context_.get(), &reply) != REDIS_OK) return ConnectionError(*context_);
    replies.push_back(Convert(*static_cast<redisReply*>(reply)));
    freeReplyObject(reply);
  }
  return replies;
}

absl::StatusOr<RedisReply> RedisConnection::ReadMessage() {
  void* reply = nullptr;
  // A message that hiredis has read already is not announced by the socket again.
  if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return ConnectionError(*context_);
  if (reply == nullptr) {
    pollfd entry{context_->fd, POLLIN, 0};
    const timeval* timeout = context_->timeout;
    const int wait_ms = timeout == nullptr ? 1000 : static_cast<int>(timeout->tv_sec * 1000 + timeout->tv_usec / 1000);
    if (poll(&entry, 1, wait_ms) == 0) return absl::DeadlineExceededError("no message");
    if (redisGetReply(context_.get(), &reply) != REDIS_OK) return ConnectionError(*context_);
  }
  const absl::Cleanup free_reply = [reply] { freeReplyObject(reply); };
  return Convert(*static_cast<redisReply*>(reply));
}

}  // namespace alcove::cache
