#include "services/gateway/service/rest_door.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "libs/common/trace.h"
#include "services/gateway/openai/openai_api.h"
#include "services/gateway/openai/openai_error.h"
#include "services/gateway/rest/octet.h"
#include "services/gateway/rest/problem.h"
#include "services/gateway/rest/text_view.h"
#include "services/gateway/service/pages.h"
#include "services/gateway/upstream/grpc_client.h"

namespace alcove::gateway {
namespace {

constexpr size_t kCompressAbove = 1024;
constexpr std::string_view kBinary = "application/octet-stream";
constexpr std::string_view kJsonLines = "application/x-ndjson";
constexpr absl::Duration kSlow = absl::Seconds(1);
constexpr std::string_view kPagePolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Modules of this server may run, and WebAssembly, whose bindings in node-seal are made with eval; still nothing from
// elsewhere.
constexpr std::string_view kPrivatePagePolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self' data:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Types a JSON body cannot be sent as. Everything else is read as JSON: curl -d sends a form type.
bool CannotBeJson(std::string_view content_type) {
  for (const absl::string_view type : {"multipart/", "application/grpc", "application/protobuf",
                                       "application/x-protobuf", "application/octet-stream", "application/xml"}) {
    if (absl::StartsWithIgnoreCase(ToAbsl(content_type), type)) return true;
  }
  return false;
}

bool Compressible(std::string_view content_type) {
  return content_type.find("json") != std::string_view::npos || content_type.substr(0, 5) == "text/";
}

}  // namespace

asio::awaitable<void> RestDoor::Serve(std::shared_ptr<net::Exchange> exchange) {
  const int64_t began = net::Loop::NowNs();
  Answer answer;
  co_await Fill(*exchange, answer);
  const std::string_view route = answer.route;
  const int status = exchange->cancelled() ? 499 : answer.status;
  const size_t bytes = answer.sent ? exchange->response_bytes() : answer.body.size();
  if (!answer.sent) Send(*exchange, std::move(answer));
  Record(*exchange, route, status, bytes, absl::Nanoseconds(net::Loop::NowNs() - began));
}

asio::awaitable<void> RestDoor::Fill(net::Exchange& exchange, Answer& answer) {
  const net::HttpRequest& request = exchange.request();
  if (Preflight(request, answer)) co_return;
  RouteMatch match;
  const Route* route = FindRoute(exchange, match, answer);
  if (route == nullptr) {
    AddCors(request, answer);
    co_return;
  }
  answer.route = route->name;
  absl::StatusOr<RequestContext> head = ReadRequestHead(exchange, shared_.options.times);
  if (!head.ok()) {
    WriteError(head.status(), route->openai(), exchange.context().request_id(), answer);
    co_return;
  }
  RequestContext ctx = *std::move(head);
  exchange.SetContext(ctx);
  absl::Status status = co_await Admit(exchange, *route, ctx, answer);
  if (status.ok()) {
    exchange.SetContext(ctx);
    status = co_await Run(exchange, *route, match, ctx, answer);
  }
  if (!status.ok()) {
    // A body past the limit has a status of its own in HTTP.
    const int http_status = GetErrorDetails(status).reason == "BODY_TOO_LARGE" ? 413 : 0;
    WriteError(status, route->openai(), ctx.request_id(), answer, http_status);
  }
  if (!answer.sent) AddCors(request, answer);
}

const Route* RestDoor::FindRoute(const net::Exchange& exchange, RouteMatch& match, Answer& answer) {
  const net::HttpRequest& request = exchange.request();
  const std::string& request_id = exchange.context().request_id();
  const std::string_view path = request.path() == "/" ? std::string_view("/console") : request.path();
  const std::string_view method = request.method == "HEAD" ? std::string_view("GET") : request.method;
  match = shared_.router.Match(method, path);
  switch (match.kind) {
    case RouteMatch::Kind::kFound: return &shared_.routes[match.route];
    case RouteMatch::Kind::kMalformed:
      WriteError(absl::InvalidArgumentError("the path has a malformed %XX escape or is not UTF-8"), false, request_id,
                 answer);
      return nullptr;
    case RouteMatch::Kind::kMethodNotAllowed: {
      const std::string allow = absl::StrJoin(match.allow, ", ");
      answer.headers.Set("allow", allow);
      if (method == "OPTIONS") {
        answer.status = 204;
        return nullptr;
      }
      WriteError(absl::InvalidArgumentError(absl::StrCat(ToAbsl(method), " is not a method of this path; use ", allow)),
                 false, request_id, answer, 405);
      return nullptr;
    }
    case RouteMatch::Kind::kNotFound: break;
  }
  const absl::string_view nearest = ClosestMatch(ToAbsl(path), shared_.route_names);
  WriteError(absl::NotFoundError(absl::StrCat("there is nothing at this path",
                                              nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?"),
                                              nearest.empty() ? "; /docs lists what there is" : "")),
             path.substr(0, 9) == "/v1/chat/", request_id, answer);
  return nullptr;
}

asio::awaitable<absl::Status> RestDoor::Admit(net::Exchange& exchange, const Route& route, RequestContext& ctx,
                                              Answer& answer) {
  if (route.scope == AccessScope::kPublic) co_return absl::OkStatus();
  absl::StatusOr<std::shared_ptr<const Caller>> caller =
      co_await authenticator_.Authenticate(exchange.request().headers);
  if (!caller.ok()) {
    if (absl::IsUnauthenticated(caller.status())) {
      shared_.metrics.refused.With({"unauthenticated"}).Increment();
      answer.headers.Set("www-authenticate", "Bearer realm=\"alcove\"");
    }
    co_return caller.status();
  }
  ctx = WithCaller(ctx, (*caller)->tenant, (*caller)->key_id);
  if (absl::Status status = CheckScope(**caller, route.scope); !status.ok()) {
    shared_.metrics.refused.With({"scope"}).Increment();
    co_return status;
  }
  if ((*caller)->usage != nullptr) {
    const GcraDecision decision = (*caller)->usage->Take(net::Loop::NowNs());
    AddRateLimitHeaders(*(*caller)->usage, decision, answer.headers);
    if (!decision.allowed) {
      shared_.metrics.refused.With({"rate"}).Increment();
      co_return RateLimited(*(*caller)->usage, decision);
    }
  }
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> RestDoor::Run(net::Exchange& exchange, const Route& route, const RouteMatch& match,
                                            const RequestContext& ctx, Answer& answer) {
  absl::StatusOr<std::string> json;
  switch (route.target) {
    case Target::kMethod: co_return co_await RunMethod(exchange, route, match, ctx, answer);
    case Target::kEmbeddings: {
      absl::StatusOr<std::string> body = co_await exchange.ReadBody(shared_.options.max_body_bytes);
      if (absl::IsResourceExhausted(body.status())) co_return WithReason(body.status(), "BODY_TOO_LARGE");
      if (!body.ok()) co_return body.status();
      json = co_await OpenAiEmbeddings(flows_, ctx, *std::move(body));
      break;
    }
    case Target::kModels: json = co_await OpenAiListModels(flows_, ctx); break;
    case Target::kModel: {
      std::string id = match.captures[0].value;
      json = co_await OpenAiGetModel(flows_, ctx, std::move(id));
      break;
    }
    case Target::kGeneration: co_return OpenAiGenerationStatus();
    default: WritePage(route, answer); co_return absl::OkStatus();
  }
  if (!json.ok()) co_return json.status();
  answer.body = *std::move(json);
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> RestDoor::RunMethod(net::Exchange& exchange, const Route& route, const RouteMatch& match,
                                                  const RequestContext& ctx, Answer& answer) {
  const MethodInfo& info = *route.method;
  if (info.planned) co_return NotBuilt(info.method->full_name());
  const net::HeaderList& headers = exchange.request().headers;
  std::string body;
  // Bytes in, bytes out, for methods made of bytes.
  const bool binary_in = route.binding->whole_body && OctetField(*info.request->GetDescriptor()) != nullptr &&
                         absl::StartsWithIgnoreCase(ToAbsl(headers.Get("content-type")), ToAbsl(kBinary));
  const bool binary_out =
      OctetField(*info.reply->GetDescriptor()) != nullptr && ListAccepts(headers.Get("accept"), kBinary);
  if (route.binding->takes_body()) {
    if (!binary_in && CannotBeJson(headers.Get("content-type"))) {
      WriteError(absl::InvalidArgumentError("the body must be JSON (content-type: application/json)"), false,
                 ctx.request_id(), answer, 415);
      co_return absl::OkStatus();
    }
    if (const std::string_view coding = headers.Get("content-encoding"); !coding.empty() && coding != "identity") {
      WriteError(absl::InvalidArgumentError("compressed request bodies are not read; send the JSON as it is"), false,
                 ctx.request_id(), answer, 415);
      co_return absl::OkStatus();
    }
    absl::StatusOr<std::string> read = co_await exchange.ReadBody(shared_.options.max_body_bytes);
    if (absl::IsResourceExhausted(read.status())) co_return WithReason(read.status(), "BODY_TOO_LARGE");
    if (!read.ok()) co_return read.status();
    body = *std::move(read);
  }
  absl::StatusOr<QueryParameters> query = ParseQuery(exchange.request().query());
  if (!query.ok()) co_return query.status();
  MessagePtr message(info.request->New());
  absl::Status filled = binary_in ? FillOctetRequest(*route.binding, match.captures, *query, std::move(body), *message)
                                  : FillRequest(*route.binding, match.captures, *query, body, *message);
  if (!filled.ok()) co_return filled;
  body = std::string();
  if (info.streaming()) {
    absl::Status streamed = co_await RunStream(exchange, route, ctx, *message, binary_out, answer);
    co_return streamed;
  }
  absl::StatusOr<MessagePtr> reply = co_await dispatcher_.Call(ctx, info, std::move(message));
  if (!reply.ok()) co_return reply.status();
  if (binary_out) {
    answer.content_type = std::string(kBinary);
    answer.body = OctetFrame(**reply);
  } else {
    answer.body = RenderReply(*route.binding, **reply);
  }
  co_return absl::OkStatus();
}

// GCC 12 takes the frames of Asio's coroutines for mismatched when it inlines their allocation and not their release.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
asio::awaitable<absl::Status> RestDoor::RunStream(net::Exchange& exchange, const Route& route,
                                                  const RequestContext& ctx, const google::protobuf::Message& request,
                                                  bool binary, Answer& answer) {
  const MethodInfo& info = *route.method;
  if (info.upstream.empty()) co_return NotBuilt(info.method->full_name());
  GrpcClient client(upstreams_);
  RequestContext context = ctx;
  std::string upstream = info.upstream;
  std::string path = info.path;
  CallOptions options;  // named: GCC 12 destroys a default argument of an awaited call twice
  absl::StatusOr<std::unique_ptr<GrpcCall>> opened =
      co_await client.Open(std::move(context), std::move(upstream), std::move(path), std::move(options));
  if (!opened.ok()) co_return opened.status();
  GrpcCall& call = **opened;
  std::string bytes = request.SerializeAsString();
  // A call that ended early tells why when it is read.
  absl::Status sent = co_await call.Write(std::move(bytes));
  sent.IgnoreError();
  call.WritesDone();
  absl::Status end;
  while (true) {
    absl::StatusOr<std::optional<std::string>> next = co_await call.Read();
    if (!next.ok()) {
      if (!answer.sent) co_return next.status();
      end = next.status();
      break;
    }
    if (!answer.sent) {
      answer.sent = true;
      answer.content_type = std::string(binary ? kBinary : kJsonLines);
      AddCors(exchange.request(), answer);
      net::HeaderList headers = answer.headers;
      AddCommonHeaders(exchange, answer, headers);
      exchange.StartResponse(200, std::move(headers));
    }
    if (!next->has_value()) break;
    MessagePtr reply(info.reply->New());
    if (!reply->ParseFromString(**next)) {
      end = absl::InternalError(absl::StrCat(info.upstream, " sent a reply that cannot be read"));
      break;
    }
    std::string piece = binary ? OctetFrame(*reply) : RenderReply(*route.binding, *reply) + "\n";
    // The client went away: the call is cancelled with its object.
    absl::Status written = co_await exchange.Write(std::move(piece));
    if (!written.ok()) co_return absl::OkStatus();
  }
  std::string last = binary ? OctetEndFrame(end) : EndLine(end);
  absl::Status ended = co_await exchange.Write(std::move(last));
  if (ended.ok()) exchange.Finish();
  co_return absl::OkStatus();
}
#pragma GCC diagnostic pop

void RestDoor::AddCommonHeaders(const net::Exchange& exchange, const Answer& answer, net::HeaderList& headers) const {
  if (answer.status != 204) headers.Set("content-type", answer.content_type);
  headers.Set("x-request-id", exchange.context().request_id());
  headers.Set("traceparent", FormatTraceparent(exchange.context().trace()));
}

void RestDoor::WritePage(const Route& route, Answer& answer) {
  switch (route.target) {
    case Target::kConsole:
    case Target::kDocs:
      answer.content_type = "text/html; charset=utf-8";
      answer.headers.Set("content-security-policy", kPagePolicy);
      answer.headers.Set("x-content-type-options", "nosniff");
      answer.headers.Set("referrer-policy", "no-referrer");
      answer.body = std::string(route.target == Target::kConsole ? ConsolePage() : DocsPage());
      break;
    case Target::kPrivatePage:
      answer.content_type = "text/html; charset=utf-8";
      answer.headers.Set("content-security-policy", kPrivatePagePolicy);
      answer.headers.Set("x-content-type-options", "nosniff");
      answer.headers.Set("referrer-policy", "no-referrer");
      answer.body = std::string(PrivatePage());
      break;
    case Target::kPrivateClientScript:
    case Target::kSealScript:
      answer.content_type = "text/javascript; charset=utf-8";
      answer.headers.Set("x-content-type-options", "nosniff");
      answer.headers.Set("cache-control", "no-cache");
      answer.body = std::string(route.target == Target::kSealScript ? SealScript() : PrivateClientScript());
      break;
    case Target::kOpenApi: answer.body = shared_.openapi; break;
    case Target::kHealthLive: answer.body = "{\"live\":true}"; break;
    case Target::kHealthReady: {
      const Readiness readiness = ReadReadiness(upstreams_, shared_.draining.load());
      answer.status = readiness.ready ? 200 : 503;
      answer.body = ReadinessJson(readiness);
      break;
    }
    case Target::kMetrics:
      answer.content_type = std::string(MetricsContentType(MetricsFormat::kPrometheusText));
      answer.body = shared_.metrics.registry.Render(MetricsFormat::kPrometheusText);
      break;
    default: break;
  }
}

void RestDoor::WriteError(const absl::Status& status, bool openai, std::string_view request_id, Answer& answer,
                          int http_status) {
  answer.status = http_status != 0 ? http_status : HttpStatusFromCode(status.code());
  if (openai) {
    answer.content_type = "application/json";
    answer.body = OpenAiErrorJson(status);
  } else {
    answer.content_type = std::string(kProblemContentType);
    answer.body = ProblemJson(status, request_id, answer.status);
  }
  const ErrorDetails details = GetErrorDetails(status);
  if (details.retry_after && !answer.headers.Has("retry-after")) {
    answer.headers.Set("retry-after", absl::StrCat(std::max<int64_t>(1, absl::ToInt64Seconds(*details.retry_after))));
  }
}

bool RestDoor::Preflight(const net::HttpRequest& request, Answer& answer) const {
  if (request.method != "OPTIONS" || shared_.options.cors_origins.empty()) return false;
  if (!request.headers.Has("origin") || !request.headers.Has("access-control-request-method")) return false;
  answer.status = 204;
  answer.route = "preflight";
  AddCors(request, answer);
  answer.headers.Set("access-control-allow-methods", "GET, POST, PUT, DELETE, PATCH");
  answer.headers.Set("access-control-allow-headers",
                     "authorization, content-type, x-api-key, x-request-id, x-request-timeout, traceparent");
  answer.headers.Set("access-control-max-age", "600");
  return true;
}

void RestDoor::AddCors(const net::HttpRequest& request, Answer& answer) const {
  const std::vector<std::string>& origins = shared_.options.cors_origins;
  if (origins.empty()) return;
  answer.headers.Add("vary", "origin");
  const std::string_view origin = request.headers.Get("origin");
  if (origin.data() == nullptr) return;
  const bool any = std::find(origins.begin(), origins.end(), "*") != origins.end();
  if (!any && std::find(origins.begin(), origins.end(), origin) == origins.end()) return;
  answer.headers.Set("access-control-allow-origin", any ? std::string_view("*") : origin);
  answer.headers.Set("access-control-expose-headers",
                     "x-request-id, retry-after, x-ratelimit-limit-requests, x-ratelimit-remaining-requests");
}

void RestDoor::Send(net::Exchange& exchange, Answer answer) {
  if (exchange.cancelled()) return;
  net::HttpResponse response;
  response.status = answer.status;
  response.headers = std::move(answer.headers);
  AddCommonHeaders(exchange, answer, response.headers);
  const std::string_view accepts = exchange.request().headers.Get("accept-encoding");
  if (shared_.options.compression && answer.body.size() > kCompressAbove && Compressible(answer.content_type)) {
    response.headers.Add("vary", "accept-encoding");
    if (ListAccepts(accepts, "gzip")) {
      if (std::string packed = Gzip(answer.body); !packed.empty()) {
        answer.body = std::move(packed);
        response.headers.Set("content-encoding", "gzip");
      }
    }
  }
  response.body = std::move(answer.body);
  exchange.Respond(std::move(response));
}

void RestDoor::Record(const net::Exchange& exchange, std::string_view route, int status, size_t bytes,
                      absl::Duration latency) {
  const net::HttpRequest& request = exchange.request();
  // Methods are the client's to choose; only known ones may become a label.
  static constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
  const bool known = std::find(std::begin(kMethods), std::end(kMethods), request.method) != std::end(kMethods);
  shared_.metrics.requests
      .With({ToAbsl(route), known ? absl::string_view(request.method) : "other", absl::StrCat(status)})
      .Increment();
  shared_.metrics.latency.With({ToAbsl(route)}).Observe(latency);
  const AccessLog mode = shared_.options.access_log;
  if (mode == AccessLog::kNone || (mode == AccessLog::kErrors && status < 400 && latency < kSlow)) return;
  LogInfo(exchange.context(), "request",
          {{"method", request.method},
           {"route", ToAbsl(route)},
           {"status", status},
           {"bytes", bytes},
           {"ms", absl::ToDoubleMilliseconds(latency)},
           {"peer", request.peer_address},
           {"key", exchange.context().key_id()}});
}

}  // namespace alcove::gateway
